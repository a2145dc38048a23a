"""The app as an ASGI application: `/invocations`, `/ping` and `/ws`, for any ASGI server.

What an invocation becomes is decided in `_answer`; here it is received and sent. Routes, middleware and mounts that an
agent adds are Starlette's affair (`_starlette`), which then calls these endpoints.
"""

from __future__ import annotations

import asyncio
import time
from time import perf_counter

from . import _log
from ._answer import STREAMS, AsyncGenerator, Exchange, error_body, error_event, is_response
from ._invocation import current
from ._request import received
from ._runner import Gone, Runner, Threaded, pump, send_itself
from ._scope import invocation_of, path_in, url_of
from ._values import BadPayload, compact, decode, encode
from ._websocket import connect, is_disconnect, is_open
from .context import RequestContext
from .models import PingStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Awaitable, Callable, Coroutine, Dict, List, Optional, Sequence, Tuple

    from ._handler import Handler
    from ._runner import Outcome
    from .app import BedrockAgentCoreApp

    Message = Dict[str, Any]
    Scope = Dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Answer = Tuple[int, List[Tuple[bytes, bytes]], bytes]

_TEXT = b"text/plain; charset=utf-8"
_JSON = b"application/json"
_EVENTS = b"text/event-stream; charset=utf-8"
# What `Allow` says where another method is wanted.
_METHODS = {"/invocations": ("POST",), "/ping": ("HEAD", "GET")}
_ANOTHER_SERVER = (
    "The file serves its app with a server of its own, and never comes to its end: the native engine serves the app "
    "that has `app.run()` instead, or none"
)


async def serve(app: BedrockAgentCoreApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one connection, or speaks the lifespan protocol, as a server asks for it."""
    if scope["type"] == "lifespan" and _holds_up_the_start():
        await receive()
        await send({"type": "lifespan.startup.failed", "message": _ANOTHER_SERVER})
        return
    if app._starlette is not None:
        await app._starlette(scope, receive, send)
        return
    scope["app"] = app
    if scope["type"] == "lifespan":
        from ._lifespan import serve as serve_lifespan

        await serve_lifespan(app, scope, receive, send)
        return
    path = path_in(scope)
    if scope["type"] == "websocket":
        if path == "/ws":
            await Socket(app)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        return
    methods = _METHODS.get(path)
    if methods is None:
        await _reply(send, _redirect(scope, path) or _text(404, "Not Found"))
    elif scope["method"] not in methods:
        await _reply(send, _text(405, "Method Not Allowed", (b"allow", ", ".join(methods).encode())))
    elif path == "/ping":
        await Ping(app)(scope, receive, send)
    else:
        await Invocations(app)(scope, receive, send)


def _holds_up_the_start() -> bool:
    # In a thread the file goes on: that server is one more.
    from threading import current_thread, main_thread

    from . import app as app_module

    worker = app_module._worker
    return worker is not None and not worker.is_serving() and current_thread() is main_thread()


class _Endpoint:
    """One path. An object and no function: so Starlette takes it for an ASGI application."""

    def __init__(self, app: BedrockAgentCoreApp) -> None:
        self._app = app

    def _runner(self) -> Runner:
        if self._app._runner is None:
            self._app._runner = Runner()
        return self._app._runner


class Invocations(_Endpoint):
    """`POST /invocations`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        started = perf_counter()
        body = await _body(receive)
        if body is None:
            # The caller has left in the middle of it.
            return
        exchange = _Exchange(scope, body, started)
        before = current.set(exchange.invocation)
        try:
            await self._answer(exchange, scope, receive, send)
        finally:
            current.reset(before)

    async def _answer(self, exchange: _Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        handler = exchange.begin(self._app)
        if handler is None:
            answer = exchange.refusal
        else:
            result, error = await self._runner().call(exchange, handler)
            if error is not None:
                answer = exchange.failure(error)
            elif type(result) in STREAMS:
                await self._stream(exchange, result, receive, send)
                return
            elif is_response(result):
                exchange.log_response(result.status_code)
                await send_itself(result, scope, receive, send)
                return
            else:
                answer = exchange.result(result)
        await _reply(send, answer)
        exchange.log_success()

    async def _stream(self, exchange: _Exchange, stream: Any, receive: Receive, send: Send) -> None:
        async def forward(item: bytes) -> None:
            try:
                await send({"type": "http.response.body", "body": b"data: " + item + b"\n\n", "more_body": True})
            except OSError:
                raise Gone from None

        exchange.log_stream(stream)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _EVENTS)]})
        runner = self._runner()
        is_async = type(stream) is AsyncGenerator
        if is_async:
            hop = _sender_to(asyncio.get_running_loop(), runner, forward)
            work = _flat(runner.on_loop(pump(stream, encode, hop)))
        else:
            work = pump(Threaded(stream, runner.threads()), encode, forward)
        gone, error = await _unless_gone(work, receive)
        if gone or isinstance(error, Gone):
            return
        if error is not None:
            _log.emit(_log.ERROR, f"Error in {'async' if is_async else 'sync'} streaming", error)
            await forward(error_event(error))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Ping(_Endpoint):
    """`GET /ping`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        app = self._app
        try:
            ask = app.get_current_ping_status
            # The agent's own handler may block, and may be async: neither is for this loop.
            status, error = await self._runner().in_thread(ask) if app._asks_a_handler() else (ask(), None)
            if error is not None:
                raise error
            changed = app._last_status_update_time
            if _log.is_enabled(_log.DEBUG):
                _log.emit(_log.DEBUG, f"Ping request - status: {status.value}")
        except Exception as failed:
            _log.emit(_log.ERROR, "Ping endpoint failed", failed)
            status, changed = PingStatus.HEALTHY, time.time()
        body = compact({"status": status.value, "time_of_last_update": int(changed)})
        await _reply(send, _whole(200, _JSON, body))


class Socket(_Endpoint):
    """The WebSocket connections of `/ws`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the agent's handler have a connection."""
        websocket = connect(scope, receive, send)
        invocation = invocation_of(scope)
        context = RequestContext._of(invocation)
        context.request = websocket
        before = current.set(invocation)
        try:
            await self._handle(websocket, context)
        finally:
            current.reset(before)

    async def _handle(self, websocket: Any, context: RequestContext) -> None:
        handler = self._app._websocket_handler
        if handler is None:
            _log.emit(_log.ERROR, "No WebSocket handler defined")
            await websocket.close(code=1011)
            return
        _log.emit(_log.DEBUG, "WebSocket connection established")
        try:
            await handler(websocket, context)
            if is_open(websocket):
                await websocket.close()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if is_disconnect(error):
                _log.emit(_log.DEBUG, "WebSocket disconnected")
                return
            _log.emit(_log.ERROR, "WebSocket handler failed", error)
            try:
                await websocket.close(code=1011)
            except Exception:
                # It is closed already.
                pass


class _Exchange(Exchange):
    """An invocation over ASGI: its answers are status, headers and body."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope, body: bytes, started: float) -> None:
        self.started = started
        self.invocation = invocation_of(scope)
        self.body = body
        self.payload = self.refusal = self.bad = self.success = None
        self._scope = scope
        try:
            self.payload = decode(body)
        except BadPayload as bad:
            self.bad = bad

    def perform(self, handler: Handler) -> Any:
        """Calls the handler."""
        context = None
        if handler.context:
            context = RequestContext._of(self.invocation)
            context.request = received(self._scope, self.body)
        return handler.call(self.payload, context)

    def result(self, value: Any) -> Answer:
        """Returns the answer for a value."""
        self.succeed()
        return _whole(200, _JSON, encode(value))

    def error(self, status: int, error: str, error_type: Optional[str] = None, details: Optional[str] = None) -> Answer:
        """Returns an answer that is an error."""
        return _whole(status, _JSON, compact(error_body(error, error_type, details)))

    def response(self, status: int, headers: Sequence[Sequence[str]], body: bytes) -> Answer:
        """Returns a ready-made answer."""
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return status, [(b"content-length", str(len(body)).encode()), *pairs] if body else pairs, body

    def json(self, body: bytes) -> Answer:
        """Returns the answer 200 with a JSON text."""
        return _whole(200, _JSON, body)


async def _reply(send: Send, answer: Answer) -> None:
    status, headers, body = answer
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _whole(status: int, content_type: bytes, body: bytes, *headers: Tuple[bytes, bytes]) -> Answer:
    return status, [*headers, (b"content-length", str(len(body)).encode()), (b"content-type", content_type)], body


def _text(status: int, text: str, *headers: Tuple[bytes, bytes]) -> Answer:
    return _whole(status, _TEXT, text.encode(), *headers)


def _redirect(scope: Scope, path: str) -> Optional[Answer]:
    """Returns the answer to a path that is right but for slashes at its end."""
    if path.rstrip("/") not in _METHODS:
        return None
    from urllib.parse import quote

    url = quote(url_of({**scope, "path": scope["path"].rstrip("/")}), safe=":/%#?=@[]!$&'()*+,;")
    return 307, [(b"content-length", b"0"), (b"location", url.encode("latin-1"))], b""


async def _body(receive: Receive) -> Optional[bytes]:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _sender_to(
    home: asyncio.AbstractEventLoop, runner: Runner, send: Callable[[bytes], Coroutine[Any, Any, None]]
) -> Callable[[bytes], Awaitable[None]]:
    """Returns what sends from the runner's loop over a connection that belongs to another one."""
    if runner.loop() is home:
        return send
    return lambda item: asyncio.wrap_future(asyncio.run_coroutine_threadsafe(send(item), home))


async def _flat(work: Coroutine[Any, Any, Outcome]) -> Optional[BaseException]:
    pumped, error = await work
    raised: Optional[BaseException] = error or pumped
    return raised


async def _unless_gone(
    work: Coroutine[Any, Any, Optional[BaseException]], receive: Receive
) -> Tuple[bool, Optional[BaseException]]:
    """Waits for `work` and returns what it does; cancels it and returns `True` if the caller leaves before."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return False, working.result()
        working.cancel()
        await asyncio.wait((working,))
        return True, None
    except asyncio.CancelledError:
        # Its clean-up belongs to the request.
        working.cancel()
        await asyncio.wait((working,))
        raise
    finally:
        working.cancel()
        leaving.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
