"""What an app inherits from Starlette: middleware, routes, mounts, exception handlers, a lifespan."""

import reasons
from rows import Ask, Differs, Row, Talk, ask

AGENT = "web.py"

METHODS = ("GET", "POST", "HEAD", "DELETE", "OPTIONS")
PATHS = (
    "/hello/a",
    "/hello/a%20b",
    "/hello/%C3%A9?x=1&x=2&y=%26",
    "/hello/a/7",
    "/hello/a/x",
    "/hello/",
    "/hello/a/",
    "/plain/z",
    "/files/a/b/c",
    "/files/",
    "/fails",
    "/missing",
    "/counted",
    "/ping/deep",
    "/slashed",
    "/slashed/",
    "/slashed?a=1",
    "/appended",
    "/raw",
    "/inner/a",
    "/inner/none",
    "/inner",
    "/chat/r",
)
# These send no length; the native engine has all of their answer when it begins.
RAW = ("/raw/", "/raw/x/y?q", "/raw//x", "/inner/b/c")

REFUSED = Differs(reasons.REFUSED, headers={"connection": None, "content-type": None})
NO_LENGTH = Differs(reasons.LENGTH, headers={"content-length": None})
BUSY = reasons.with_type("Busy")
ORIGIN, OTHER = "Origin: https://a.example", "Origin: https://b.example"


def invoke(name, headers=(), differs=None, **payload):
    """A row of one invocation."""
    return ask(name, body=payload, headers=headers, differs=differs)


def common(ping=None, is_used=True):
    """What is asked of every variant. `ping` names the headers that its middleware puts on pings."""
    pings = Differs(reasons.PING, headers={name: None for name in ping}) if ping else None
    nowhere = {"content-type": "text/plain; charset=utf-8", "connection": None}
    nobody = Differs(reasons.NOWHERE, status=404, headers=nowhere, body="Not Found")
    yield invoke("echo", a=1)
    yield invoke("state", do="state")
    yield invoke("state-again", do="state")
    yield invoke("an-error", differs=BUSY, do="fail")
    yield invoke("an-http-error", do="http", status=404, detail="x")
    told = Differs(reasons.HEADERS, headers={"x-a": "1"})
    slow = {"do": "http", "status": 429, "detail": "x", "headers": {"x-a": "1"}}
    yield ask("an-http-error-with-headers", body=slow, differs=told)
    for stream in ("stream", "stream-later"):
        yield invoke(stream, do=stream)
        yield invoke(f"{stream}-that-fails", do=stream, fail=True)
    yield invoke("a-response", do="response")
    yield invoke("a-response-in-parts", do="streaming-response")
    yield invoke("a-large-answer", do="large")
    yield ask("bad-json", body=b"{")
    yield ask("no-body")
    yield ask("no-text", body=b"\xff")
    yield ask("chunks", chunks=[b'{"a"', b": 1}"])
    yield ask("ping", "GET /ping", differs=pings)
    yield ask("head-of-ping", "HEAD /ping", differs=pings)
    yield ask("slash", "POST /invocations/", body={})
    for line in ("POST /ping", "GET /invocations", "OPTIONS /invocations", "GET /ping/", "GET /none", "POST /none"):
        yield ask(line, line)
    for line in ("GET /ws", "GET /", "HEAD /invocations", "HEAD /none"):
        yield ask(line, line)
    yield Row("a-websocket-that-nobody-handles", Talk(differs=REFUSED if is_used else nobody))


def pure():
    yield from common(ping=["x-by"])
    for name in ("pure", "inner"):
        yield invoke(f"stopped-by-{name}", [f"x-stop: {name}"], a=1)
        yield ask(f"nothing-stopped-by-{name}", "GET /none", headers=[f"x-stop: {name}"])
    yield invoke("a-session-of-the-middleware", ["x-session: s1"], do="state")
    pinged = Differs(
        reasons.PING,
        status=200,
        headers={"content-type": "application/json"},
        body='{"status":"Healthy","time_of_last_update":0}',
    )
    yield ask("a-ping-that-is-not-stopped", "GET /ping", headers=["x-stop: pure"], differs=pinged)


def base():
    yield from common(ping=["x-base"])
    for action in ("stop", "fail", "http", "read", "replace", "other"):
        yield invoke(action, [f"x-base: {action}", "x-user: me"], do="state")
        yield ask(f"nothing-{action}", "GET /none", headers=[f"x-base: {action}"])
    for action in ("read", "replace"):
        yield invoke(f"{action}-a-stream", [f"x-base: {action}"], do="stream")
    for do in ("response", "streaming-response", "large"):
        yield invoke(f"replace-{do}", ["x-base: replace"], do=do)
    told = Differs(reasons.ERROR_TYPE, body='{"error":"in the handler","error_type":"Busy"}!')
    yield invoke("replace-an-error", ["x-base: replace"], told, do="fail")


def preflight(origin, method="POST", headers=None):
    """The headers of a question before a request."""
    asked = [origin, f"Access-Control-Request-Method: {method}"]
    return asked + ([f"Access-Control-Request-Headers: {headers}"] if headers else [])


def cors():
    yield from common(ping=["vary"])
    for name, origin in {"known": ORIGIN, "unknown": OTHER}.items():
        yield invoke(f"an-origin-that-is-{name}", [origin], a=1)
        yield ask(f"a-question-of-one-that-is-{name}", "OPTIONS /invocations", headers=preflight(origin))
    yield ask("another-method", "OPTIONS /invocations", headers=preflight(ORIGIN, "PUT"))
    yield ask("a-header", "OPTIONS /invocations", headers=preflight(ORIGIN, headers="x-own, content-type"))
    yield ask("another-header", "OPTIONS /invocations", headers=preflight(ORIGIN, headers="x-other"))
    yield ask("a-question-about-ping", "OPTIONS /ping", headers=preflight(ORIGIN))
    yield ask("a-question-about-nothing", "OPTIONS /none", headers=preflight(ORIGIN))
    yield ask("options-and-no-question", "OPTIONS /invocations", headers=[ORIGIN])
    yield ask("nothing-for-an-origin", "GET /none", headers=[ORIGIN])
    yield ask("bad-json-of-an-origin", body=b"{", headers=[ORIGIN])
    yield invoke("a-stream-for-an-origin", [ORIGIN], do="stream")
    yield invoke("an-error-for-an-origin", [ORIGIN], BUSY, do="fail")
    yield invoke("a-cookie-of-an-origin", [ORIGIN, "Cookie: a=b"], a=1)


def cors_any():
    yield invoke("any-origin", [ORIGIN], a=1)
    yield invoke("any-cookie", [ORIGIN, "Cookie: a=b"], a=1)
    yield ask("any-method", "OPTIONS /invocations", headers=preflight(ORIGIN, "PUT", "x-any"))
    yield ask("nothing-for-any-origin", "GET /none", headers=[ORIGIN])


def gzip():
    yield from common()
    accepts = ["Accept-Encoding: gzip"]
    yield invoke("compressed", accepts, do="large")
    yield invoke("too-small", accepts, a=1)
    yield invoke("events-are-not-compressed", accepts, do="stream")
    yield invoke("another-encoding", ["Accept-Encoding: br"], do="large")


def hosts():
    yield invoke("a-host", a=1)
    yield invoke("a-host-below", ["Host: x.b.example:80"], a=1)
    yield invoke("a-foreign-host", ["Host: evil"], a=1)
    yield ask("nothing-for-a-foreign-host", "GET /none", headers=["Host: evil"])
    yield ask("a-slash", "GET /ping/")


def errors():
    yield from common()
    for line in ("GET /fails", "GET /missing", "GET /broken", "HEAD /fails", "POST /fails"):
        yield ask(line, line)


def routes():
    yield from common()
    for method in METHODS:
        for path in PATHS:
            body = {} if method == "POST" else b""
            yield ask(f"{method} {path}", f"{method} {path}", body, differs=head(method, path))
        for path in RAW:
            yield ask(f"{method} {path}", f"{method} {path}", differs=raw(method, path))
    for path in ("/", "/x"):
        whole = Differs(reasons.LENGTH, framing="length")
        yield ask(f"another host {path}", f"GET {path}", headers=["Host: other.example"], differs=whole)
    for path in ("/ping", "/invocations", "/hello/a"):
        yield ask(f"another host {path}", f"GET {path}", headers=["Host: other.example"])
    yield Row("a-websocket", Talk("hi", line="GET /chat/lobby"))
    yield Row("a-websocket-below", Talk("hi", line="GET /inner/c/lobby"))
    yield Row("a-websocket-nowhere", Talk(line="GET /nochat", differs=REFUSED))
    yield Row("a-websocket-on-a-route", Talk(line="GET /plain/z", differs=REFUSED))


def head(method, path):
    """How an answer differs that has no body."""
    if method == "HEAD" and path == "/counted":
        return Differs(reasons.NO_END, headers={"transfer-encoding": None})
    is_redirect = path in ("/raw", "/inner", "/hello/a/") or path.startswith("/slashed") and not path.endswith("/")
    return NO_LENGTH if method == "HEAD" and is_redirect else None


def raw(method, path):
    """How the answer of an ASGI application differs that says no length."""
    if method != "HEAD":
        return Differs(reasons.LENGTH, framing="length")
    name, _, query = path.partition("?")
    root = "/raw" if path.startswith("/raw") else "/inner/b"
    told = len(f"http {root} {name} {query}")
    return Differs(reasons.LENGTH, headers={"transfer-encoding": None, "content-length": str(told)})


def debug():
    yield from common()
    for path in ("/missing", "/hello/a", "/none"):
        yield ask(path, f"GET {path}")
    listed = Differs(reasons.NO_OBJECT, status=200, body="[1]")
    yield ask("a-list", body=b"[1]", differs=listed)


def lifespan():
    yield from common(is_used=False)
    yield Row("state-of-two-requests", Ask(body={"do": "state"}), Ask(body={"do": "state"}))


ROWS = {
    "none": [*common(is_used=False)],
    "pure": [*pure()],
    "base": [*base()],
    "cors": [*cors()],
    "cors-any": [*cors_any()],
    "gzip": [*gzip()],
    "hosts": [*hosts()],
    "lifespan": [*lifespan()],
    "function": [*common(ping=["x-timed"])],
    "errors": [*errors()],
    "routes": [*routes()],
    "debug": [*debug()],
}
