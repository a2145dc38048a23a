"""What an agent does before its first request and after its last: its `lifespan`, and handlers of these events.

Both may be there. Handlers of the start run before the lifespan begins, those of the end after it has ended.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from inspect import isasyncgenfunction, isawaitable, isgeneratorfunction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncContextManager, AsyncIterator, Callable, ContextManager, Dict, List, Mapping, Optional

    from .app import BedrockAgentCoreApp

EVENTS = ("startup", "shutdown")


@asynccontextmanager
async def whole(app: BedrockAgentCoreApp) -> AsyncIterator[Optional[Mapping[str, Any]]]:
    """Starts the app on entering and ends it on leaving; gives the state that its lifespan yields."""
    handlers = app._event_handlers
    await _call(handlers, "startup")
    lifespan = app._lifespan
    if lifespan is None:
        yield None
    else:
        async with _context(lifespan, app) as state:
            yield state
    await _call(handlers, "shutdown")


async def serve(app: BedrockAgentCoreApp, scope: Dict[str, Any], receive: Any, send: Any) -> None:
    """Speaks the lifespan protocol of ASGI for the app."""
    started = False
    await receive()
    try:
        async with whole(app) as state:
            if state is not None:
                if "state" not in scope:
                    raise RuntimeError('The server does not support "state" in the lifespan scope.')
                scope["state"].update(state)
            await send({"type": "lifespan.startup.complete"})
            started = True
            await receive()
    except BaseException:
        from traceback import format_exc

        await send({"type": f"lifespan.{EVENTS[started]}.failed", "message": format_exc()})
        raise
    await send({"type": "lifespan.shutdown.complete"})


def _context(lifespan: Callable[..., Any], app: BedrockAgentCoreApp) -> AsyncContextManager[Any]:
    if isasyncgenfunction(lifespan):
        # Without its decorator.
        return asynccontextmanager(lifespan)(app)
    if isgeneratorfunction(lifespan):
        return _plain(contextmanager(lifespan)(app))
    context: AsyncContextManager[Any] = lifespan(app)
    return context


@asynccontextmanager
async def _plain(context: ContextManager[Any]) -> AsyncIterator[Any]:
    with context as state:
        yield state


async def _call(handlers: Dict[str, List[Callable[[], Any]]], event: str) -> None:
    for handler in handlers.get(event, ()):
        result = handler()
        if isawaitable(result):
            await result
