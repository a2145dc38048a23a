"""A model that needs no network: it calls the agent's first tool with the prompt, then says what the tool found."""

import asyncio
import json

from pydantic_ai import ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

PAUSE = 0.05  # seconds that a word takes


async def stream(messages, info):
    parts = [part for message in messages for part in message.parts]
    prompts = [part.content for part in parts if isinstance(part, UserPromptPart)]
    if isinstance(parts[-1], ToolReturnPart):
        for word in ["Words ", "in ", "prompt ", f"{len(prompts)}: ", f"{parts[-1].content}."]:
            await asyncio.sleep(PAUSE)
            yield word
    else:
        yield {0: DeltaToolCall(info.function_tools[0].name, json.dumps({"text": prompts[-1]}))}


offline_model = FunctionModel(stream_function=stream)
