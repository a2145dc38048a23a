"""The HTTP runtime of Amazon Bedrock AgentCore for Python agents, served by a program outside this process.

Holds the names that agents import to be served. Memory, identity, tools and clients are not here: they are in the
official `bedrock-agentcore` package.
"""

import sys

if sys.version_info < (3, 9):
    # Where no installer has checked it. What is imported below fails there with less clear words.
    raise ImportError("bedrock_agentcore needs Python 3.9 or newer, and this is Python %d.%d" % sys.version_info[:2])

from .runtime.app import BedrockAgentCoreApp
from .runtime.context import BedrockAgentCoreContext, RequestContext
from .runtime.models import PingStatus

__all__ = ["BedrockAgentCoreApp", "BedrockAgentCoreContext", "PingStatus", "RequestContext"]

_ONLY_OFFICIAL = frozenset(
    (
        "config_bundle",
        "evaluation",
        "gateway",
        "identity",
        "knowledge_base",
        "memory",
        "payments",
        "policy",
        "services",
        "tools",
    )
)


def __getattr__(name: str) -> object:
    if name in _ONLY_OFFICIAL:
        # An ImportError, because `from bedrock_agentcore import memory` hides the text of an AttributeError.
        raise ImportError(
            f"`bedrock_agentcore.{name}` is in the official `bedrock-agentcore` package, not in the native engine: "
            "install that package in the agent's environment and use `engine: sdk`",
            name=f"bedrock_agentcore.{name}",
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
