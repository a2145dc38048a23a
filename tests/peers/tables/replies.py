"""Responses of Starlette's and streams, returned by functions and by coroutines, and yielded as events."""

import reasons
from replies import REPLIES, STREAMS
from rows import Ask, Differs, Row, act

AGENT = "acts.py"

# What a plain function returns that has to be awaited.
AWAITED = {
    "a-coroutine": Differs(reasons.COROUTINE, body="3"),
    "a-coroutine-of-a-response": Differs(
        reasons.COROUTINE, status=201, headers={"content-type": "text/plain; charset=utf-8"}, body="later"
    ),
}
for _name in ("a-coroutine-of-a-stream", "a-coroutine-of-a-later-stream"):
    AWAITED[_name] = Differs(
        reasons.COROUTINE,
        headers={"content-type": "text/event-stream; charset=utf-8"},
        framing="chunked",
        body='data: "a"\n\n',
    )
UNREADY = {"json-nan": reasons.with_type("ValueError"), "json-of-a-set": reasons.with_type("TypeError")}
RANGES = (
    "Range: bytes=0-3",
    "Range: bytes=5-",
    "Range: bytes=-4",
    "Range: bytes=0-0, 4-5",
    "Range: bytes=9-2",
    "Range: bytes=999-",
    "Range: lines=1-2",
    "Range: nonsense",
    "If-Range: nonsense",
    "If-None-Match: *",
    "If-Modified-Since: Mon, 05 Jan 2099 00:00:00 GMT",
)
NOTES = ("background", "closed", "closed later", "one", "streamed", "two")


def rows(streams):
    """Every reply and every stream, and what is done after them."""
    yield from (act(name, UNREADY.get(name), reply=name) for name in REPLIES if name != "notes")
    yield from (act(f"returned-{name}", streams.get(name), stream=name) for name in STREAMS)
    for header in RANGES:
        yield Row(f"a-file-with-{header}", Ask(body={"reply": "file"}, headers=[header]))
    noted = Ask(body={"reply": "notes"}, until=lambda body: all(note in body for note in NOTES))
    yield Row("what-was-done-afterwards", noted)


ROWS = {
    "sync": [*rows(AWAITED)],
    "async": [*rows({})],
    "generator": [act(name, reply=name) for name in REPLIES if name not in UNREADY],
    "async-generator": [act(name, stream=name) for name in STREAMS],
}
