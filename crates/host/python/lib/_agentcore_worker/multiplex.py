"""Async handlers, and the async rest of others: one connection on the event loop, with a task for each call.

Reads the connection and answers the calls; what is sent goes through the outlet.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import copy_context

from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._runner import Threaded

from . import frames
from .calls import STREAMS, AsyncGenerator, Call, Coroutine, error_reply, stream_error
from .frames import ALIVE, CANCEL, CREDIT, DISCONNECT, END, HEAD, INVOKE, PROBE, REQUEST, RESPONSE, STREAM
from .frames import ProtocolError, frame
from .loop import EventLoop, pump
from .outlet import Outlet
from .running import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any, Dict, Optional
    from typing import Coroutine as AnyCoroutine

    from .watch import Watch
    from .worker import Worker

_BUFFER = 256 * 1024


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
        self.outlet = Outlet(loop, link, lambda: worker.unwritable(link))
        self.send = self.outlet.send
        self.calls: Dict[int, Running] = {}
        self._stalls: Optional[Watch] = None
        link.setblocking(False)
        # Not in the context of the call that needs it first, which would be kept for ever.
        context = worker.context.copy()
        self._loop.call_soon_threadsafe(self._loop.add_reader, self._fd, self._on_readable, context=context)

    def prepare(self) -> None:
        """Imports what calls need, if none has come yet. From any thread, when the start is over."""
        self._loop.call_soon_threadsafe(self._prepare)

    def _prepare(self) -> Watch:
        if self._stalls is None:
            from .stall import Stalls

            self._stalls = Stalls(self._worker, self._events, self.calls).watch
            self._events.set_default_executor()
        return self._stalls

    def take_over(self, number: int, call: Call, rest: Any) -> Running:
        """Takes over what is left of a call, in a copy of this context, from any thread.

        It begins with its first CREDIT. To be called before the server is told: what it then says must find the call.
        """
        moved = Running(self, number, call)
        moved.rest = rest
        moved.context = copy_context()
        moved.credit = 0
        self.calls[number] = moved
        return moved

    def enter(self, running: Running) -> Running:
        """Notes a call that has arrived."""
        if running.number in self.calls:
            raise ProtocolError(f"a second call with the number {running.number}")
        self.calls[running.number] = running
        return running

    def go_on_alone(self, moved: Running) -> None:
        """Has a call go on that the server does not ask for: its caller has left. From any thread."""
        self._loop.call_soon_threadsafe(moved.leave)

    def begin(self, running: Running) -> None:
        """Begins to answer a call."""
        self.start(running, self._answer(running))

    def start(self, running: Running, answer: AnyCoroutine[Any, Any, None]) -> None:
        """Runs a coroutine as the task of a call."""
        stalls = self._stalls or self._prepare()
        if not stalls.is_awake:
            stalls.wake()
        # A copy for each call: what one sets, the next does not see.
        context = running.context or self._worker.context.copy()
        running.task = context.run(self._loop.create_task, answer)

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
        # If the loop has nothing else to do in this turn, what becomes ready now is of these frames.
        ready: Any = getattr(self._loop, "_ready", None)
        is_idle = type(ready) is deque and not ready
        try:
            count = self._take_frames()
        except ProtocolError as error:
            self._worker.fail(str(error))
            return
        if is_idle and count == 1 and len(ready) == 1 and not self._filled and self._buffer[4] == INVOKE:
            # The first step of the call that has come: what the loop would do next, after a look at all connections.
            step = ready.popleft()
            if not step.cancelled():
                step._run()

    def _take_frames(self) -> int:
        """Takes the frames that are whole; returns how many."""
        buffer, filled, start, count = self._buffer, self._filled, 0, 0
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
            count += 1
        rest = filled - start
        if self._buffer is buffer and rest == 0 and len(buffer) > _BUFFER:
            self._buffer = bytearray(_BUFFER)
        elif rest and (start or self._buffer is not buffer):
            self._buffer[:rest] = bytes(view[start:filled])
        self._filled = rest
        return count

    def _take(self, kind: int, number: int, payload: memoryview) -> None:
        if kind == INVOKE:
            self.begin(self.enter(Running(self, number, Call(payload))))
        elif kind == CREDIT:
            if len(payload) != 4:
                raise ProtocolError(f"a CREDIT of {len(payload)} bytes")
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
        elif REQUEST <= kind <= DISCONNECT:
            from .asgi import take

            take(self, self._worker, kind, number, payload)
        else:
            raise ProtocolError(f"a frame of kind {kind} on the connection of the event loop")

    async def _answer(self, running: Running) -> None:
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
                if kind == HEAD:
                    from .asgi import respond

                    kind, payload = await respond(running, result)
        except BaseException as error:
            # Also SystemExit, CancelledError and their like: they end the call, not the loop.
            if running.is_over and isinstance(error, asyncio.CancelledError):
                kind, payload = error_reply(504, "the invocation ran into its limit")
            else:
                kind, payload = call.failure(error)
        del self.calls[number]
        waits = self.outlet.end(frame(kind, number, payload), not self.calls)
        # After the answer: where that waits, so does the line, and many are written together.
        call.log_success(waits)
        background = getattr(result, "background", None) if kind == RESPONSE else None
        if background is not None:
            try:
                await background()
            except BaseException as error:
                _log.emit(_log.ERROR, "Background task of a response failed", error)

    async def _result(self, running: Running) -> Any:
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

    async def _stream(self, running: Running, stream: Any) -> Any:
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
        error = await pump(stream, running.put, running.may_send)
        if error is None or running.is_gone:
            return END, b""
        _log.emit(_log.ERROR, "Error in async streaming", error)
        return stream_error(error)
