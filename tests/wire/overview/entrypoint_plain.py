"""An entrypoint that answers with a value."""

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
def invoke(payload):
    """Answers at once."""
    prompt = payload.get("prompt", "nothing")
    return {"result": f"Heard {prompt}"}
