"""Requests at the edge of HTTP, byte for byte, and some beyond it."""

import reasons
from exchange import request
from rows import Differs, Raw, Row, Together, whole

AGENT = "echo.py"

POST = b"POST /invocations HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
GET = b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
EMPTY = {"framing": "length", "body": "", "headers": {"content-type": None}}
PING = {"whole": whole(200, '{"status":"Healthy","time_of_last_update":0}', content_type="application/json")}


def told(status, details):
    """The error of a body that cannot be read."""
    body = f'{{"error":"Malformed request body","details":"{details}"}}'
    return {"status": status, "framing": "length", "body": body, "headers": {"content-type": "application/json"}}


def echoed(body):
    """An answer that the SDK does not give."""
    return {"whole": whole(200, body, content_type="application/json")}


ALIKE = {
    "a-length-twice": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n1",
    "chunked-in-capitals": POST + b"Transfer-Encoding: CHUNKED\r\n\r\n1\r\n7\r\n0\r\n\r\n",
    "chunks-with-extensions": CHUNKED + b"1;a=b\r\n7\r\n0;x\r\n\r\n",
    "chunks-with-trailers": CHUNKED + b"1\r\n7\r\n0\r\nX-T: 1\r\n\r\n",
    "chunks-in-capital-digits": CHUNKED + b"A\r\n[1,      2\r\n1\r\n]\r\n0\r\n\r\n",
    "no-length": POST + b"\r\n",
    "ninety-headers": request("POST /invocations", [f"X-{number}: 1" for number in range(90)], b"1"),
    "a-target-of-thirty-kilobytes": request("POST /invocations?" + "a" * 30_000, body=b"1"),
    "an-upgrade-to-http-2": request("POST /invocations", ["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQA"], b"1"),
    "an-expectation-that-is-none": request("POST /invocations", ["Expect: 200-ok"], b"1"),
    "a-body-with-get": request("GET /invocations", body=b"123"),
    "a-body-with-delete": request("DELETE /ping", body=b"123"),
    "chunks-with-post-ping": request("POST /ping", chunks=[b"1"]),
    "a-star": request("OPTIONS *"),
    "a-tab-before-a-value": GET + b"X-A:\tb\r\n\r\n",
    "lines-without-carriage-returns": GET.replace(b"\r", b"") + b"\n",
}
BRIEFLY = {
    "nonsense": b"hello\r\n\r\n",
    "a-blank-before-a-colon": GET + b"X-A : b\r\n\r\n",
    "a-header-without-a-colon": GET + b"X-A\r\n\r\n",
    "a-header-without-a-name": GET + b": b\r\n\r\n",
    "a-zero-in-a-header": GET + b"X-A: a\0b\r\n\r\n",
    "a-carriage-return-in-a-header": GET + b"X-A: a\rb\r\n\r\n",
    "two-lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "a-length-with-a-plus": POST + b"Content-Length: +1\r\n\r\n1",
    "a-negative-length": POST + b"Content-Length: -1\r\n\r\n1",
    "a-length-in-words": POST + b"Content-Length: one\r\n\r\n1",
    "an-encoding-of-no-kind": POST + b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\n7",
}
# Bytes, reason, and how the answer differs.
DIFFERENT = {
    "http-1.0": (
        b"POST /invocations HTTP/1.0\r\nContent-Length: 1\r\n\r\n1",
        reasons.CLOSES_ANYWAY,
        {"headers": {"connection": None}},
    ),
    "two-hosts": (request("GET /ping", ["Host: a", "Host: b"]), reasons.LENIENT, PING),
    "no-host": (b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n", reasons.LENIENT, PING),
    "an-empty-line-first": (b"\r\n" + GET + b"\r\n", reasons.LENIENT, PING),
    "an-absolute-target": (request("POST http://b.example/invocations", body=b"1"), reasons.LENIENT, echoed("1")),
    "a-fragment": (request("POST /invocations#a", body=b"1"), reasons.LENIENT, echoed("1")),
    "bytes-beyond-ascii-in-a-query": (request("POST /invocations?é", body=b"1"), reasons.LENIENT, echoed("1")),
    "an-encoding-before-chunks": (
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n",
        reasons.LENIENT,
        echoed("7"),
    ),
    "a-list-of-lengths": (POST + b"Content-Length: 1, 1\r\n\r\n1", reasons.STRICT, {"status": 400, **EMPTY}),
    "a-header-in-two-lines": (GET + b"X-A: b\r\n c\r\n\r\n", reasons.STRICT, {"status": 400, **EMPTY}),
    "characters-that-have-to-be-escaped": (
        request("POST /invocations?a=<>`", body=b"1"),
        reasons.STRICT,
        {"status": 400, **EMPTY},
    ),
    "a-version-that-is-none": (
        GET.replace(b"1.1", b"1.2") + b"\r\n",
        reasons.STRICT,
        {"status": 400, **EMPTY, "headers": {"content-type": None, "connection": "close"}},
    ),
    "a-hundred-and-fifty-headers": (
        request("POST /invocations", [f"X-{number}: 1" for number in range(150)], b"1"),
        reasons.TOO_LARGE,
        {"status": 431, **EMPTY},
    ),
    "a-target-of-seventy-kilobytes": (
        request("POST /invocations?" + "a" * 70_000, body=b"1"),
        reasons.TOO_LARGE,
        {"status": 414, **EMPTY},
    ),
    "a-size-of-a-chunk-that-is-none": (
        CHUNKED + b"xyz\r\n7\r\n0\r\n\r\n",
        reasons.BAD_BODY,
        told(400, "error reading a body from connection"),
    ),
    "a-chunk-that-is-too-long": (
        CHUNKED + b"1\r\n77\r\n0\r\n\r\n",
        reasons.BAD_BODY,
        told(400, "error reading a body from connection"),
    ),
}


# Heads of connections that go on.
KEPT = ["Connection: keep-alive"]
ONE_AFTER_THE_OTHER = {
    "invocations": [request("POST /invocations", KEPT, b"1"), request("POST /invocations", KEPT, b"[2]")],
    "an-error-between": [
        request("POST /invocations", KEPT, b"1"),
        request("POST /invocations", KEPT, b"{"),
        request("POST /invocations", KEPT, b"2"),
    ],
    "pings-and-nothing": [
        request("GET /ping", KEPT),
        request("HEAD /ping", KEPT),
        request("GET /none", KEPT),
        request("HEAD /none", KEPT),
        request("GET /ping", KEPT),
    ],
    "bodies-that-nobody-reads": [
        request("POST /ping", KEPT, b"123"),
        request("POST /none", KEPT, b"x" * 100),
        request("POST /invocations/", KEPT, b"12"),
        request("PUT /invocations", KEPT, b"{}"),
        request("POST /invocations", KEPT, b"7"),
    ],
    "chunks-and-lengths": [
        request("POST /invocations", KEPT, chunks=[b"[1,", b"2]"]),
        request("POST /invocations", KEPT, b"3"),
        request("POST /invocations", KEPT, chunks=[b"4"]),
    ],
    "the-last-one-closes": [request("POST /invocations", KEPT, b"1"), request("POST /invocations", body=b"2")],
    "a-hundred": [request("POST /invocations", KEPT, b"%d" % number) for number in range(100)],
}


def row(name, data, differs=None):
    """A row of one request."""
    return Row(name, Raw(data, data.split(b" ")[0].decode(), differs))


ROWS = {
    "plain": [
        *(row(name, data) for name, data in ALIKE.items()),
        *(row(name, data, Differs(reasons.SAID_BRIEFLY, **EMPTY)) for name, data in BRIEFLY.items()),
        *(row(name, data, Differs(reason, **parts)) for name, (data, reason, parts) in DIFFERENT.items()),
        *(Row(f"one-after-the-other-{name}", Together(*sent)) for name, sent in ONE_AFTER_THE_OTHER.items()),
    ]
}
