"""Which path and method gets which answer, with every method on every path, and hosts of all kinds."""

import reasons
from rows import Differs, ask

AGENT = "echo.py"
# The SDK's own address is in some answers, and has to be one.
OVER_TCP = True

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get", "post")
PATHS = (
    "/invocations",
    "/ping",
    "/ws",
    "/",
    "/invocations/",
    "/ping/",
    "/ws/",
    "/invocations//",
    "//invocations",
    "//ping",
    "/invocations?",
    "/invocations?a=1&b=%20",
    "/ping?x",
    "/invocations/?a=%2F&b=%C3%A9",
    "/invocations;a=1",
    "/INVOCATIONS",
    "/p%69ng",
    "/%69nvocations",
    "/ping%2F",
    "/ping%20",
    "/ping%00",
    "/%2Fping",
    "/ping/..",
    "/./ping",
    "/a/../ping",
    "/ping%3Fa",
    "/invocations%3F",
    "/docs",
    "/openapi.json",
    "/invocations/x",
    "/pings",
    "/%E9",
    "/%FF",
    "/ping?%FF",
    "/ping/?a=1?b=2",
    "/ping/?",
    "/a//b",
    "/ping/%20/",
    "/%ZZ",
    "/ping%",
    "/ping/%2F/",
    "/ws/?a=1",
)
HOSTS = (
    "a.example",
    "a.example:443",
    "A.EXAMPLE",
    "127.0.0.1:0",
    "[::1]",
    "[::1]:8080",
    "a_b",
    "a.example.",
    "xn--bcher-kva.example",
)
# The SDK tells its own address instead.
NO_HOSTS = ("", "a b", "a.example/x?y", "user@a.example", "<script>", "é.example")


def paths():
    """Every method on every path."""
    for path in PATHS:
        for method in METHODS:
            yield ask(f"{method} {path}", f"{method} {path}", body={"a": 1} if method in ("POST", "PUT") else b"")


def hosts():
    """Hosts in redirects."""
    for host in HOSTS:
        yield ask(f"host {host}", "GET /ping/", headers=[f"Host: {host}"])
    for host in NO_HOSTS:
        differs = Differs(reasons.HOST, headers={"location": "/ping"})
        yield ask(f"no host {host}", "GET /ping/", headers=[f"Host: {host}"], differs=differs)
    other = ("X-Forwarded-Host: c", "Forwarded: host=c;proto=https", "X-Forwarded-For: 9.9.9.9", "X-Original-URL: /c")
    for header in other:
        yield ask(header, "GET /ping/", headers=["Host: a.example", header])
    proto = Differs(reasons.FORWARDED, headers={"location": "http://a.example/ping"})
    yield ask("forwarded", "GET /ping/", headers=["Host: a.example", "X-Forwarded-Proto: https"], differs=proto)


def headers():
    """Headers that change nothing."""
    for header in (
        "Range: bytes=0-0",
        "If-None-Match: *",
        "If-Modified-Since: Mon, 05 Jan 2026 00:00:00 GMT",
        "X-HTTP-Method-Override: DELETE",
        "TE: trailers",
        "Prefer: respond-async",
        "Save-Data: on",
        "Upgrade-Insecure-Requests: 1",
        "X-Long: " + "x" * 30_000,
    ):
        yield ask(f"POST with {header[:40]}", body={"a": 1}, headers=[header])
        yield ask(f"GET with {header[:40]}", "GET /ping", headers=[header])


ROWS = {"plain": [*paths(), *hosts(), *headers()]}
