"""Threads for what would block the event loop: each function runs in the context of the code that hands it over.

Imported by the loop when it runs: `concurrent.futures` is slow to import.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any, Callable


class ContextThreads(ThreadPoolExecutor):
    """A pool of threads; asyncio's own forgets which call a function belongs to."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Runs a function in a copy of the context that this is called in."""
        return super().submit(copy_context().run, fn, *args, **kwargs)
