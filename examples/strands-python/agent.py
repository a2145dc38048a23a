"""A Strands agent with a tool: streams its answer piece by piece, and says at the end which tools it has called.

The platform runs every session in a sandbox of its own, so the agent and its conversation are the session's.
"""

from bedrock_agentcore import BedrockAgentCoreApp
from model import OfflineModel
from strands import Agent, tool


@tool
def count_words(text: str) -> int:
    """Count the words of a text.

    Args:
        text: The text, as the user wrote it.
    """
    return len(text.split())


app = BedrockAgentCoreApp()
# For a model on Amazon Bedrock: `from strands.models import BedrockModel`, `model=BedrockModel()`.
agent = Agent(
    model=OfflineModel(),
    tools=[count_words],
    system_prompt="Say how many words the user's prompt has.",
    callback_handler=None,  # the default one prints the answer
)


@app.entrypoint
async def answer(payload):
    tools = []
    async for event in agent.stream_async(payload.get("prompt", "")):
        if "data" in event:
            yield event["data"]
        elif "message" in event:
            tools += [block["toolUse"]["name"] for block in event["message"]["content"] if "toolUse" in block]
    yield {"tools": tools}


if __name__ == "__main__":
    app.run()
