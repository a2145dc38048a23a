"""Async handlers, and the async rest of others: one connection on the event loop, with a task for each call.

Items of a stream are written when they come. What keeps a stream back is its credit, and the bytes under way.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context

from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._invocation import current

from . import frames
from .calls import STREAMS, AsyncGenerator, Call, Coroutine, error_reply, stream_error
from .frames import ALIVE, CANCEL, CREDIT, END, INVOKE, ITEM, PROBE, RESPONSE, STREAM, ProtocolError, frame
from .loop import EventLoop, Gone, Threaded, pump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from socket import socket
    from typing import Any, Deque, Dict, Optional

    from .worker import Worker

_BUFFER = 256 * 1024
# What may wait for the server to read, over all calls, before streams are held back.
_MAX_UNSENT = 256 * 1024
# What one stream may have under way, besides one item: credit counts items, and items can be large.
_MAX_UNDER_WAY = 8 * 1024 * 1024
# Items below this are not worth counting: credit alone keeps them under the limit.
_LARGE = _MAX_UNDER_WAY // frames.FIRST_CREDIT


class Multiplex:
    """The connection. All of it happens on the event loop, except for the construction."""

    def __init__(self, worker: Worker, loop: EventLoop, link: socket) -> None:
        self._worker = worker
        self._events = loop
        self._loop = loop.loop
        self._link = link
        self._fd = link.fileno()
        self._buffer = bytearray(_BUFFER)
        self._filled = 0
        self._unsent = bytearray()
        self._room: Optional[asyncio.Future[None]] = None
        self.calls: Dict[int, _Running] = {}
        link.setblocking(False)
        self._loop.call_soon_threadsafe(self._loop.add_reader, self._fd, self._on_readable)

    def take_over(self, number: int, call: Call, rest: Any) -> _Running:
        """Takes over what is left of a call, in a copy of this context, from any thread.

        It begins with its first CREDIT. To be called before the server is told: what it then says must find the call.
        """
        moved = _Running(self, number, call)
        moved.rest = rest
        moved.context = copy_context()
        moved.credit = 0
        self.calls[number] = moved
        return moved

    def go_on_alone(self, moved: _Running) -> None:
        """Has a call go on that the server does not ask for: its caller has left. From any thread."""
        self._loop.call_soon_threadsafe(moved.leave)

    def begin(self, running: _Running) -> None:
        """Begins to answer a call."""
        # A copy for each call: what one sets, the next does not see.
        context = running.context or self._worker.context.copy()
        running.task = context.run(self._loop.create_task, self._answer(running))

    def send(self, data: bytes) -> None:
        """Writes frames, or keeps what the connection does not take yet."""
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._link.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            # If it is the server's end, the control connection ends the worker.
            self._worker.unwritable(self._link)
            return
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._fd, self._on_writable)

    async def room(self) -> None:
        """Waits until less is unsent."""
        while len(self._unsent) > _MAX_UNSENT:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def is_full(self) -> bool:
        """Returns whether streams have to wait."""
        return len(self._unsent) > _MAX_UNSENT

    def _on_writable(self) -> None:
        try:
            sent = self._link.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._loop.remove_writer(self._fd)
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._fd)
        if self._room is not None and len(self._unsent) <= _MAX_UNSENT // 2:
            self._room.set_result(None)
            self._room = None

    def _on_readable(self) -> None:
        try:
            got = self._link.recv_into(memoryview(self._buffer)[self._filled :])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            got = 0
        if not got:
            self._loop.remove_reader(self._fd)
            self._worker.end()
            return
        self._filled += got
        try:
            self._take_frames()
        except ProtocolError as error:
            self._worker.fail(str(error))

    def _take_frames(self) -> None:
        buffer, filled, start = self._buffer, self._filled, 0
        view = memoryview(buffer)
        while filled - start >= frames.HEAD_SIZE:
            size = frames.size_at(buffer, start)
            if filled - start < size:
                if size > len(buffer):
                    self._buffer = bytearray(size)
                break
            _, kind, number = frames.head_at(buffer, start)
            self._take(kind, number, view[start + frames.HEAD_SIZE : start + size])
            start += size
        rest = filled - start
        if self._buffer is buffer and rest == 0 and len(buffer) > _BUFFER:
            self._buffer = bytearray(_BUFFER)
        elif rest and (start or self._buffer is not buffer):
            self._buffer[:rest] = bytes(view[start:filled])
        self._filled = rest

    def _take(self, kind: int, number: int, payload: memoryview) -> None:
        if kind == INVOKE:
            started = _Running(self, number, Call(payload))
            self.calls[number] = started
            self.begin(started)
        elif kind == CREDIT:
            running = self.calls.get(number)
            if running is not None:
                running.allow(frames.u32_at(payload)[0])
        elif kind == CANCEL:
            if len(payload) != 1:
                raise ProtocolError(f"a CANCEL of {len(payload)} bytes")
            running = self.calls.get(number)
            if running is not None:
                if payload[0]:
                    running.expire()
                else:
                    running.leave()
        elif kind == PROBE:
            self.send(frame(ALIVE, 0))
        else:
            raise ProtocolError(f"a frame of kind {kind} on the connection of the event loop")

    async def _answer(self, running: _Running) -> None:
        call, number = running.call, running.number
        running.has_begun = True
        result = None
        try:
            if running.is_over:
                if type(running.rest) is Coroutine:
                    running.rest.close()
                raise asyncio.CancelledError
            result = await self._result(running)
            if call.refusal is not None:
                kind, payload = call.refusal
            elif type(result) in STREAMS:
                kind, payload = await self._stream(running, result)
            else:
                kind, payload = call.result(result)
        except BaseException as error:
            # Also SystemExit, CancelledError and their like: they end the call, not the loop.
            if running.is_over and isinstance(error, asyncio.CancelledError):
                kind, payload = error_reply(504, "the invocation ran into its limit")
            else:
                kind, payload = call.failure(error)
        del self.calls[number]
        self.send(frame(kind, number, payload))
        call.log_success()
        background = getattr(result, "background", None) if kind == RESPONSE else None
        if background is not None:
            try:
                await background()
            except BaseException as error:
                _log.emit(_log.ERROR, "Background task of a response failed", error)

    async def _result(self, running: _Running) -> Any:
        """Returns what the handler returns; for a call that was refused `None`."""
        call, result = running.call, running.rest
        if result is None:
            handler = call.begin(self._worker.app)
            if handler is None:
                return None
            if handler.is_async:
                result = call.perform(handler)
            else:
                # Registered after the agent was ready, in place of an async one.
                result = await Threaded.call(self._events.blocking(), call.perform, handler)
        if type(result) is Coroutine:
            result = await result
        return result

    async def _stream(self, running: _Running, stream: Any) -> Any:
        is_async = type(stream) is AsyncGenerator
        kind = "async generator" if is_async else "generator"
        _log.emit(_log.INFO, f"Returning streaming response ({kind}) ({running.call.elapsed():.3f}s)")
        running.is_stream = True
        if not is_async:
            stream = Threaded(stream, self._events.blocking())
        if running.is_gone:
            await stream.aclose()
            return END, b""
        self.send(frame(STREAM, running.number))
        error = await pump(stream, running.send)
        if error is None or running.is_gone:
            return END, b""
        _log.emit(_log.ERROR, "Error in async streaming", error)
        return stream_error(error)


class _Running:
    """A call that is being answered."""

    __slots__ = (
        "_sizes",
        "_under_way",
        "_wait",
        "call",
        "context",
        "credit",
        "has_begun",
        "is_gone",
        "is_over",
        "is_stream",
        "link",
        "number",
        "rest",
        "task",
    )

    def __init__(self, link: Multiplex, number: int, call: Call) -> None:
        self.link = link
        self.number = number
        self.call = call
        self.task: Optional[asyncio.Task[None]] = None
        # What a handler in a thread has returned, where it is async, and the context to go on in.
        self.rest: Any = None
        self.context: Optional[Context] = None
        self.has_begun = False
        self.is_stream = False
        # The caller has left; the call has run into its limit.
        self.is_gone = False
        self.is_over = False
        self.credit = frames.FIRST_CREDIT
        self._under_way = 0
        self._sizes: Optional[Deque[int]] = None
        self._wait: Optional[asyncio.Future[None]] = None

    async def send(self, item: bytes) -> None:
        """Sends an item of the stream, as soon as it may be sent."""
        if self.is_gone:
            raise Gone
        while self.credit <= 0 or self._under_way > _MAX_UNDER_WAY:
            self._wait = asyncio.get_running_loop().create_future()
            await self._wait
        if self.link.is_full():
            await self.link.room()
        self.credit -= 1
        if self._sizes is not None or len(item) > _LARGE:
            self._count(len(item))
        self.link.send(frame(ITEM, self.number, item))

    def allow(self, more: int) -> None:
        """Takes credit: the oldest items have been taken by the client."""
        self.credit += more
        if self.task is None:
            self.link.begin(self)
        if self._sizes is not None:
            for _ in range(min(more, len(self._sizes))):
                self._under_way -= self._sizes.popleft()
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)

    def leave(self) -> None:
        """The caller has left. A stream is cancelled; a handler that has not answered yet is let finish."""
        if not self.is_gone:
            self.is_gone = True
            if self.task is None:
                self.link.begin(self)
            elif self.is_stream:
                self.task.cancel()

    def expire(self) -> None:
        """The call has run into its limit: it is cancelled whatever it does, as often as this is called."""
        self.is_gone = True
        if not self.is_over:
            self.is_over = True
            copy_context().run(_tell_of_the_limit, self.call)
        if self.task is None:
            self.link.begin(self)
        elif self.has_begun:
            # A task that is cancelled before its first step never begins, and so would never answer.
            self.task.cancel()

    def _count(self, size: int) -> None:
        if self._sizes is None:
            from collections import deque

            # What came before was small: it counts as nothing, but its credit comes back first.
            self._sizes = deque([0] * (frames.FIRST_CREDIT - self.credit - 1))
        self._sizes.append(size)
        self._under_way += size


def _tell_of_the_limit(call: Call) -> None:
    current.set(call.invocation)
    _log.emit(_log.WARNING, f"The invocation ran into its limit ({call.elapsed():.3f}s)")
