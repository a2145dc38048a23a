"""The official SDK as the engine: its own server, made to listen where this process was told to.

Only the address is changed. Everything else is the official package's, and its server's, affair.
"""

from __future__ import annotations

import os
import sys

from . import agent_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, NoReturn, Optional

LISTEN_VARIABLE = "AGENTCORE_LISTEN"

_PACKAGE = "bedrock_agentcore"
# Where agents listen unless they say otherwise: a server for this port is the agent's, whatever it serves.
_DEFAULT_PORT = 8080


class Arguments:
    """`FILE [--app NAME] --source-root DIR`"""

    def __init__(self, arguments: List[str]) -> None:
        self.file: Optional[str] = None
        self.app: Optional[str] = None
        self.source_root: Optional[str] = None
        rest = iter(arguments)
        for argument in rest:
            if argument == "--app":
                self.app = next(rest, None)
            elif argument == "--source-root":
                self.source_root = next(rest, None)
            elif self.file is None:
                self.file = argument
            else:
                raise SystemExit(f"error: unexpected argument `{argument}`")


def main(arguments: List[str]) -> None:
    """Runs the agent's file, and serves its app if the file does not."""
    options = Arguments(arguments)
    if options.file is None:
        raise SystemExit("error: no file of an agent is named")
    # Taken out: a server that the agent starts for itself is not the agent's.
    address = address_options(os.environ.pop(LISTEN_VARIABLE, ""))
    file = agent_file.prepare(options.file, options.source_root or os.path.dirname(os.path.abspath(options.file)))
    agent_file.hide(__file__)
    try:
        served = redirect(address)
        if options.app is not None:
            serve_only(options.app)
        module = agent_file.run_as_main(file)
        if not served:
            from bedrock_agentcore.runtime import BedrockAgentCoreApp

            app = agent_file.choose_app(module, BedrockAgentCoreApp, options.app)
            app.run()
    except agent_file.NoApp as error:
        _give_up(f"error: {error}")
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        agent_file.print_failure(error)
        _give_up(None)


def address_options(address: str) -> Dict[str, Any]:
    """Returns what uvicorn calls an address."""
    if address.startswith("unix:") and len(address) > len("unix:"):
        return {"uds": address[len("unix:") :], "fd": None}
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise SystemExit(
            f"error: {LISTEN_VARIABLE} is `{address}`, expected `host:port` or `unix:/path`: this file is started by "
            "`agentcore serve`, not by hand"
        )
    return {"host": host.strip("[]"), "port": int(port), "uds": None, "fd": None}


def redirect(address: Dict[str, Any]) -> List[Any]:
    """Makes uvicorn serve the agent at `address`; returns a list that then holds the apps it serves."""
    from uvicorn import Config  # type: ignore[import-not-found]

    served: List[Any] = []
    original = Config.__init__

    def init(self: Any, app: Any, *args: Any, **options: Any) -> None:
        original(self, app, *args, **options)
        if _is_the_agent(app) or self.port == _DEFAULT_PORT:
            served.append(app)
            for name, value in address.items():
                setattr(self, name, value)

    # The configuration and not `uvicorn.run`: agents also make a `Server` of their own. A server that the agent runs
    # beside itself, on a port of its own, is left alone.
    Config.__init__ = init
    return served


def serve_only(name: str) -> None:
    """Has `run()` of every other app return at once, so that the named one is served."""
    from bedrock_agentcore.runtime import BedrockAgentCoreApp

    original: Any = BedrockAgentCoreApp.run

    def run(self: Any, *args: Any, **options: Any) -> None:
        if vars(sys.modules["__main__"]).get(name) is self:
            original(self, *args, **options)

    BedrockAgentCoreApp.run = run  # type: ignore[method-assign]


def _is_the_agent(app: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == _PACKAGE for kind in type(app).__mro__)


def _give_up(message: Optional[str]) -> NoReturn:
    if message is not None:
        print(message, file=sys.stderr)
    # Not `os._exit`: what the file has started gets its exit handlers.
    raise SystemExit(1)
