"""Where handlers run when the app is served as ASGI: plain ones in threads, async ones on a loop of their own.

On that loop, not on the server's: a handler that blocks must not keep the server from answering `/ping`, and a task
that a handler starts goes on after the request. In a worker it is the worker's event loop.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from threading import Event, Lock, Thread

from . import _log
from ._answer import Coroutine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from typing import Any, AsyncIterator, Awaitable, Callable, Generator, Optional, Tuple
    from typing import Coroutine as Co

    from ._answer import Exchange
    from ._handler import Handler

    # A result, or what was raised: as values, so that a `CancelledError` of the agent's is not taken for one of ours.
    Outcome = Tuple[Any, Optional[BaseException]]

_END: Any = object()
_MAX_THREADS = 256


class Gone(Exception):
    """Nobody listens to a stream any more."""


class Runner:
    """Threads and an event loop, each started when it is needed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: Optional[Executor] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def threads(self) -> Executor:
        """Returns threads for what blocks."""
        with self._lock:
            if self._threads is None:
                from concurrent.futures import ThreadPoolExecutor

                self._threads = ThreadPoolExecutor(_MAX_THREADS, "agentcore-blocking")
            return self._threads

    def loop(self) -> asyncio.AbstractEventLoop:
        """Returns the loop that async handlers run on."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                started = Event()
                Thread(target=_run, args=(self._loop, started), name="agentcore-worker-loop", daemon=True).start()
                started.wait()
            return self._loop

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Outcome:
        """Calls a function in a thread, in a copy of this context."""
        run = copy_context().run
        loop = asyncio.get_running_loop()
        done: Outcome = await loop.run_in_executor(self.threads(), run, outcome, function, *args)
        return done

    async def on_loop(self, coroutine: Co[Any, Any, Any]) -> Outcome:
        """Runs a coroutine on the loop, in a copy of this context; cancelling this cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(kept(coroutine), self.loop()))

    async def call(self, exchange: Exchange, handler: Handler) -> Outcome:
        """Calls a handler. Its result may be a stream."""
        if handler.is_async:
            result, error = outcome(exchange.perform, handler)
        else:
            result, error = await self.in_thread(exchange.perform, handler)
        if type(result) is Coroutine:
            return await self.on_loop(result)
        return result, error


async def pump(
    stream: AsyncIterator[Any], encode: Callable[[Any], bytes], send: Callable[[bytes], Awaitable[None]]
) -> Optional[BaseException]:
    """Sends what a stream gives, closes it, and returns what it raised."""
    error: Optional[BaseException] = None
    try:
        async for item in stream:
            await send(encode(item))
    except BaseException as raised:
        error = raised
    try:
        await stream.aclose()  # type: ignore[attr-defined]
    except BaseException as raised:
        error = error or raised
    return error


async def send_itself(response: Any, scope: Any, receive: Any, send: Any) -> None:
    """Has a response send itself, and closes what it sends from, which Starlette leaves to the garbage collector."""
    try:
        await response(scope, receive, send)
    finally:
        close = getattr(getattr(response, "body_iterator", None), "aclose", None)
        if close is not None:
            await close()


class Threaded:
    """A plain generator as an async one: each step runs in a thread, and no step runs beside another."""

    def __init__(self, generator: Generator[Any, Any, Any], threads: Executor) -> None:
        self._generator = generator
        self._threads = threads
        # One context for the whole generator: what it sets before a `yield` is there after it.
        self._context = copy_context()
        self._has_begun = False

    @staticmethod
    async def call(threads: Executor, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a plain function in a thread, in a copy of this context."""
        return await _finished(threads.submit(copy_context().run, outcome, function, *args))

    def __aiter__(self) -> Threaded:
        return self

    async def __anext__(self) -> Any:
        item = await self._in_thread(self._next)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Closes the generator. No step runs any more: a cancelled one was waited for."""
        if self._has_begun:
            await self._in_thread(self._generator.close)
        else:
            # Nothing of it runs, so it needs no thread.
            self._generator.close()

    def _next(self) -> Any:
        self._has_begun = True
        return next(self._generator, _END)

    async def _in_thread(self, function: Callable[[], Any]) -> Any:
        return await _finished(self._threads.submit(self._context.run, outcome, function))


async def _finished(step: Future[Outcome]) -> Any:
    value, error = await settled(step)
    if error is not None:
        raise error
    return value


async def settled(step: Future[Outcome]) -> Outcome:
    """Waits for a step in a thread. Cancelled, one that is in the queue is dropped and one that runs is waited for.

    A thread cannot be interrupted: a call that ended before its thread would hide that the thread is not free.
    """
    waiter = asyncio.wrap_future(step)
    cancelled: Optional[BaseException] = None
    while not waiter.done():
        try:
            # Shielded: a cancelled wait must not make the step look finished.
            await asyncio.shield(waiter)
        except asyncio.CancelledError as reason:
            if step.cancel():
                raise
            cancelled = reason
    if cancelled is not None:
        raise cancelled
    return waiter.result()


async def kept(coroutine: Co[Any, Any, Any]) -> Outcome:
    """Runs a coroutine, and returns its result or what it raised."""
    # As a value, because asyncio lets SystemExit and KeyboardInterrupt of a task through to the loop.
    try:
        return await coroutine, None
    except BaseException as error:
        return None, error


def outcome(function: Callable[..., Any], *args: Any) -> Outcome:
    """Calls a function, and returns its result or what it raised."""
    # As a value, because a future takes neither StopIteration nor SystemExit.
    try:
        return function(*args), None
    except BaseException as error:
        return None, error


def _run(loop: asyncio.AbstractEventLoop, started: Event) -> None:
    asyncio.set_event_loop(loop)
    started.set()
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt) as error:
            # A task that the agent started ended like this. Neither the loop nor the process is its to end.
            _log.emit(_log.ERROR, f"A background task raised {type(error).__name__}", error)
