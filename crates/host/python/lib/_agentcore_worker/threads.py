"""Sync handlers: threads that each hold one connection, on which they read a call and write its answer, blocking.

What a handler returns may still be async: that part moves to the event loop, and the thread is free.
"""

from __future__ import annotations

from threading import Lock, Thread

from bedrock_agentcore.runtime import _log

from . import frames
from .calls import AsyncGenerator, Call, Coroutine, Generator, event, stream_error
from .frames import END, HEAD, INVOKE, ITEM, MOVED, RESPONSE, STREAM, ProtocolError, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any, Optional, Set

    from .worker import Worker

_BUFFER = 16 * 1024
# Above this, head and payload are sent one after the other instead of being copied together.
_COPY = 64 * 1024


class ThreadPool:
    """The threads. There are never more than `limit`, also when the callers of some have left."""

    def __init__(self, worker: Worker, limit: int) -> None:
        self._worker = worker
        self._lock = Lock()
        self._names = 0
        self.limit = limit
        self._threads: Set[_HandlerThread] = set()

    def grow(self, more: int) -> None:
        """Opens connections, each with its thread."""
        for _ in range(more):
            with self._lock:
                if len(self._threads) >= self.limit:
                    return
                self._names += 1
                thread = _HandlerThread(self, self._worker, self._names)
                self._threads.add(thread)
            try:
                thread.start()
            except BaseException:
                self.remove(thread)
                raise

    def is_busy(self) -> bool:
        """Returns whether a handler runs."""
        with self._lock:
            return any(thread.is_busy for thread in self._threads)

    def remove(self, thread: _HandlerThread) -> None:
        """Forgets a thread that has ended."""
        with self._lock:
            self._threads.discard(thread)


class _HandlerThread:
    def __init__(self, pool: ThreadPool, worker: Worker, number: int) -> None:
        self._pool = pool
        self._worker = worker
        self._number = number
        self._buffer = bytearray(_BUFFER)
        self._link: socket
        self.is_busy = False
        # The number of the call that was made last.
        self._call = 0

    def start(self) -> None:
        # Connected here and not in the thread: what is opened before READY is there when the server reads READY.
        self._link = self._worker.server.connect("thread")
        Thread(target=self._run, name=f"agentcore-handler-{self._number}", daemon=True).start()

    def _run(self) -> None:
        try:
            while self._serve():
                self._worker.unwritable(self._link)
                # The caller of the last call left, and the server said so by closing the connection.
                self._worker.server.close(self._link)
                self._link = self._worker.server.connect("thread", self._call)
        except ProtocolError as error:
            self._worker.fail(str(error))
        except OSError:
            # The server is going away.
            pass
        finally:
            self._worker.server.close(self._link)
            self._pool.remove(self)

    def _serve(self) -> bool:
        """Answers calls until the connection ends; returns whether that may concern a call.

        The server also cuts a stream whose end it has not read yet, and waits for the thread all the same.
        """
        base = self._worker.context
        has_called = False
        while True:
            view = self._receive()
            if view is None:
                return has_called
            has_called = True
            self.is_busy = True
            number = self._call = frames.head_at(view)[2]
            call = Call(view[frames.HEAD_SIZE :])
            del view
            if len(self._buffer) > _BUFFER:
                self._buffer = bytearray(_BUFFER)
            # A copy for each call: what one sets, the next does not see.
            alive = base.copy().run(self._answer, number, call)
            # Nothing of a call outlives it here.
            del call
            self.is_busy = False
            if not alive:
                return True

    def _receive(self) -> Optional[memoryview]:
        """Returns the next frame, or `None` at the end of the connection."""
        link = self._link
        try:
            got = link.recv_into(self._buffer)
            while 0 < got < frames.HEAD_SIZE:
                got = self._receive_more(got)
            if not got:
                return None
            size = frames.size_at(self._buffer, 0)
            if size > len(self._buffer):
                larger = bytearray(size)
                larger[:got] = memoryview(self._buffer)[:got]
                self._buffer = larger
            while got < size:
                got = self._receive_more(got)
                if not got:
                    return None
        except OSError:
            return None
        if self._buffer[4] != INVOKE or got > size:
            raise ProtocolError(f"a frame of kind {self._buffer[4]} on a connection of a thread")
        return memoryview(self._buffer)[:size]

    def _receive_more(self, got: int) -> int:
        more = self._link.recv_into(memoryview(self._buffer)[got:])
        return got + more if more else 0

    def _answer(self, number: int, call: Call) -> bool:
        """Answers one call; returns whether the connection is still good."""
        result = None
        try:
            handler = call.begin(self._worker.app)
            if handler is None:
                kind, payload = call.refusal or call.failure(RuntimeError("a refusal without an answer"))
            else:
                result = call.perform(handler)
                if type(result) is Coroutine or type(result) is AsyncGenerator:
                    return self._move(number, call, result)
                if type(result) is Generator:
                    return self._stream(number, call, result)
                kind, payload = call.result(result)
                if kind == HEAD:
                    # It sends itself, which is done on the loop.
                    return self._move(number, call, result)
        except BaseException as error:
            # Also SystemExit and its like: they end the call, not the worker.
            kind, payload = call.failure(error)
        alive = self._send(kind, number, payload)
        call.log_success()
        background = getattr(result, "background", None) if kind == RESPONSE else None
        if background is not None:
            self._run_background(background)
        return alive

    def _send(self, kind: int, number: int, payload: bytes = b"") -> bool:
        try:
            if len(payload) < _COPY:
                self._link.sendall(frame(kind, number, payload))
            else:
                self._link.sendall(frames.head(kind, number, len(payload)))
                self._link.sendall(payload)
        except OSError:
            return False
        return True

    def _move(self, number: int, call: Call, rest: Any) -> bool:
        loop = self._worker.multiplex()
        moved = loop.take_over(number, call, rest)
        if self._send(MOVED, number):
            return True
        loop.go_on_alone(moved)
        return False

    def _stream(self, number: int, call: Call, stream: Any) -> bool:
        _log.emit(_log.INFO, f"Returning streaming response (generator) ({call.elapsed():.3f}s)")
        alive = self._send(STREAM, number)
        error: Optional[BaseException] = None
        try:
            if alive:
                alive = self._send_items(number, stream)
        except BaseException as raised:
            error = raised
        try:
            # Its `finally` blocks run now, and in the context of the call.
            stream.close()
        except BaseException as raised:
            error = error or raised
        return self._end(number, error, alive)

    def _send_items(self, number: int, stream: Any) -> bool:
        # Each item on its own and at once: nobody knows when the next one comes.
        sendall = self._link.sendall
        for item in stream:
            data = frame(ITEM, number, event(item))
            try:
                sendall(data)
            except OSError:
                return False
        return True

    def _end(self, number: int, error: Optional[BaseException], alive: bool) -> bool:
        if error is None:
            return alive and self._send(END, number)
        _log.emit(_log.ERROR, "Error in sync streaming", error)
        kind, payload = stream_error(error)
        return alive and self._send(kind, number, payload)

    def _run_background(self, background: Any) -> None:
        from .asgi import go_on

        # Not waited for: to the server the connection is idle, and the next call must not wait either.
        go_on(self._worker.event_loop(), background)
