"""What an agent may raise, by name."""

import asyncio
import builtins
import concurrent.futures
import json

from starlette.exceptions import HTTPException, WebSocketException


class TextFails(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class TextIsNone(Exception):
    def __str__(self):
        return None


class Upstream(Exception):
    """What a client library raises: it has a status, which is not the agent's."""

    status_code = 401
    detail = "the model's own refusal"


class NotFound(HTTPException):
    def __init__(self):
        super().__init__(404, "not here")


class Teapot(HTTPException):
    def __str__(self):
        return "a text of its own"


class Broken(Exception):
    pass


class Outer:
    class Inner(Exception):
        pass


def chained():
    try:
        {}["k"]
    except KeyError as error:
        raise Broken("outer") from error


def recurse():
    return recurse()


# Of Python 3.11.
GROUP = getattr(builtins, "ExceptionGroup", lambda text, errors: ValueError(text))("several", [ValueError("one")])


def raised(error):
    def fail():
        raise error

    return fail


FAILURES = {
    "without-arguments": lambda: raised(ValueError)(),
    "with-a-number": raised(ValueError(7)),
    "with-none": raised(ValueError(None)),
    "with-bytes": raised(ValueError(b"\xff")),
    "with-many-lines": raised(ValueError("a\nb\r\n\tc")),
    "with-a-quote": raised(ValueError('a "quote" \\ and \u2028')),
    "with-half-a-character": raised(ValueError("a\ud800b")),
    "with-a-long-text": raised(ValueError("x" * 100_000)),
    "a-chain": chained,
    "a-nested-class": raised(Outer.Inner("inner")),
    "a-text-that-fails": raised(TextFails()),
    "a-text-that-is-none": raised(TextIsNone()),
    "an-unicode-error": lambda: "é".encode("ascii"),
    "a-json-error": lambda: json.loads("nope"),
    "a-division": lambda: 1 / 0,
    "an-attribute": lambda: None.missing,
    "a-name": lambda: missing,  # noqa: F821 - that is the error
    "a-recursion": recurse,
    "an-assertion": raised(AssertionError()),
    "an-os-error": lambda: open("/nowhere/at/all"),
    "a-timeout": raised(TimeoutError("late")),
    "an-asyncio-timeout": raised(asyncio.TimeoutError()),
    "a-futures-timeout": raised(concurrent.futures.TimeoutError()),
    "a-warning": raised(UserWarning("careful")),
    "a-memory-error": raised(MemoryError()),
    "a-stop-iteration": raised(StopIteration("over")),
    "a-stop-async-iteration": raised(StopAsyncIteration("over")),
    "a-status-of-another-library": raised(Upstream("upstream")),
    "a-websocket-exception": raised(WebSocketException(1008, "no")),
    "http-404-of-a-subclass": raised(NotFound()),
    "http-with-a-text-of-its-own": raised(Teapot(418, "short and stout")),
    "http-200": raised(HTTPException(200, "fine")),
    "http-201-with-an-object": raised(HTTPException(201, {"made": [1]})),
    "http-302-with-a-place": raised(HTTPException(302, "there", {"location": "/there"})),
    "http-304": raised(HTTPException(304, "same")),
    "http-401-with-a-challenge": raised(HTTPException(401, "who", {"WWW-Authenticate": "Bearer"})),
    "http-403-with-an-empty-text": raised(HTTPException(403, "")),
    "http-418-without-words": raised(HTTPException(418)),
    "http-422-with-a-number": raised(HTTPException(422, 7)),
    "http-422-with-half-a-character": raised(HTTPException(422, "\ud800")),
    "http-422-with-words-of-the-world": raised(HTTPException(422, "世界")),
    "http-429-with-two-headers": raised(HTTPException(429, "slow", {"Retry-After": "3", "X-Left": "0"})),
    "http-500-with-a-type": raised(HTTPException(500, "text", {"content-type": "text/plain"})),
    "http-500-with-a-set": raised(HTTPException(500, {"tags": {1}})),
    "http-500-with-nan": raised(HTTPException(500, {"x": float("nan")})),
    "http-599": raised(HTTPException(599, "far")),
    "a-group": raised(GROUP),
}

# What is no `Exception`, and ends more than a call in the official SDK.
ENDS = {
    "an-exit": raised(SystemExit("bye")),
    "an-exit-with-a-number": raised(SystemExit(3)),
    "an-interrupt": raised(KeyboardInterrupt()),
    "a-closed-generator": raised(GeneratorExit("closed")),
    "a-cancellation": raised(asyncio.CancelledError("cancelled")),
    "a-base-exception": lambda: raised(BaseException("base"))(),
}


def fail(name):
    """Raises what has this name."""
    return {**FAILURES, **ENDS}[name]()


def type_of(name):
    """The type of what has this name, as callers are told it."""
    try:
        fail(name)
    except BaseException as error:
        return type(error).__name__
    raise LookupError(f"`{name}` raises nothing")
