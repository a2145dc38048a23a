"""One call: from the bytes of an INVOKE frame to the frames that answer it.

What threads and the event loop have in common. Nothing here waits, and nothing touches a socket.
"""

from __future__ import annotations

from struct import error as StructError
from time import perf_counter

from bedrock_agentcore.runtime import _answer
from bedrock_agentcore.runtime._answer import (
    PLAIN,
    STREAMS,
    AsyncGenerator,
    Coroutine,
    Exchange,
    Generator,
    has_body,
    headers_of,
    is_response,
    prepared,
    said,
)
from bedrock_agentcore.runtime._invocation import Invocation
from bedrock_agentcore.runtime._values import BadPayload, decode, encode

from . import frames
from .frames import ERROR, HEAD, MAX_PAYLOAD, RESPONSE, RESULT, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Sequence, Tuple

    Reply = Tuple[int, bytes]

__all__ = ["STREAMS", "AsyncGenerator", "Call", "Coroutine", "Generator", "event", "prepared", "sound", "stream_error"]


class Call(Exchange):
    """A call that has arrived."""

    __slots__ = ()

    def __init__(self, view: memoryview) -> None:
        """Reads the payload of an INVOKE frame. The view is not needed afterwards."""
        self.started = perf_counter()
        self.invocation, body = described(view)
        self.payload = self.body = self.refusal = self.bad = self.success = None
        raw: Any = view[body:]
        if _answer.keeps_bodies:
            self.body = raw = bytes(raw)
        try:
            self.payload = decode(raw)
        except BadPayload as bad:
            self.bad = bad

    def result(self, value: Any) -> Reply:
        """Returns the answer for what a handler returned, if that is no stream; HEAD if it sends itself."""
        if type(value) not in PLAIN and is_response(value):
            if not has_body(value):
                return HEAD, b""
            self.log_response(value.status_code)
            return self.response(int(value.status_code), headers_of(value), bytes(value.body))
        body = encode(value)
        if len(body) > MAX_PAYLOAD:
            return self._too_long(len(body))
        self.success = f"Invocation completed successfully ({perf_counter() - self.started:.3f}s)"
        return RESULT, body

    def error(self, status: int, error: str, error_type: Optional[str] = None, details: Optional[str] = None) -> Reply:
        """Returns an answer that is an error."""
        return error_reply(status, error, error_type, details)

    def response(self, status: int, headers: Sequence[Sequence[str]], body: bytes) -> Reply:
        """Returns a ready-made answer."""
        reply = response_reply(status, headers, body)
        return reply if len(reply[1]) <= MAX_PAYLOAD else self._too_long(len(body))

    def json(self, body: bytes) -> Reply:
        """Returns the answer 200 with a JSON text."""
        return RESULT, body

    def _too_long(self, size: int) -> Reply:
        reply: Reply = self.failure(ValueError(f"the answer has {size} bytes, more than the {MAX_PAYLOAD} that fit"))
        return reply


def described(view: memoryview) -> Tuple[Invocation, int]:
    """Returns the request that a frame describes, and where its body begins."""
    try:
        body = 4 + frames.u32_at(view)[0]
        meta = decode(view[4:body])
        request, session, headers = meta["request_id"], meta["session_id"], meta["headers"]
        if type(request) is not str or type(session) not in (str, type(None)) or type(headers) is not list:
            raise TypeError
        return Invocation(request, session, headers, meta), body
    except (BadPayload, KeyError, TypeError, StructError) as error:
        raise ProtocolError("the description of a call cannot be read") from error


def error_reply(status: int, error: str, error_type: Optional[str] = None, details: Optional[str] = None) -> Reply:
    """Returns the frame that ends a call with an error."""
    # The server reads this JSON strictly, so a lone surrogate is spelled out instead of escaped.
    fields = {"status": status, "error": sound(error), "error_type": sound(error_type), "details": sound(details)}
    return ERROR, encode(fields)


def response_reply(status: int, headers: Sequence[Sequence[str]], body: bytes) -> Reply:
    """Returns the frame that ends a call with a ready-made answer."""
    head = response_head(status, headers)
    return RESPONSE, frames.u32(len(head)) + head + body


def response_head(status: int, headers: Sequence[Sequence[str]]) -> bytes:
    """Returns status and headers of an answer as the server reads them."""
    return encode({"status": status, "headers": [[sound(name), sound(value)] for name, value in headers]})


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
    return error_reply(500, said(error), type(error).__name__)


def sound(text: Optional[str]) -> Optional[str]:
    """Returns a text without lone surrogates, which strict JSON has no way to say."""
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
