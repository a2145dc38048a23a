"""The event loop of the worker: a thread with asyncio, started when something async has to run.

It outlives every call, so that tasks that a handler starts go on after it has returned.
"""

from __future__ import annotations

import asyncio
import sys
from threading import Event, Thread, get_ident

from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._runner import kept
from bedrock_agentcore.runtime._values import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import Context
    from typing import Any, AsyncIterator, Awaitable, Callable, Coroutine, Optional

# How long tasks that are cut off have for their `finally` blocks, in seconds.
_CLEAN_UP = 1.0


class EventLoop:
    """A running event loop, in a thread of its own."""

    def __init__(self, context: Context, threads: int) -> None:
        self.loop = _loop()
        self._threads = threads
        self._blocking: Optional[ThreadPoolExecutor] = None
        self._has_executor = False
        self._started = Event()
        self._thread = Thread(target=context.copy().run, args=(self._run,), name="agentcore-worker-loop", daemon=True)
        self._thread.start()
        self._started.wait()

    def ident(self) -> int:
        """Returns the number of its thread."""
        return self._thread.ident or 0

    def blocking(self) -> ThreadPoolExecutor:
        """Returns threads for what would block the loop. Asked on the loop only."""
        if self._blocking is None:
            from concurrent.futures import ThreadPoolExecutor

            self._blocking = ThreadPoolExecutor(self._threads, "agentcore-blocking")
        return self._blocking

    def set_default_executor(self) -> None:
        """Has functions that are handed to the loop's threads know whose call it is. To be called on the loop."""
        if self._has_executor:
            return
        self._has_executor = True
        from .executor import ContextThreads

        # The handlers' pool has a thread for each call, so this one has no fewer. The name is the one of asyncio.
        self.loop.set_default_executor(ContextThreads(self._threads, "asyncio"))

    def run(self, coroutine: Coroutine[Any, Any, Any], patience: Optional[float] = None) -> Any:
        """Runs a coroutine from another thread, in a copy of that thread's context, and waits for its result."""
        if get_ident() == self.ident():
            coroutine.close()
            raise RuntimeError("the event loop cannot wait for itself")
        value, error = asyncio.run_coroutine_threadsafe(kept(coroutine), self.loop).result(patience)
        if error is not None:
            raise error
        return value

    def tell_of_waits(self, tell: Callable[[bool], None]) -> bool:
        """Has `tell` called before each wait of the loop, with whether it is a short one; returns whether it will be.

        asyncio has no name for this moment: `call_soon` comes a whole turn later, with a system call of its own.
        """
        selector: Any = getattr(self.loop, "_selector", None)
        wait = getattr(selector, "select", None)
        if wait is None:
            return False

        def select(timeout: Optional[float] = None) -> Any:
            tell(timeout is not None and timeout <= 0)
            return wait(timeout)

        selector.select = select
        return True

    def cancel_tasks(self) -> None:
        """Cancels what still runs, and gives it a moment to clean up."""
        done = Event()
        self.loop.call_soon_threadsafe(self._cancel_tasks, done)
        done.wait(_CLEAN_UP)

    def _cancel_tasks(self, done: Event) -> None:
        tasks = asyncio.all_tasks(self.loop)
        if tasks:
            _log.emit(_log.WARNING, f"Background tasks that are cut off by the end of the agent: {len(tasks)}")
        for task in tasks:
            task.cancel()

        async def wait() -> None:
            if tasks:
                await asyncio.wait(tasks)
            done.set()

        self._waiting = self.loop.create_task(wait())

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._started.set()
        while True:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # A task that the agent started ended like this. Neither the loop nor the process is its to end.
                _log.emit(_log.ERROR, f"A background task raised {type(error).__name__}", error)


def _loop() -> asyncio.AbstractEventLoop:
    if sys.version_info < (3, 10):
        # There, locks and events belong to the loop that is current when they are made; the file made its own already.
        try:
            loop = asyncio.get_event_loop()
            if not loop.is_running() and not loop.is_closed():
                return loop
        except RuntimeError:
            pass
    return asyncio.new_event_loop()


async def pump(
    stream: AsyncIterator[Any], put: Callable[[bytes], bool], may_put: Callable[[], Awaitable[None]]
) -> Optional[BaseException]:
    """Hands what a stream gives to `put`, waiting with `may_put` when it refuses; closes it; returns what it raised."""
    error: Optional[BaseException] = None
    try:
        async for value in stream:
            item = encode(value)
            while not put(item):
                await may_put()
    except BaseException as raised:
        error = raised
    try:
        await stream.aclose()  # type: ignore[attr-defined]
    except BaseException as raised:
        error = error or raised
    return error
