"""An agent that streams: sends its answer word by word, as a model would, and says at the end how long it was."""

import asyncio
import re

from bedrock_agentcore import BedrockAgentCoreApp

PAUSE = 0.1  # seconds that a word takes

app = BedrockAgentCoreApp()


@app.entrypoint
async def answer(payload):
    text = f"You said: {payload.get('prompt', 'nothing at all')}"
    words = re.findall(r"\S+\s*", text)
    for word in words:
        await asyncio.sleep(PAUSE)
        yield word
    yield {"words": len(words)}


if __name__ == "__main__":
    app.run()
