"""Two entrypoints one after the other: the second one, which streams, takes the place of the first."""

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
def invoke(payload):
    """Answers at once, as long as there is no other."""
    return {"result": "never"}


@app.entrypoint
async def invoke_async(payload):
    """Answers piece by piece."""
    prompt = payload.get("prompt", "nothing")
    for word in prompt.split():
        yield {"chunk": word}
