"""Responses and streams that agents return, by name."""

import asyncio
import datetime
import itertools
import os
import types

from starlette import responses
from starlette.background import BackgroundTask, BackgroundTasks

HERE = os.path.dirname(os.path.abspath(__file__))
NOTES = []


class Xml(responses.Response):
    media_type = "application/xml"

    def render(self, content):
        return f"<a>{content}</a>".encode()


def cookies():
    answer = responses.JSONResponse({"a": 1})
    answer.set_cookie("one", "1", max_age=60, httponly=True, samesite="strict")
    answer.set_cookie("two", "a b")
    answer.delete_cookie("three")
    return answer


def appended():
    answer = responses.PlainTextResponse("x")
    answer.headers.append("x-many", "1")
    answer.headers.append("X-Many", "2")
    answer.headers["link"] = "</a>; rel=next"
    return answer


def sliced(*parts):
    for part in parts:
        yield part


async def sliced_later(*parts):
    for part in parts:
        await asyncio.sleep(0)
        yield part


def failing(*parts):
    yield from parts
    raise ValueError("in the body")


async def noted(what):
    NOTES.append(what)


async def failing_after():
    raise ValueError("after the answer")


REPLIES = {
    "json": lambda: responses.JSONResponse({"a": "é", "b": [None]}),
    "json-with-a-type": lambda: responses.JSONResponse({"a": 1}, 400, media_type="application/problem+json"),
    "json-nan": lambda: responses.JSONResponse({"a": float("nan")}),
    "json-of-a-set": lambda: responses.JSONResponse({"a": {1}}),
    "html": lambda: responses.HTMLResponse("<p>é</p>"),
    "html-with-a-charset": lambda: responses.HTMLResponse("<p>é</p>", media_type="text/html; charset=latin-1"),
    "text": lambda: responses.PlainTextResponse("a\nb"),
    "nothing": lambda: responses.Response(),
    "nothing-with-a-type": lambda: responses.Response(media_type="text/plain"),
    "bytes": lambda: responses.Response(b"\x00\xff"),
    "a-memoryview": lambda: responses.Response(memoryview(b"view")),
    "a-class-of-ones-own": lambda: Xml("x"),
    "redirect": lambda: responses.RedirectResponse("/to/é?q=a b#c"),
    "redirect-303": lambda: responses.RedirectResponse("https://a.example/", 303),
    "created": lambda: responses.Response("made", 201, {"Location": "/made/1"}),
    "no-content": lambda: responses.Response(status_code=204),
    "not-modified": lambda: responses.Response(status_code=304, headers={"etag": '"a"'}),
    "teapot": lambda: responses.PlainTextResponse("short", 418),
    "unavailable": lambda: responses.JSONResponse({"error": "later"}, 503, {"retry-after": "5"}),
    "status-599": lambda: responses.PlainTextResponse("far", 599),
    "cookies": cookies,
    "appended": appended,
    "latin-1": lambda: responses.PlainTextResponse("x", headers={"x-name": "é"}),
    "an-empty-header": lambda: responses.PlainTextResponse("x", headers={"x-empty": ""}),
    "cache-control": lambda: responses.PlainTextResponse("x", headers={"cache-control": "no-store", "vary": "origin"}),
    "its-own-date": lambda: responses.PlainTextResponse("x", headers={"x-date": "never"}),
    "a-large-body": lambda: responses.PlainTextResponse("x" * 3_000_000),
    "file": lambda: responses.FileResponse(os.path.join(HERE, "sample.txt")),
    "file-with-a-name": lambda: responses.FileResponse(os.path.join(HERE, "sample.txt"), filename="é a.txt"),
    "file-with-a-type": lambda: responses.FileResponse(os.path.join(HERE, "sample.txt"), 201, media_type="a/b"),
    "file-inline": lambda: responses.FileResponse(
        os.path.join(HERE, "sample.txt"), filename="a.txt", content_disposition_type="inline"
    ),
    "stream": lambda: responses.StreamingResponse(sliced("a", "b")),
    "stream-later": lambda: responses.StreamingResponse(sliced_later("a", b"\xff")),
    "stream-with-a-type": lambda: responses.StreamingResponse(sliced("é"), 202, {"x-a": "1"}, "text/csv"),
    "stream-of-events": lambda: responses.StreamingResponse(sliced("id: 1\n\n"), media_type="text/event-stream"),
    "stream-of-nothing": lambda: responses.StreamingResponse(sliced()),
    "stream-of-empty-parts": lambda: responses.StreamingResponse(sliced("", "a", "")),
    "stream-with-a-length": lambda: responses.StreamingResponse(sliced("ab", "c"), headers={"content-length": "3"}),
    "stream-of-a-list": lambda: responses.StreamingResponse(["a", "b"]),
    "stream-of-views": lambda: responses.StreamingResponse(sliced(memoryview(b"a"))),
    "stream-204": lambda: responses.StreamingResponse(sliced(), 204),
    "stream-of-large-parts": lambda: responses.StreamingResponse(sliced("x" * 700_000, "y" * 300_000)),
    "background": lambda: responses.PlainTextResponse("x", background=BackgroundTask(noted, "background")),
    "background-twice": lambda: responses.JSONResponse(
        1, background=BackgroundTasks([BackgroundTask(noted, "one"), BackgroundTask(noted, "two")])
    ),
    "background-of-a-stream": lambda: responses.StreamingResponse(
        sliced("x"), background=BackgroundTask(noted, "streamed")
    ),
    "background-that-fails": lambda: responses.PlainTextResponse("x", background=BackgroundTask(failing_after)),
    "notes": lambda: sorted(NOTES),
    "a-class": lambda: responses.JSONResponse,
    "with-a-status": lambda: (responses.JSONResponse({}).body.decode(), 404),
}


def with_a_result():
    yield 1
    return "a result"


def nested():
    got = yield from with_a_result()
    yield got
    yield from "ab"


def closing():
    try:
        yield 1
        yield 2
    finally:
        NOTES.append("closed")


def fails_first():
    raise KeyError("first")
    yield


def fails_third():
    yield 1
    yield 2
    raise LookupError("third")


async def nested_later():
    async for item in sliced_later(1, 2):
        yield item
    for item in nested():
        yield item


async def fails_first_later():
    raise KeyError("first")
    yield


async def fails_third_later():
    yield 1
    yield 2
    raise LookupError("third")


async def closing_later():
    try:
        yield 1
    finally:
        await asyncio.sleep(0)
        NOTES.append("closed later")


async def returns(value):
    return value


def slow():
    yield 1
    yield datetime.date(2024, 2, 29)


@types.coroutine
def old_coroutine():
    return 5
    yield


class AsyncIterator:
    def __aiter__(self):
        return self

    async def __anext__(self):
        raise StopAsyncIteration

    def __str__(self):
        return "an async iterator"


STREAMS = {
    "with-a-result": with_a_result,
    "nested": nested,
    "closing": closing,
    "fails-first": fails_first,
    "fails-third": fails_third,
    "of-nothing": lambda: (_ for _ in ()),
    "of-nones": lambda: (None for _ in range(3)),
    "of-texts": lambda: (text for text in ["", "a\nb", "data: x\n\n", "\r", "é"]),
    "of-many": lambda: (number for number in range(3000)),
    "of-large-items": lambda: ("x" * 400_000 for _ in range(4)),
    "of-values": lambda: (value for value in [True, 1.5, [1, (2,)], {"a": None}, {1}, 10**30]),
    "of-a-date": slow,
    "later": lambda: sliced_later("a", {"b": 1}),
    "later-nested": nested_later,
    "later-closing": closing_later,
    "later-fails-first": fails_first_later,
    "later-fails-third": fails_third_later,
    "later-of-nothing": lambda: sliced_later(),
    "later-of-many": lambda: sliced_later(*range(3000)),
    "a-list-iterator": lambda: iter([1, 2]),
    "a-count": lambda: itertools.islice(itertools.count(), 2),
    "an-async-iterator": AsyncIterator,
    "a-coroutine": lambda: returns(3),
    "a-coroutine-of-a-stream": lambda: returns(sliced("a")),
    "a-coroutine-of-a-later-stream": lambda: returns(sliced_later("a")),
    "a-coroutine-of-a-response": lambda: returns(responses.PlainTextResponse("later", 201)),
    "an-old-coroutine": old_coroutine,
}
