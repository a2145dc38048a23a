"""`BedrockAgentCoreApp`: where an agent registers its functions.

The app holds what the agent said. The server is another program, and in the process that it starts for the agent,
`run()` begins to answer its calls. To other servers, and to tests, the app is an ASGI application.
"""

from __future__ import annotations

from . import _log
from ._health import Health
from ._routes import Routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from typing import Any, Callable, Dict, Optional, Protocol, Sequence, TypeVar

    from ._log_format import RequestContextFormatter as RequestContextFormatter

    F = TypeVar("F", bound=Callable[..., Any])

    class _Worker(Protocol):
        def run(self, app: BedrockAgentCoreApp) -> None: ...

        def is_serving(self) -> bool: ...


# The worker that this process is, if it is one; set before the agent's code runs.
_worker: Optional[_Worker] = None


class BedrockAgentCoreApp(Health, Routes):
    """An agent: its entrypoint, its ping handler and its background tasks.

    With `debug` the log tells more, and invocations may carry debug actions. `lifespan` is an async context manager of
    the app, entered before the first request and left after the last; `middleware` are entries of Starlette's.
    """

    def __init__(
        self,
        debug: bool = False,
        lifespan: Optional[Callable[..., Any]] = None,
        middleware: Optional[Sequence[Any]] = None,
    ) -> None:
        Health.__init__(self)
        self.debug = debug
        self.handlers: Dict[str, Callable[..., Any]] = {}
        Routes.__init__(self, lifespan, middleware)
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

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one connection, as an ASGI application."""
        from ._asgi import serve

        await serve(self, scope, receive, send)

    def _answers_itself(self) -> bool:
        # Also a subclass that puts something of its own around everything.
        return super()._answers_itself() or type(self).__call__ is not BedrockAgentCoreApp.__call__


if not TYPE_CHECKING:

    def __getattr__(name):
        if name == "RequestContextFormatter":
            from ._log_format import RequestContextFormatter

            return RequestContextFormatter
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
