"""What an app knows beyond the contract's endpoints: routes, middleware, mounts, and what to do at start and end.

Middleware and routes are Starlette's, which is imported when one is declared; the agent's environment has to have it.
Start and end need nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar

    from ._runner import Runner

    F = TypeVar("F", bound=Callable[..., Any])


class Routes:
    """The part of an app that is as Starlette's `Starlette`. Whatever it is given has to be there before the start."""

    def __init__(self, lifespan: Optional[Callable[..., Any]], middleware: Optional[Sequence[Any]]) -> None:
        self._lifespan = lifespan
        self._event_handlers: Dict[str, List[Callable[[], Any]]] = {}
        self._websocket_handler: Optional[Callable[..., Any]] = None
        self._state: Any = None
        # The application of Starlette that answers for this one, once something needs it.
        self._starlette: Any = None
        # Where handlers run; set by the worker, otherwise made when it is needed.
        self._runner: Optional[Runner] = None
        # Set by the worker: what the server has not been told of before the start, it will not send.
        self._has_started = False
        if middleware:
            self._declare("middleware").user_middleware[:] = middleware

    @property
    def state(self) -> Any:
        """Whatever the agent keeps there; the same as `request.app.state`."""
        if self._state is None:
            from ._request import State

            self._state = State()
        return self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._state = state

    def websocket(self, func: F) -> F:
        """Makes a coroutine function answer the WebSocket connections of `/ws`.

        It takes the connection, which it has to `accept()`, and the `RequestContext`.
        """
        if self._websocket_handler is None:
            self._refuse_late("@app.websocket")
        self._websocket_handler = func
        return func

    def add_middleware(self, middleware_class: Any, *args: Any, **kwargs: Any) -> None:
        """Puts an ASGI middleware around all that the app answers, outside of those that are there."""
        self._declare("add_middleware").add_middleware(middleware_class, *args, **kwargs)

    def middleware(self, middleware_type: str) -> Callable[[F], F]:
        """Puts a function around all that the app answers: it takes the request and what calls the rest."""
        if middleware_type != "http":
            raise ValueError('Currently only middleware("http") is supported.')
        declared = self._declare("@app.middleware")

        def decorator(func: F) -> F:
            declared.add_function(func)
            return func

        return decorator

    def add_route(
        self,
        path: str,
        route: Callable[..., Any],
        methods: Optional[List[str]] = None,
        name: Optional[str] = None,
        include_in_schema: bool = True,
    ) -> None:
        """Has a function of the request, or an ASGI application, answer another path."""
        self._declare("add_route").router.add_route(path, route, methods, name, include_in_schema)

    def route(
        self,
        path: str,
        methods: Optional[List[str]] = None,
        name: Optional[str] = None,
        include_in_schema: bool = True,
    ) -> Callable[[F], F]:
        """`add_route`, as a decorator."""
        declared = self._declare("@app.route")

        def decorator(func: F) -> F:
            declared.router.add_route(path, func, methods, name, include_in_schema)
            return func

        return decorator

    def add_websocket_route(self, path: str, route: Callable[..., Any], name: Optional[str] = None) -> None:
        """Has a function of the WebSocket connection answer those of another path."""
        self._declare("add_websocket_route").router.add_websocket_route(path, route, name)

    def websocket_route(self, path: str, name: Optional[str] = None) -> Callable[[F], F]:
        """`add_websocket_route`, as a decorator."""
        declared = self._declare("@app.websocket_route")

        def decorator(func: F) -> F:
            declared.router.add_websocket_route(path, func, name)
            return func

        return decorator

    def mount(self, path: str, app: Any, name: Optional[str] = None) -> None:
        """Has another ASGI application answer what is below a path."""
        self._declare("mount").router.mount(path, app, name)

    def host(self, host: str, app: Any, name: Optional[str] = None) -> None:
        """Has another ASGI application answer what is asked of a host."""
        self._declare("host").router.host(host, app, name)

    def add_exception_handler(self, exc_class_or_status_code: Any, handler: Callable[..., Any]) -> None:
        """Has a function answer for an exception or a status of routes. Those of the entrypoint are answered before."""
        self._declare("add_exception_handler").add_exception_handler(exc_class_or_status_code, handler)

    def exception_handler(self, exc_class_or_status_code: Any) -> Callable[[F], F]:
        """`add_exception_handler`, as a decorator."""
        declared = self._declare("@app.exception_handler")

        def decorator(func: F) -> F:
            declared.add_exception_handler(exc_class_or_status_code, func)
            return func

        return decorator

    def add_event_handler(self, event_type: str, func: Callable[[], Any]) -> None:
        """Has a function, plain or async, called at `startup` or at `shutdown`."""
        if event_type not in ("startup", "shutdown"):
            raise ValueError(f"`{event_type}` is no event: there are `startup` and `shutdown`")
        self._refuse_late("add_event_handler")
        self._event_handlers.setdefault(event_type, []).append(func)

    def on_event(self, event_type: str) -> Callable[[F], F]:
        """`add_event_handler`, as a decorator."""

        def decorator(func: F) -> F:
            self.add_event_handler(event_type, func)
            return func

        return decorator

    @property
    def router(self) -> Any:
        """Starlette's router of this app."""
        return self._declare("router", late=True).router

    @property
    def routes(self) -> List[Any]:
        """The routes, the contract's first."""
        routes: List[Any] = self.router.routes
        return routes

    @property
    def user_middleware(self) -> List[Any]:
        """The middleware, outermost first."""
        middleware: List[Any] = self._declare("user_middleware", late=True).user_middleware
        return middleware

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Returns the path of the route with this name."""
        return self.router.url_path_for(name, **path_params)

    def _answers_itself(self) -> bool:
        """Returns whether requests have to pass what the agent has declared, and not only its handlers."""
        return self._starlette is not None and self._starlette.is_used()

    def _has_lifespan(self) -> bool:
        """Returns whether there is something to do before the first request or after the last."""
        # Also Starlette's own, which an agent may have set, and that of a middleware.
        has_own = self._lifespan is not None or bool(self._event_handlers)
        return has_own or self._starlette is not None or self._answers_itself()

    def _declare(self, what: str, late: bool = False) -> Any:
        if not late:
            self._refuse_late(what)
        if self._starlette is None:
            try:
                from ._starlette import build
            except ImportError as error:
                raise RuntimeError(
                    f"`{what}` needs Starlette, which is not in the agent's environment ({error}): install "
                    "`starlette` there, or the official `bedrock-agentcore` package and use `engine: sdk`"
                ) from None
            self._starlette = build(self)
        return self._starlette

    def _refuse_late(self, what: str) -> None:
        if self._has_started:
            raise RuntimeError(
                f"`{what}` comes after the agent has started, which the native engine does not serve: declare it in "
                "the agent's file or in its lifespan, or use `engine: sdk`"
            )
