"""A Strands agent whose events are streamed: the pieces of its text, and its messages. The model needs no network."""

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


app = BedrockAgentCoreApp()
agent = Agent(model=OfflineModel(), tools=[count_words], callback_handler=None)


@app.entrypoint
async def streaming_agent(payload):
    """Yields what the agent says, as it says it."""
    stream = agent.stream_async(payload.get("prompt", "nothing"))
    async for event in stream:
        if "data" in event:
            yield event["data"]
        elif "message" in event:
            yield event["message"]


if __name__ == "__main__":
    app.run()
