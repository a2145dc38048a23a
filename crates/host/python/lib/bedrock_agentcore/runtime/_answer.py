"""One invocation: what is asked of the agent, and what its handler's result or exception becomes.

Decides, and writes the lines of the log. It waits for nothing and sends nothing: a subclass says what an answer is made
of, frames for the server or messages of ASGI.
"""

from __future__ import annotations

from time import perf_counter
from types import AsyncGeneratorType, CoroutineType, GeneratorType

from . import _actions, _log
from ._handler import NO_CONTEXT, Handler
from ._invocation import current
from ._values import compact, encode
from .context import RequestContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Sequence

    from ._invocation import Invocation
    from ._values import BadPayload
    from .app import BedrockAgentCoreApp

_DEBUG, _INFO, _WARNING, _ERROR = _log.DEBUG, _log.INFO, _log.WARNING, _log.ERROR

# What a handler returns most of the time; anything else is looked at more closely.
PLAIN = frozenset((dict, str, list, type(None), int, float, bool, tuple))
STREAMS = (GeneratorType, AsyncGeneratorType)
Coroutine = CoroutineType
AsyncGenerator = AsyncGeneratorType
Generator = GeneratorType


class Exchange:
    """An invocation that has arrived. `refusal` is its answer where no handler is called."""

    __slots__ = ("bad", "body", "invocation", "payload", "refusal", "started", "success")

    bad: Optional[BadPayload]
    body: Optional[bytes]
    invocation: Invocation
    payload: Any
    refusal: Any
    started: float
    success: Optional[str]

    def result(self, value: Any) -> Any:
        """Returns the answer for what a handler returned, if that is no stream."""
        raise NotImplementedError

    def error(self, status: int, error: str, error_type: Optional[str] = None, details: Optional[str] = None) -> Any:
        """Returns an answer that is an error."""
        raise NotImplementedError

    def response(self, status: int, headers: Sequence[Sequence[str]], body: bytes) -> Any:
        """Returns a ready-made answer."""
        raise NotImplementedError

    def json(self, body: bytes) -> Any:
        """Returns the answer 200 with a JSON text."""
        raise NotImplementedError

    def begin(self, app: BedrockAgentCoreApp) -> Optional[Handler]:
        """Makes this the current request, and returns the handler; `None` if `refusal` is the answer."""
        current.set(self.invocation)
        bad = self.bad
        if bad is not None:
            _log.emit(_WARNING, f"{bad.error} in request ({self.elapsed():.3f}s): {bad.details}")
            self.refusal = self.error(400, bad.error, None, bad.details)
            return None
        if app.debug:
            _log.emit(_DEBUG, "Processing invocation request")
            done = _actions.perform(app, self.payload)
            if done is not None:
                self.refusal = self._action(*done)
                return None
        return self._handler(app)

    def perform(self, handler: Handler) -> Any:
        """Calls the handler."""
        if handler.context == NO_CONTEXT:
            return handler.function(self.payload)
        return handler.call(self.payload, RequestContext._of(self.invocation, self.body))

    def elapsed(self) -> float:
        """Returns the seconds since the invocation arrived."""
        return perf_counter() - self.started

    def succeed(self) -> None:
        """Prepares the line about a result."""
        self.success = f"Invocation completed successfully ({perf_counter() - self.started:.3f}s)"

    def log_success(self, waits: bool = False) -> None:
        """Writes the line about a result. After the answer is sent: the caller does not wait for it.

        The line may wait for others, if the answer does.
        """
        if self.success is not None:
            _log.emit(_INFO, self.success, None, waits)

    def log_stream(self, stream: Any) -> None:
        """Writes the line about a stream that begins."""
        kind = "async generator" if type(stream) is AsyncGenerator else "generator"
        _log.emit(_INFO, f"Returning streaming response ({kind}) ({self.elapsed():.3f}s)")

    def log_response(self, status: int) -> None:
        """Writes the line about an answer that the handler has made itself."""
        if status < 400:
            _log.emit(_INFO, f"Invocation completed successfully ({self.elapsed():.3f}s)")
        else:
            _log.emit(_WARNING, f"Invocation returned HTTP {status} ({self.elapsed():.3f}s)")

    def failure(self, error: BaseException) -> Any:
        """Returns the answer for what a handler raised."""
        if any(kind.__name__ == "HTTPException" for kind in type(error).__mro__):
            status, detail = getattr(error, "status_code", None), getattr(error, "detail", _MISSING)
            if isinstance(status, int) and 200 <= status <= 599 and detail is not _MISSING:
                return self._http_error(error, int(status), detail)
        _log.emit(_ERROR, f"Invocation failed ({self.elapsed():.3f}s)", error)
        return self.error(500, said(error), type(error).__name__)

    def _handler(self, app: BedrockAgentCoreApp) -> Optional[Handler]:
        function = app.handlers.get("main")
        if function is None:
            _log.emit(_ERROR, "No entrypoint defined")
            self.refusal = self.error(500, "No entrypoint defined")
            return None
        handler = prepared(function)
        if app.debug:
            _log.emit(_DEBUG, f"Invoking handler: {handler.name}")
        return handler

    def _action(self, status: int, answer: Any) -> Any:
        if status == 200:
            _log.emit(_INFO, f"Debug action completed ({self.elapsed():.3f}s)")
            return self.json(compact(answer))
        return self.error(status, answer["error"], None, answer.get("details"))

    def _http_error(self, error: BaseException, status: int, detail: Any) -> Any:
        if detail is None:
            detail = _phrase(status)
        level = _WARNING if status < 500 else _ERROR
        _log.emit(level, f"HTTP {status} ({self.elapsed():.3f}s): {detail}")
        headers = getattr(error, "headers", None)
        pairs = [[str(name).lower(), str(value)] for name, value in headers.items()] if headers else []
        if isinstance(detail, str) and not pairs and status not in (204, 304):
            return self.error(status, detail)
        body = b"" if status in (204, 304) else compact({"error": detail})
        if body and all(name != "content-type" for name, _ in pairs):
            pairs.append(["content-type", "application/json"])
        return self.response(status, pairs, body)


_MISSING: Any = object()
_prepared: Optional[Handler] = None
# Whether somebody could ask for the body of a request: a handler without a context has no way to.
keeps_bodies = False


def prepared(function: Callable[..., Any]) -> Handler:
    """Returns the handler of a function; looked at once, as long as it stays the same function."""
    global _prepared, keeps_bodies
    known = _prepared
    if known is None or known.function is not function:
        known = _prepared = Handler(function)
        keeps_bodies = known.context != NO_CONTEXT
    return known


def is_response(value: Any) -> bool:
    """Returns whether a value has the shape of Starlette's responses: an ASGI application with a head."""
    if not callable(value):
        return False
    try:
        status, headers = value.status_code, value.raw_headers
    except Exception:
        # What is no attribute of it; a proxy may say so in any way.
        return False
    return isinstance(status, int) and 200 <= status <= 599 and isinstance(headers, list)


def has_body(response: Any) -> bool:
    """Returns whether a response is there as a whole. Others send themselves, piece by piece."""
    return isinstance(getattr(response, "body", None), (bytes, bytearray, memoryview)) and not hasattr(response, "path")


def headers_of(response: Any) -> List[List[str]]:
    """Returns the headers of a response that is there as a whole; its length is known without them."""
    return [
        [name.decode("latin-1"), text.decode("latin-1")]
        for name, text in response.raw_headers
        if name.lower() != b"content-length"
    ]


def error_body(error: str, error_type: Optional[str], details: Optional[str]) -> Dict[str, Any]:
    """Returns what a caller is told of an error."""
    fields = {"error": error, "error_type": error_type, "details": details}
    return {name: value for name, value in fields.items() if value is not None}


def error_event(error: BaseException) -> bytes:
    """Returns the event that ends a stream that fails."""
    message = "An error occurred during streaming"
    return encode({"error": said(error), "error_type": type(error).__name__, "message": message})


def said(error: BaseException) -> str:
    """Returns the text of an exception."""
    try:
        return str(error)
    except Exception as second:
        return f"<{type(error).__name__} whose text cannot be had: {type(second).__name__}>"


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
