"""An agent that does what its payload says; PEER_VARIANT says what kind of function its entrypoint is."""

import asyncio
import os

from bedrock_agentcore import BedrockAgentCoreApp
from failures import fail
from odd_values import VALUES
from replies import REPLIES, STREAMS

KIND = os.environ["PEER_VARIANT"]

app = BedrockAgentCoreApp()


def act(payload):
    """What the payload asks for."""
    if "value" in payload:
        value = VALUES[payload["value"]]()
        return {"in": [value]} if payload.get("inside") else value
    if "fail" in payload:
        return fail(payload["fail"])
    if "reply" in payload:
        return REPLIES[payload["reply"]]()
    if "stream" in payload:
        return STREAMS[payload["stream"]]()
    return payload


def plain(payload):
    return act(payload)


async def later(payload):
    await asyncio.sleep(0)
    return act(payload)


def items(payload):
    if "after" in payload:
        yield from range(payload["after"])
    yield act(payload)


async def items_later(payload):
    for number in range(payload.get("after", 0)):
        await asyncio.sleep(0)
        yield number
    yield act(payload)


app.entrypoint({"sync": plain, "async": later, "generator": items, "async-generator": items_later}[KIND])

app.run()
