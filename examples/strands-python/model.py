"""A model that needs no network: it calls the agent's first tool with the prompt, then says what the tool found."""

import asyncio
import json

from strands.models import Model

PAUSE = 0.05  # seconds that a word takes


class OfflineModel(Model):
    """Answers as a model of Strands does, with the events of a Bedrock stream."""

    def update_config(self, **config):
        pass

    def get_config(self):
        return {}

    async def structured_output(self, output_model, prompt, system_prompt=None, **kwargs):
        raise NotImplementedError("this model has no structured output")
        yield  # the interface asks for a generator

    async def stream(self, messages, tool_specs=None, system_prompt=None, **kwargs):
        blocks = [block for message in messages if message["role"] == "user" for block in message["content"]]
        prompts = [block["text"] for block in blocks if "text" in block]
        yield {"messageStart": {"role": "assistant"}}
        if "toolResult" in blocks[-1]:
            result = blocks[-1]["toolResult"]["content"][0]["text"]
            yield {"contentBlockStart": {"start": {}}}
            for word in ["Words ", "in ", "prompt ", f"{len(prompts)}: ", f"{result}."]:
                await asyncio.sleep(PAUSE)
                yield {"contentBlockDelta": {"delta": {"text": word}}}
            reason = "end_turn"
        else:
            call = {"toolUseId": f"call-{len(prompts)}", "name": tool_specs[0]["name"]}
            yield {"contentBlockStart": {"start": {"toolUse": call}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": json.dumps({"text": prompts[-1]})}}}}
            reason = "tool_use"
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": reason}}
