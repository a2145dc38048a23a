"""The agent's app as an ASGI application, over frames: requests to it, and responses that send themselves.

The messages of ASGI become HEAD, CHUNK and END, or one RESPONSE where the answer is there as a whole.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context

from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._answer import said
from bedrock_agentcore.runtime._invocation import current
from bedrock_agentcore.runtime._runner import Gone, Runner, kept, outcome, send_itself, settled
from bedrock_agentcore.runtime._scope import scope_of

from . import frames
from .calls import described, error_reply, response_head
from .frames import CHUNK, END, HEAD, MAX_PAYLOAD, OPEN, REQUEST, RESPONSE, frame
from .running import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Executor
    from typing import Any, Awaitable, Callable, Coroutine, Dict, Optional, Set, Tuple

    from bedrock_agentcore.runtime._invocation import Invocation
    from bedrock_agentcore.runtime._runner import Outcome

    from .loop import EventLoop
    from .multiplex import Multiplex
    from .worker import Worker

    Message = Dict[str, Any]
    Write = Callable[[int, bytes], Awaitable[None]]

# A body in one piece would hold up the other calls of the connection.
_PIECE = 256 * 1024
# How long the head waits for the body: what comes together is one frame, and its length is known. In seconds.
_TOGETHER = 0.02


def take(link: Multiplex, worker: Worker, kind: int, number: int, payload: memoryview) -> None:
    """Takes a frame of a request that the agent answers itself, or of a WebSocket connection."""
    if kind == REQUEST:
        invocation, at = described(payload)
        running: Any = Request(link, number, invocation, bytes(payload[at:]))
    elif kind == OPEN:
        from .websocket import Connection

        running = Connection(link, number, described(payload)[0])
    else:
        known = link.calls.get(number)
        if known is not None:
            known.take(kind, payload)
        return
    link.start(link.enter(running), running.serve(worker.app))
    # Also for a task that is cancelled before it has begun.
    running.task.add_done_callback(lambda _: running.finish(asyncio.CancelledError()))


class LoopRunner(Runner):
    """Has handlers that are called over ASGI run where others do: on the worker's loop and its threads."""

    def __init__(self, events: EventLoop) -> None:
        super().__init__()
        self._events = events

    def threads(self) -> Executor:
        """Returns threads for what blocks."""
        return self._events.blocking()

    def loop(self) -> asyncio.AbstractEventLoop:
        """Returns the loop that async handlers run on."""
        return self._events.loop

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Outcome:
        """Calls a function in a thread, in a copy of this context; a call does not end before its thread."""
        return await settled(self.threads().submit(copy_context().run, outcome, function, *args))

    async def on_loop(self, coroutine: Coroutine[Any, Any, Any]) -> Outcome:
        """Runs a coroutine here: this is the loop, and a call does not end before its handler."""
        return await kept(coroutine)


class Request(Running):
    """A request that is being answered by the agent's app."""

    def __init__(self, link: Multiplex, number: int, invocation: Invocation, body: bytes) -> None:
        super().__init__(link, number, None)
        self._invocation = invocation
        self._body: Optional[bytes] = body
        self._over = asyncio.Event()
        self._answer = Answer(self._write, self._end)

    @property
    def invocation(self) -> Invocation:
        """The request that is answered."""
        return self._invocation

    def name(self, app: Any) -> str:
        """Returns what to call the code that answers, in a line of the log."""
        return "the app"

    async def serve(self, app: Any) -> None:
        """Has the app answer."""
        current.set(self._invocation)
        error: Optional[BaseException] = None
        try:
            await app(scope_of(self._invocation), self._receive, self._answer.send)
        except BaseException as raised:
            # Also SystemExit and its like: they end the call, not the loop.
            error = raised
        self.finish(error)

    def finish(self, error: Optional[BaseException]) -> None:
        """Ends the call, if the app has not."""
        self._answer.finish(error, self.is_gone)

    def leave(self) -> None:
        """The caller has left. An answer that has begun is cancelled; otherwise the app is let finish."""
        is_new, self.is_gone = not self.is_gone, True
        self._over.set()
        if self.task is not None and is_new and self._answer.is_begun:
            self.task.cancel()

    def expire(self) -> None:
        """The request has run into its limit, and the server has answered it."""
        self.is_gone = True
        self.tell_of_limit()
        self._over.set()
        if self.task is not None:
            self.task.cancel()

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _write(self, kind: int, payload: bytes) -> None:
        if self.is_gone:
            # Servers drop what comes then. The app learns it from `receive`, or by the end of this pause.
            await asyncio.sleep(0)
            return
        self.is_stream = True
        if kind == CHUNK:
            await self.send(payload, CHUNK)
        else:
            self.link.send(frame(kind, self.number, payload))

    def _end(self, kind: int, payload: bytes) -> None:
        self._over.set()
        if self.link.calls.pop(self.number, None) is not None:
            self.link.send(frame(kind, self.number, payload))


class Answer:
    """What an app sends, as frames: `write` sends one of the middle, `end` the last one."""

    def __init__(self, write: Write, end: Callable[[int, bytes], None], whole: bool = True) -> None:
        self._write = write
        self._end = end
        # Whether an answer that comes as a whole is sent as a whole.
        self._whole = whole
        self._head: Optional[bytes] = None
        self._late: Optional[asyncio.Task[None]] = None
        self.is_begun = False
        self.is_ended = False

    async def send(self, message: Message) -> None:
        """Takes a message of the app."""
        kind = message["type"]
        if self.is_ended:
            return
        if kind == "http.response.start":
            if self._head is not None:
                raise RuntimeError("the answer has begun already")
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
            self._head = response_head(int(message["status"]), headers)
            if self._whole:
                self._late = asyncio.get_running_loop().create_task(self._begin_late())
            else:
                await self._begin()
        elif kind == "http.response.body":
            if self._head is None:
                raise RuntimeError("a body comes before its `http.response.start`")
            await self._body(self._head, message.get("body", b""), message.get("more_body", False))

    def finish(self, error: Optional[BaseException], is_gone: bool) -> None:
        """Ends an answer that the app has left unfinished, and says so in the log."""
        self.stop_waiting()
        if self.is_ended:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                _log.emit(_log.ERROR, "Exception in ASGI application after its answer", error)
            return
        self.is_ended = True
        if is_gone and (error is None or isinstance(error, (asyncio.CancelledError, Gone, OSError))):
            self._end(END, b"")
            return
        if error is None:
            error = RuntimeError("the ASGI application returned before its answer was whole")
            _log.emit(_log.ERROR, str(error))
        else:
            _log.emit(_log.ERROR, "Exception in ASGI application", error)
        self._end(*error_reply(500, said(error), type(error).__name__))

    async def _body(self, head: bytes, body: bytes, more: bool) -> None:
        self.stop_waiting()
        if not (more or self.is_begun) and self._whole and len(head) + len(body) + 4 <= MAX_PAYLOAD:
            self.is_ended = True
            self._end(RESPONSE, frames.u32(len(head)) + head + bytes(body))
            return
        if not self.is_begun:
            await self._begin()
        for at in range(0, len(body), _PIECE):
            await self._write(CHUNK, bytes(body[at : at + _PIECE]))
        if not more:
            self.is_ended = True
            self._end(END, b"")

    async def _begin(self) -> None:
        self.is_begun = True
        await self._write(HEAD, self._head or b"")

    async def _begin_late(self) -> None:
        await asyncio.sleep(_TOGETHER)
        self._late = None
        await self._begin()

    def stop_waiting(self) -> None:
        """Has a head that waits for its body come no more."""
        if self._late is not None:
            self._late.cancel()
            self._late = None


async def respond(running: Running, response: Any) -> Tuple[int, bytes]:
    """Has a response that a handler has returned send itself over the loop connection; returns the last frame."""
    last: asyncio.Future[Tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def write(kind: int, payload: bytes) -> None:
        if kind == CHUNK:
            await running.send(payload, CHUNK)
        else:
            running.link.send(frame(kind, running.number, payload))

    running.is_stream = True
    running.call.log_response(response.status_code)
    answer = Answer(write, lambda kind, payload: _settle(last, kind, payload), whole=False)
    task = running.sending = _start(answer, response, running.call.invocation, asyncio.Event())
    try:
        return await asyncio.shield(last)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,))
        return END, b""


def go_on(events: EventLoop, background: Callable[[], Awaitable[None]]) -> None:
    """Has the background task of a response run on the loop, from another thread."""

    async def run() -> None:
        try:
            await background()
        except BaseException as error:
            _log.emit(_log.ERROR, "Background task of a response failed", error)

    running = asyncio.run_coroutine_threadsafe(run(), events.loop)
    _tasks.add(running)
    running.add_done_callback(_tasks.discard)


# What still runs, as asyncio itself remembers it weakly only: after a response has ended its background task goes on.
_tasks: Set[Any] = set()


def _start(answer: Answer, response: Any, invocation: Invocation, gone: asyncio.Event) -> asyncio.Task[None]:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        error: Optional[BaseException] = None
        try:
            await send_itself(response, scope_of(invocation), receive, answer.send)
        except BaseException as raised:
            error = raised
        answer.finish(error, gone.is_set() or isinstance(error, (asyncio.CancelledError, Gone)))

    task = asyncio.get_running_loop().create_task(run())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    # Also for a task that is cancelled before it has begun.
    task.add_done_callback(lambda _: answer.finish(asyncio.CancelledError(), True))
    return task


def _settle(last: asyncio.Future[Tuple[int, bytes]], kind: int, payload: bytes) -> None:
    if not last.done():
        last.set_result((kind, payload))
