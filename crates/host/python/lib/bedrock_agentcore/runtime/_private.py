"""Methods of the app that have no public name, and that agents and their tests call all the same.

Only those that mean something here: what the reference has around its own server (`_handle_…`, the bridge from async
generators to plain ones, the client of configuration bundles) is not among them.
"""

from __future__ import annotations

from contextvars import copy_context

from ._handler import NO_CONTEXT, context_parameter
from ._values import encode, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from typing import Any, Callable, Optional


class Private:
    """The part of an app that others reach into."""

    # Set by the worker: returns its event loop, and starts it the first time.
    _start_loop: Optional[Callable[[], AbstractEventLoop]] = None
    _worker_loop: Optional[AbstractEventLoop] = None

    def _ensure_worker_loop(self) -> AbstractEventLoop:
        """Returns the event loop that async handlers run on, for `asyncio.run_coroutine_threadsafe`."""
        if self._worker_loop is None:
            if self._start_loop is None:
                raise RuntimeError("the event loop of the agent runs only while the agent is served")
            self._worker_loop = self._start_loop()
        return self._worker_loop

    def _takes_context(self, handler: Callable[..., Any]) -> bool:
        """Returns whether a handler is passed the context of its request."""
        return context_parameter(handler) != NO_CONTEXT

    async def _invoke_handler(
        self, handler: Callable[..., Any], request_context: Any, takes_context: bool, payload: Any
    ) -> Any:
        """Calls a handler as for an invocation: a plain one in a thread."""
        from asyncio import get_running_loop

        from ._handler import is_async

        arguments = (payload, request_context) if takes_context else (payload,)
        if is_async(handler):
            result = handler(*arguments)
        else:
            run = copy_context().run
            result = await get_running_loop().run_in_executor(None, run, handler, *arguments)
        return await result if hasattr(result, "__await__") else result

    def _safe_serialize_to_json_string(self, obj: Any) -> str:
        """Returns the JSON text of a result."""
        return text(obj)

    def _convert_to_sse(self, obj: Any) -> bytes:
        """Returns the event of a stream for a value."""
        return b"data: " + encode(obj) + b"\n\n"
