"""One call: from the bytes of an INVOKE frame to the frames that answer it.

What threads and the event loop have in common. Nothing here waits, and nothing touches a socket.
"""

from __future__ import annotations

from struct import error as StructError
from time import perf_counter
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from bedrock_agentcore.runtime import _actions, _log
from bedrock_agentcore.runtime._handler import NO_CONTEXT, Handler
from bedrock_agentcore.runtime._invocation import Invocation, current
from bedrock_agentcore.runtime._values import BadPayload, compact, decode, encode
from bedrock_agentcore.runtime.context import RequestContext

from . import frames
from .frames import ERROR, MAX_PAYLOAD, RESPONSE, RESULT, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional, Tuple

    from bedrock_agentcore.runtime.app import BedrockAgentCoreApp

    Reply = Tuple[int, bytes]

_DEBUG, _INFO, _WARNING, _ERROR = _log.DEBUG, _log.INFO, _log.WARNING, _log.ERROR

# What a handler returns most of the time; anything else is looked at more closely.
_PLAIN = frozenset((dict, str, list, type(None), int, float, bool, tuple))
STREAMS = (GeneratorType, AsyncGeneratorType)
Coroutine = CoroutineType
Generator = GeneratorType
AsyncGenerator = AsyncGeneratorType


class Call:
    """A call that has arrived. `refusal` is its answer where no handler is called."""

    __slots__ = ("invocation", "payload", "refusal", "started", "_bad", "_success")

    def __init__(self, view: memoryview) -> None:
        """Reads the payload of an INVOKE frame. The view is not needed afterwards."""
        self.started = perf_counter()
        try:
            body = 4 + frames.u32_at(view)[0]
            meta = decode(view[4:body])
            request, session, headers = meta["request_id"], meta["session_id"], meta["headers"]
            if type(request) is not str or type(session) not in (str, type(None)) or type(headers) is not list:
                raise TypeError
            self.invocation = Invocation(request, session, headers)
        except (BadPayload, KeyError, TypeError, StructError) as error:
            raise ProtocolError("the description of a call cannot be read") from error
        self.payload: Any = None
        self.refusal: Optional[Reply] = None
        self._bad: Optional[BadPayload] = None
        self._success: Optional[str] = None
        try:
            self.payload = decode(view[body:])
        except BadPayload as bad:
            self._bad = bad

    def begin(self, app: BedrockAgentCoreApp) -> Optional[Handler]:
        """Makes this the current request, and returns the handler; `None` if `refusal` is the answer."""
        current.set(self.invocation)
        bad = self._bad
        if bad is not None:
            _log.emit(_WARNING, f"{bad.error} in request ({self.elapsed():.3f}s): {bad.details}")
            self.refusal = error_reply(400, bad.error, None, bad.details)
            return None
        if app.debug:
            _log.emit(_DEBUG, "Processing invocation request")
            done = _actions.perform(app, self.payload)
            if done is not None:
                self.refusal = self._action_reply(*done)
                return None
        return self._handler(app)

    def perform(self, handler: Handler) -> Any:
        """Calls the handler."""
        if handler.context == NO_CONTEXT:
            return handler.function(self.payload)
        return handler.call(self.payload, RequestContext._of(self.invocation))

    def elapsed(self) -> float:
        """Returns the seconds since the call arrived."""
        return perf_counter() - self.started

    def result(self, value: Any) -> Reply:
        """Returns the answer for what a handler returned, if that is no stream."""
        if type(value) not in _PLAIN and is_response(value):
            return self._response(value)
        body = encode(value)
        if len(body) > MAX_PAYLOAD:
            return self.failure(ValueError(f"the answer has {len(body)} bytes, more than the {MAX_PAYLOAD} that fit"))
        self._success = f"Invocation completed successfully ({perf_counter() - self.started:.3f}s)"
        return RESULT, body

    def log_success(self) -> None:
        """Writes the line about a result. After the answer is sent: the caller does not wait for it."""
        if self._success is not None:
            _log.emit(_INFO, self._success)

    def failure(self, error: BaseException) -> Reply:
        """Returns the answer for what a handler raised."""
        status, detail = getattr(error, "status_code", None), getattr(error, "detail", _MISSING)
        if isinstance(status, int) and 200 <= status <= 599 and detail is not _MISSING:
            return self._http_error(error, int(status), detail)
        _log.emit(_ERROR, f"Invocation failed ({self.elapsed():.3f}s)", error)
        return error_reply(500, _said(error), type(error).__name__)

    def _handler(self, app: BedrockAgentCoreApp) -> Optional[Handler]:
        function = app.handlers.get("main")
        if function is None:
            _log.emit(_ERROR, "No entrypoint defined")
            self.refusal = error_reply(500, "No entrypoint defined")
            return None
        handler = prepared(function)
        if app.debug:
            _log.emit(_DEBUG, f"Invoking handler: {handler.name}")
        return handler

    def _action_reply(self, status: int, answer: Any) -> Reply:
        if status == 200:
            _log.emit(_INFO, f"Debug action completed ({self.elapsed():.3f}s)")
            return RESULT, compact(answer)
        return error_reply(status, answer["error"], None, answer.get("details"))

    def _http_error(self, error: BaseException, status: int, detail: Any) -> Reply:
        if detail is None:
            detail = _phrase(status)
        level = _WARNING if status < 500 else _ERROR
        _log.emit(level, f"HTTP {status} ({self.elapsed():.3f}s): {detail}")
        headers = getattr(error, "headers", None)
        pairs = [[str(name).lower(), str(value)] for name, value in headers.items()] if headers else []
        if isinstance(detail, str) and not pairs and status not in (204, 304):
            return error_reply(status, detail)
        body = b"" if status in (204, 304) else compact({"error": detail})
        if body and all(name != "content-type" for name, _ in pairs):
            pairs.append(["content-type", "application/json"])
        return response_reply(status, pairs, body)

    def _response(self, value: Any) -> Reply:
        if not isinstance(getattr(value, "body", None), (bytes, bytearray, memoryview)) or hasattr(value, "path"):
            return self.failure(
                TypeError(
                    f"a {type(value).__name__} is not served by the native engine: yield what it would send, or use "
                    "`engine: sdk`"
                )
            )
        if value.status_code < 400:
            _log.emit(_INFO, f"Invocation completed successfully ({self.elapsed():.3f}s)")
        else:
            _log.emit(_WARNING, f"Invocation returned HTTP {value.status_code} ({self.elapsed():.3f}s)")
        pairs = [
            [name.decode("latin-1"), text.decode("latin-1")]
            for name, text in value.raw_headers
            if name.lower() != b"content-length"
        ]
        return response_reply(int(value.status_code), pairs, bytes(value.body))


_MISSING: Any = object()
_prepared: Optional[Handler] = None


def prepared(function: Callable[..., Any]) -> Handler:
    """Returns the handler of a function; looked at once, as long as it stays the same function."""
    global _prepared
    known = _prepared
    if known is None or known.function is not function:
        known = _prepared = Handler(function)
    return known


def is_response(value: Any) -> bool:
    """Returns whether a value has the shape of a ready-made HTTP response, as Starlette's have."""
    status = getattr(value, "status_code", None)
    return (
        isinstance(status, int)
        and 200 <= status <= 599
        and isinstance(getattr(value, "raw_headers", None), list)
        and callable(value)
    )


def error_reply(status: int, error: str, error_type: Optional[str] = None, details: Optional[str] = None) -> Reply:
    """Returns the frame that ends a call with an error."""
    # The server reads this JSON strictly, so a lone surrogate is spelled out instead of escaped.
    fields = {"status": status, "error": sound(error), "error_type": sound(error_type), "details": sound(details)}
    return ERROR, encode(fields)


def response_reply(status: int, headers: Any, body: bytes) -> Reply:
    """Returns the frame that ends a call with a ready-made answer."""
    head = encode({"status": status, "headers": [[sound(name), sound(value)] for name, value in headers]})
    return RESPONSE, frames.u32(len(head)) + head + body


def event(value: Any) -> bytes:
    """Returns what a stream sends for a value."""
    item = encode(value)
    checked(item)
    return item


def checked(item: bytes) -> int:
    """Returns the size of an event; raises if it does not fit into a frame."""
    if len(item) > MAX_PAYLOAD:
        raise ValueError(f"an event has {len(item)} bytes, more than the {MAX_PAYLOAD} that fit")
    return len(item)


def stream_error(error: BaseException) -> Reply:
    """Returns the frame that ends a stream with an error."""
    return error_reply(500, _said(error), type(error).__name__)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:
        return f"<{type(error).__name__} whose text cannot be had: {type(second).__name__}>"


def sound(text: Optional[str]) -> Optional[str]:
    """Returns a text without lone surrogates, which strict JSON has no way to say."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
