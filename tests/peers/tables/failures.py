"""What an agent raises: errors of all kinds, and exceptions of HTTP."""

import reasons
from failures import FAILURES, type_of
from rows import Differs, act, whole

AGENT = "acts.py"

_LOST = "<{0} whose text cannot be had: {1}>"

# Errors that the SDK cannot tell.
UNTOLD = {
    "with-half-a-character": ("a\\\\ud800b", "ValueError"),
    "a-text-that-fails": (_LOST.format("TextFails", "RuntimeError"), "TextFails"),
    "a-text-that-is-none": (_LOST.format("TextIsNone", "TypeError"), "TextIsNone"),
}
HTTP = {
    "http-302-with-a-place": Differs(reasons.HEADERS, headers={"location": "/there"}),
    "http-304": Differs(reasons.NO_BODY, headers={"content-type": None}),
    "http-401-with-a-challenge": Differs(reasons.HEADERS, headers={"www-authenticate": "Bearer"}),
    "http-422-with-half-a-character": reasons.json_instead(reasons.DETAIL, '{"error":"\\\\ud800"}', 422),
    "http-429-with-two-headers": Differs(reasons.HEADERS, headers={"retry-after": "3", "x-left": "0"}),
    "http-500-with-a-type": Differs(reasons.HEADERS, headers={"content-type": "text/plain"}),
    "http-500-with-a-set": reasons.json_instead(reasons.DETAIL, '{"error":{"tags":[1]}}', 500),
    "http-500-with-nan": reasons.json_instead(reasons.DETAIL, '{"error":{"x":NaN}}', 500),
}


def answered(name, is_async=False):
    """How the answer to this error differs."""
    if name.startswith("http-"):
        return HTTP.get(name)
    if name in UNTOLD:
        text, kind = UNTOLD[name]
        return reasons.json_instead(reasons.ERROR_TEXT, f'{{"error":"{text}","error_type":"{kind}"}}', 500)
    if name == "a-stop-iteration" and not is_async:
        return Differs(reasons.STOP_ITERATION, body='{"error":"over","error_type":"StopIteration"}')
    # Python itself makes another exception of this one.
    return reasons.with_type("RuntimeError" if name == "a-stop-iteration" else type_of(name))


def streamed(name, before=""):
    """The same for the event that tells it. Where the SDK cannot, it cuts the connection."""
    if name in UNTOLD:
        text, kind = UNTOLD[name]
    elif name == "http-422-with-half-a-character":
        text, kind = "422: \\\\ud800", "HTTPException"
    else:
        return None
    event = f'{{"error": "{text}", "error_type": "{kind}", "message": "An error occurred during streaming"}}'
    stream = whole(200, f"{before}data: {event}\n\n", "chunked", content_type="text/event-stream; charset=utf-8")
    return Differs(reasons.ERROR_TEXT, whole=stream)


ROWS = {
    "sync": [act(name, answered(name), fail=name) for name in FAILURES],
    "async": [act(name, answered(name, True), fail=name) for name in FAILURES],
    "generator": [act(name, streamed(name, "data: 0\n\ndata: 1\n\n"), fail=name, after=2) for name in FAILURES],
    "async-generator": [act(name, streamed(name), fail=name) for name in FAILURES],
}
