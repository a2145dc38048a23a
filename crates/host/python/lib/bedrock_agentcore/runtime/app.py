"""`BedrockAgentCoreApp`: where an agent registers its functions.

The app holds what the agent said and serves nothing itself: the server is another program, and in the process that it
starts for the agent, `run()` begins to answer its calls.
"""

from __future__ import annotations

from types import SimpleNamespace

from . import _log
from ._health import Health

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any, Callable, Dict, NoReturn, Optional, Protocol, Sequence, TypeVar

    from ._log_format import RequestContextFormatter as RequestContextFormatter

    F = TypeVar("F", bound=Callable[..., Any])

    class _Worker(Protocol):
        def run(self, app: BedrockAgentCoreApp) -> None: ...


# The worker that this process is, if it is one; set before the agent's code runs.
_worker: Optional[_Worker] = None


class BedrockAgentCoreApp(Health):
    """An agent: its entrypoint, its ping handler and its background tasks.

    With `debug` the log tells more, and invocations may carry debug actions.
    """

    def __init__(
        self,
        debug: bool = False,
        lifespan: Optional[Callable[..., Any]] = None,
        middleware: Optional[Sequence[Any]] = None,
    ) -> None:
        if lifespan is not None:
            _refuse("lifespan")
        if middleware:
            _refuse("middleware")
        super().__init__()
        self.debug = debug
        self.handlers: Dict[str, Callable[..., Any]] = {}
        self.state = SimpleNamespace()
        _log.configure(debug)

    @property
    def logger(self) -> logging.Logger:
        """The logger `bedrock_agentcore.app`: JSON lines on stderr, with the ids of the request."""
        return _log.logger()

    def entrypoint(self, func: F) -> F:
        """Makes a function the one that answers invocations.

        It takes the payload, and the `RequestContext` if its second parameter is named `context`. It may be a
        coroutine function; a generator, plain or async, streams what it yields.
        """
        self.handlers["main"] = func
        try:
            func.run = lambda port=8080, host=None: self.run(port, host)  # type: ignore[attr-defined]
        except AttributeError:
            # Bound methods and some callable objects take no attributes.
            pass
        return func

    def run(self, port: int = 8080, host: Optional[str] = None, **kwargs: Any) -> None:
        """Serves the agent: in a process that `agentcore` has started, or with a server that this process starts.

        The server of `agentcore` has its address already, and `port` and `host` say nothing there. Returns when the
        server ends; and at once, to go on serving at the end of the file, if no entrypoint is registered yet.
        """
        if kwargs:
            names = ", ".join(f"`{name}`" for name in sorted(kwargs))
            _log.emit(_log.WARNING, f"Options of `app.run()` that the native engine does not have: {names}")
        if _worker is not None:
            _worker.run(self)
        else:
            from _agentcore_worker.attach import attach

            attach(self, port, host)

    def websocket(self, func: Callable[..., Any]) -> NoReturn:
        """Refused: this engine serves no WebSockets."""
        _refuse("@app.websocket")

    def add_middleware(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine runs no ASGI middleware."""
        _refuse("add_middleware")

    def middleware(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine runs no ASGI middleware."""
        _refuse("@app.middleware")

    def add_route(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine serves `/invocations` and `/ping` only."""
        _refuse("add_route")

    def route(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine serves `/invocations` and `/ping` only."""
        _refuse("@app.route")

    def add_websocket_route(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine serves no WebSockets."""
        _refuse("add_websocket_route")

    def mount(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine serves `/invocations` and `/ping` only."""
        _refuse("mount")

    def host(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine serves `/invocations` and `/ping` only."""
        _refuse("host")

    def add_exception_handler(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: errors are answered by the runtime's contract."""
        _refuse("add_exception_handler")

    def exception_handler(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: errors are answered by the runtime's contract."""
        _refuse("@app.exception_handler")

    def add_event_handler(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine has no events of start and stop."""
        _refuse("add_event_handler")

    def on_event(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: this engine has no events of start and stop."""
        _refuse("@app.on_event")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refused: here the app is no ASGI application."""
        _refuse("an app as an ASGI application")


def _refuse(what: str) -> NoReturn:
    raise RuntimeError(
        f"the native engine does not serve {what if ' ' in what else f'`{what}`'}: install the official "
        "`bedrock-agentcore` package in the agent's environment and use `engine: sdk`"
    )


if not TYPE_CHECKING:

    def __getattr__(name):
        if name == "RequestContextFormatter":
            from ._log_format import RequestContextFormatter

            return RequestContextFormatter
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
