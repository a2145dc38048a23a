"""Agents for tests, from what is particular about them."""

APP = """
import asyncio, functools, threading, time
from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext, RequestContext
app = BedrockAgentCoreApp()
"""


def agent(body):
    """Returns the source of an agent that is served at its end."""
    return APP + body + "\napp.run()\n"


def both(body):
    """Returns the same agent twice, plain and async: `DEF` and `SLEEP` differ."""
    plain = body.replace("DEF", "def").replace("SLEEP", "time.sleep")
    later = body.replace("DEF", "async def").replace("SLEEP", "await asyncio.sleep")
    return [agent(plain), agent(later)]
