"""A Pydantic AI agent with a tool: streams its answer piece by piece, and says at the end which tools it has called.

The platform runs every session in a sandbox of its own, so the conversation in the global is the session's.
"""

from bedrock_agentcore import BedrockAgentCoreApp
from model import offline_model
from pydantic_ai import Agent, ToolCallPart

app = BedrockAgentCoreApp()
# For a model on Amazon Bedrock, `"bedrock:…"` with its id; it needs `pydantic-ai-slim[bedrock]`.
agent = Agent(offline_model, instructions="Say how many words the user's prompt has.")
conversation = []


@agent.tool_plain
def count_words(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


@app.entrypoint
async def answer(payload):
    async with agent.run_stream(payload.get("prompt", ""), message_history=conversation) as result:
        # Each piece as it comes: by default, those of a tenth of a second are gathered.
        async for piece in result.stream_text(delta=True, debounce_by=None):
            yield piece
    conversation.extend(result.new_messages())
    parts = (part for message in result.new_messages() for part in message.parts)
    yield {"tools": [part.tool_name for part in parts if isinstance(part, ToolCallPart)]}


if __name__ == "__main__":
    app.run()
