"""The smallest agent: answers what it was told."""

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
def answer(payload):
    return {"result": f"You said: {payload.get('prompt', '')}"}


if __name__ == "__main__":
    app.run()
