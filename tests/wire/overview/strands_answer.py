"""A Strands agent that is called and gives its last message. The model needs no network."""

from bedrock_agentcore import BedrockAgentCoreApp
from model import OfflineModel
from strands import Agent, tool


@tool
def count_words(text: str) -> int:
    """Count the words of a text.

    Args:
        text: The text.
    """
    return len(text.split())


agent = Agent(model=OfflineModel(), tools=[count_words], callback_handler=None)
app = BedrockAgentCoreApp()


@app.entrypoint
def strands_agent(payload):
    """Has the agent answer."""
    result = agent(payload.get("prompt"))
    return {"result": result.message}
