"""WebSockets: what a handler does and hears, what a client may not do, and handshakes."""

import reasons
from rows import Differs, Row, Talk
from sockets import BINARY, CLOSE, CONTINUATION, HANDSHAKE, PING, PONG, TEXT

AGENT = "chat.py"

CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
NO_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535, 70000)
VIOLATIONS = {
    "no-utf-8": [(TEXT, b"\xff")],
    "utf-8-that-is-cut": [(TEXT, b"\xc3")],
    "half-a-character": [(TEXT, b"\xed\xa0\x80")],
    "no-mask": [(TEXT, b"a", {"masked": False})],
    "a-reserved-bit": [(TEXT, b"a", {"reserved": 4})],
    "a-reserved-opcode": [(3, b"a")],
    "a-reserved-opcode-of-control": [(11, b"a")],
    "a-rest-without-a-beginning": [(CONTINUATION, b"a")],
    "a-beginning-within-a-message": [(TEXT, b"a", {"final": False}), (TEXT, b"b")],
    "a-ping-that-is-too-long": [(PING, b"x" * 126)],
    "a-code-that-is-kept": [(CLOSE, b"\x03\xed")],
    "a-code-below-all": [(CLOSE, b"\x03\xe7")],
    "half-a-code": [(CLOSE, b"x")],
    "a-reason-that-is-no-text": [(CLOSE, b"\x03\xe8\xff")],
    "a-close-in-parts": [(CLOSE, b"\x03\xe8", {"final": False})],
}
REFUSED = Differs(reasons.REFUSED, headers={"connection": None, "content-type": None})
HEADERS = [
    "X-One: é",
    "X-Many: 1",
    "X-Many: 2",
    "Cookie: a=1; b=2",
    "X-Request: r",
    "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id: r",
    "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id: s",
    "Authorization: Bearer t",
    "WorkloadAccessToken: w",
    "X-Amzn-Bedrock-AgentCore-Runtime-Custom-A: 1",
    "Origin: http://a.example",
]


def close(code=1000, reason=b""):
    """The frame with which the client closes."""
    return CLOSE, code.to_bytes(2, "big") + reason


def talk(name, *said, do=None, query="", headers=(), differs=None):
    """A row of one connection, whose handler is `do`."""
    return Row(name, Talk(*said, line=f"GET /ws?do={do or name}{query}", headers=headers, differs=differs))


def code_of_a_close(heard):
    """What was heard, where a close has no words."""
    return [" ".join(line.split(" ")[:2]) if line.startswith("close") else line for line in heard]


def handled():
    """What handlers do, with the classes of Starlette and without."""
    yield talk("echo", "a", "é\U0001f30d", "", "x" * 70_000, 4, close())
    yield talk("a-client-with-a-reason", "a", 1, close(4999, b"why"), do="echo")
    yield talk("a-client-without-a-code", (CLOSE, b""), do="echo")
    yield talk("echo_bytes", b"\x00\xff", b"", 2, close())
    yield talk("echo_json", '{"a": [1, null]}', '"x"', "1", 3, close())
    yield talk("no-json", "{", do="echo_json")
    yield talk("binary_json", 1, b'{"b":1}')
    yield talk("raw", "x", b"y")
    yield talk("close_with_words")
    for code in CODES:
        yield talk(f"close-{code}", do="close", query=f"&code={code}")
    yield talk("close-with-a-reason", do="close", query="&code=4000&reason=%C3%A9%20a")
    yield talk("close-with-a-long-reason", do="close", query="&code=4000&reason=" + "x" * 123)
    yield talk("fails")
    yield talk("wrong_kind", b"bytes")
    yield talk("before_accept")
    yield talk("twice")
    yield talk("notes")
    yield talk("disconnect_raised", "a", close(1001, b"off"))
    yield talk("pushes")
    yield talk("subprotocols")
    yield talk("subprotocols-in-one-line", do="subprotocols", headers=["Sec-WebSocket-Protocol: a, b"])
    offered = ["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"]
    yield talk("subprotocols-in-two-lines", do="subprotocols", headers=offered)
    yield talk("headers_as_text")
    yield talk("large", query="&size=100000")
    yield talk("very-large", do="large", query="&size=3000000")
    yield talk("together", 1, "x")
    yield talk("surrogate")
    yield talk("described")
    query = "&a=1&a=%20b&c"
    yield talk("described-in-full", do="described", query=query, headers=HEADERS)
    yield from framed()


def framed():
    """Messages in all the frames that a client may send."""
    yield talk("lengths", "abc", b"abcd", "x", 3, close())
    yield talk("a-megabyte", "x" * 1_000_000, 1, close(), do="lengths")
    parts = [(TEXT, b"ab", {"final": False}), (CONTINUATION, b"cd", {"final": False}), (CONTINUATION, b"ef")]
    yield talk("parts", *parts, 1, close(), do="lengths")
    parts = [(BINARY, b"ab", {"final": False}), (PING, b"p"), (CONTINUATION, b"cd")]
    yield talk("a-ping-between-parts", *parts, 2, close(), do="lengths")
    parts = [(TEXT, b"\xc3", {"final": False}), (CONTINUATION, b"\xa9")]
    yield talk("a-character-in-parts", *parts, 1, close(), do="echo")
    yield talk("a-ping", (PING, b"hello"), 1, close(), do="lengths")
    yield talk("a-pong", (PONG, b"hello"), close(), do="lengths")
    for name, said in VIOLATIONS.items():
        # Each server has its words, and some none.
        told = Differs(reasons.WORDS, heard=spoken.get(name, code_of_a_close))
        yield talk(name, *said, do="echo", differs=told)


spoken = {
    name: ["close 1007 a text has to be UTF-8", "the end"]
    for name in ("no-utf-8", "utf-8-that-is-cut", "half-a-character", "a-reason-that-is-no-text")
}
for _name in ("a-code-that-is-kept", "a-code-below-all"):
    spoken[_name] = ["close 1002 Protocol violation", "the end"]


def different():
    """What handlers do, and the native engine does otherwise."""
    closed = Differs(reasons.CLOSES, heard=["text last", "close 1000", "the end"])
    yield talk("returns", differs=closed)
    for code in NO_CODES:
        cut = Differs(reasons.FAILS_TO_CLOSE, heard=["close 1011", "the end"])
        yield talk(f"close-{code}", do="close", query=f"&code={code}", differs=cut)
    shortened = Differs(reasons.FAILS_TO_CLOSE, heard=["close 4000 " + "x" * 123, "the end"])
    yield talk("close-with-a-reason-too-long", do="close", query="&code=4000&reason=" + "x" * 130, differs=shortened)
    yield talk("fails_before", differs=REFUSED)
    yield talk("refuses", differs=REFUSED)
    yield talk("refuses-with-a-code", do="refuses", query="&code=4003", differs=REFUSED)
    told = '{"error":"the WebSocket handler returned without `accept()`","error_type":"RuntimeError"}'
    headers = {"content-type": "application/json", "connection": None}
    yield talk("returns_before", differs=Differs(reasons.NOT_ACCEPTED, headers=headers, body=told))


def starlettes():
    """What needs Starlette."""
    yield talk("disconnect", close(1001, b"going"))
    yield talk("how-it-went", do="notes")
    yield talk("disconnect-without-a-code", (CLOSE, b""), do="disconnect")
    yield talk("how-it-went-again", do="notes")
    yield talk("denies", differs=Differs(reasons.STAYS, headers={"connection": None}))


_KEY = "The handshake has no valid `Sec-WebSocket-Key`, which is 16 bytes in base64"
_VERSION = "The handshake has to ask for version 13 of the protocol (`Sec-WebSocket-Version: 13`)"


def handshakes():
    """Requests that ask for a WebSocket, or nearly."""
    connection, upgrade, version, key = HANDSHAKE
    accepted = Differs(reasons.CLOSES, heard=["text last", "close 1000", "the end"])
    compressed = {"heard": ["text last", "close 1000", "the end"], "headers": {"sec-websocket-extensions": None}}
    bad_key = Differs(reasons.HANDSHAKE, headers={"connection": None}, body=_KEY)
    wants = {"sec-websocket-version": "13", "upgrade": "websocket", "connection": "upgrade"}
    bad_version = Differs(reasons.HANDSHAKE, status=426, headers=wants, body=_VERSION)
    no_upgrade = {"status": 400, "body": "The handshake has no `Connection: Upgrade`"}
    both = {"status": 101, "framing": "none", "headers": {}, "body": "", "heard": compressed["heard"]}
    for name, lines, differs in (
        ("no-key", [connection, upgrade, version], bad_key),
        ("a-key-that-is-none", [connection, upgrade, version, "Sec-WebSocket-Key: x"], bad_key),
        ("two-keys", [*HANDSHAKE, key], Differs(reasons.LENIENT, whole=both)),
        ("no-version", [connection, upgrade, key], bad_version),
        ("an-old-version", [connection, upgrade, "Sec-WebSocket-Version: 8", key], bad_version),
        ("no-upgrade", [connection, version, key], None),
        ("another-upgrade", [connection, "Upgrade: h2c", version, key], None),
        ("no-connection", [upgrade, version, key], Differs(reasons.HANDSHAKE, **no_upgrade)),
        ("another-case", ["connection: keep-alive, UPGRADE", "UPGRADE: WebSocket", version, key], accepted),
        ("an-origin", [*HANDSHAKE, "Origin: http://b.example"], accepted),
        ("an-extension", [*HANDSHAKE, "Sec-WebSocket-Extensions: x-nothing"], accepted),
        (
            "compression",
            [*HANDSHAKE, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
            Differs(reasons.NO_DEFLATE, **compressed),
        ),
    ):
        yield Row(f"a-handshake-with-{name}", Talk(line="GET /ws?do=returns", handshake=lines, differs=differs))
    yield Row("an-escaped-path", Talk(line="GET /%77s?do=returns", differs=accepted))
    text = {"content-type": "text/plain; charset=utf-8", "connection": None}
    for path in ("/ws/?do=returns", "/other", "/ws/x", "/", "//ws?do=returns"):
        nobody = Differs(reasons.NOWHERE, status=404, headers=text, body="Not Found")
        yield Row(f"a-handshake-of-{path}", Talk(line=f"GET {path}", differs=nobody))
    post = Differs(reasons.NOWHERE, status=404, headers={**text, "allow": None}, body="Not Found")
    yield Row("a-handshake-with-post", Talk(line="POST /ws?do=returns", differs=post))
    allow = {**text, "allow": "POST"}
    wrong = Differs(reasons.NOWHERE, status=405, headers=allow, body="Method Not Allowed")
    yield Row("a-handshake-of-invocations", Talk(line="GET /invocations", differs=wrong))
    pinged = {"content-type": "application/json", "connection": None}
    healthy = '{"status":"Healthy","time_of_last_update":0}'
    pinged = Differs(reasons.PING, status=200, headers=pinged, body=healthy)
    yield Row("a-handshake-of-ping", Talk(line="GET /ping", differs=pinged))


ROWS = {
    "starlette": [*handled(), *different(), *starlettes(), *handshakes()],
    "bare": [*handled(), *different()],
}
