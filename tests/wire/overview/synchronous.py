"""A plain function that answers at once, in a file that runs as a program too."""

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
def simple_agent(payload):
    """Knows one answer, and repeats everything else."""
    prompt = payload.get("prompt", "")
    if "time" in prompt.lower():
        return {"result": "Time for tea"}
    return {"result": f"Heard: {prompt}"}


if __name__ == "__main__":
    app.run()
