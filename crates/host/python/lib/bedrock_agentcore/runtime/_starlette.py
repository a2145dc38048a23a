"""An application of Starlette around the app's endpoints: it answers for the app once there are routes or middleware.

The only file that imports Starlette, and imported only by agents that need it.
"""

from __future__ import annotations

from starlette.applications import Starlette  # type: ignore[import-not-found]
from starlette.routing import Route, WebSocketRoute  # type: ignore[import-not-found]

from ._asgi import Invocations, Ping, Socket
from ._lifespan import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


def build(app: Any) -> Application:
    """Returns the application, with the routes of the contract."""
    return Application(app)


class Application(Starlette):  # type: ignore[misc]
    """Starlette, which says to all that it is the agent's own app."""

    middleware_stack: Any

    def __init__(self, app: Any) -> None:
        self._ours = [
            Route("/invocations", Invocations(app), methods=["POST"], name="invocations"),
            Route("/ping", Ping(app), methods=["GET"], name="ping"),
            WebSocketRoute("/ws", Socket(app), name="ws"),
        ]
        super().__init__(debug=app.debug, routes=self._ours, lifespan=whole)
        self._app = app

    def is_used(self) -> bool:
        """Returns whether the agent has added anything."""
        return bool(self.user_middleware or self.exception_handlers or self.router.routes != self._ours)

    def add_function(self, function: Callable[..., Any]) -> None:
        """Adds a middleware that is a function."""
        from starlette.middleware.base import BaseHTTPMiddleware  # type: ignore[import-not-found]

        self.add_middleware(BaseHTTPMiddleware, dispatch=function)

    def build_middleware_stack(self) -> Any:
        """Puts the middleware around the routes."""
        # It may have changed since.
        self.debug = self._app.debug
        return super().build_middleware_stack()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one connection."""
        scope["app"] = self._app
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)
