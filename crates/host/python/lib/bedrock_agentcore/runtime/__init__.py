"""What an agent needs to be served over HTTP: the app, the context of a request, the ping status."""

from __future__ import annotations

from .app import BedrockAgentCoreApp
from .context import BedrockAgentCoreContext, RequestContext
from .models import PingStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._websocket import WebSocketDisconnect as WebSocketDisconnect

__all__ = ["BedrockAgentCoreApp", "BedrockAgentCoreContext", "PingStatus", "RequestContext"]

_ONLY_OFFICIAL = frozenset(
    (
        "AGUIApp",
        "AgentCoreRuntimeClient",
        "AuthMode",
        "BedrockCallContextBuilder",
        "OAuthAuth",
        "PresignedAuth",
        "ReconnectConfig",
        "ShellChannel",
        "ShellFrame",
        "ShellFramer",
        "ShellSession",
        "WaitConfig",
        "build_a2a_app",
        "build_ag_ui_app",
        "build_runtime_url",
        "serve_a2a",
        "serve_ag_ui",
    )
)


def __getattr__(name: str) -> object:
    if name == "WebSocketDisconnect":
        from ._websocket import wanted_disconnect

        return wanted_disconnect()
    if name in _ONLY_OFFICIAL:
        raise ImportError(
            f"`bedrock_agentcore.runtime.{name}` is in the official `bedrock-agentcore` package, not in the native "
            "engine: install that package in the agent's environment and use `engine: sdk`",
            name=__name__,
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
