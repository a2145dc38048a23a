"""Rows: what is asked of both engines, and how the native one may differ.

A row passes if both engines answer alike. One that differs names its reason and what changes; it fails, too, when the
engines differ otherwise than that, or no longer.
"""

import json
import re
import time

import sockets
from exchange import Connection, request

# How long an answer may take to become what a step waits for.
PATIENCE = 20

# Which server it is, and when it was.
_NEVER_COMPARED = ("date", "server")
# What is another one in each process, and what stands for it.
_VOLATILE = [
    (r'("time_of_last_update": ?)\d+', r"\g<1>0"),
    (r'("duration": ?)[\d.e-]+', r"\g<1>0"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b0x[0-9a-f]+\b", "<address>"),
    (r" id='\d+'", " id='0'"),
    (r"(?<=boundary=)[0-9a-f]+|(?<=--)[0-9a-f]{16,}", "<boundary>"),
    (r'("task_id": ?)-?\d+', r"\g<1>0"),
]


class Differs:
    """How the native engine answers otherwise, and why: each part of an answer that is named replaces the SDK's.

    `headers` are changed one by one, and `None` takes one away. Any other part may be a function of the SDK's. `whole`
    stands for all of the answer.
    """

    def __init__(self, reason, **parts):
        if len(reason.split()) < 3:
            raise ValueError(f"no reason in words: `{reason}`")
        self.reason = reason
        self._parts = parts

    def applied(self, answer):
        """What the native engine has to answer where the SDK gives this answer."""
        if "whole" in self._parts:
            return self._parts["whole"]
        answer = {**answer, "headers": dict(answer.get("headers", {}))}
        for name, value in self._parts.get("headers", {}).items():
            answer["headers"].pop(name, None)
            if value is not None:
                answer["headers"][name] = value
        for name in ("status", "framing", "heard", "body"):
            if name in self._parts:
                part = self._parts[name]
                answer[name] = part(answer[name]) if callable(part) else part
        return answer


class Row:
    """What is done one after the other with each engine, on the same agent."""

    def __init__(self, name, *steps, only=None):
        self.name = name
        self.steps = steps
        # Why the SDK is not asked; then every step has its `Differs`, with all of the answer.
        self.only = only

    def play(self, place):
        """Does it, and returns what came back in each step."""
        return [step.play(place) for step in self.steps]


class Ask:
    """One request. With `until`, it is asked again until that says yes to the body."""

    def __init__(self, line="POST /invocations", body=b"", headers=(), chunks=None, until=None, differs=None):
        self._line = line
        self._data = request(line, headers, _bytes(body), chunks)
        self._until = until
        self.differs = differs

    def play(self, place):
        """Asks, and returns the answer with all that is volatile taken out."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._asked(place)
            except OSError as error:
                return {"failed": type(error).__name__}
            if self._until is None or self._until(answer["body"]) or time.monotonic() > deadline:
                return answer
            time.sleep(0.02)

    def _asked(self, place):
        with Connection(place) as connection:
            connection.send(self._data)
            answer = normal(connection.answer(self._line.split()[0]))
            rest = connection.rest()
            if rest:
                answer["rest"] = repr(rest)
            return answer


class Raw:
    """Bytes that may be no request, and the answer to them, if there is one."""

    def __init__(self, data, method="POST", differs=None):
        self._data = data
        self._method = method
        self.differs = differs

    def play(self, place):
        """Sends them."""
        try:
            with Connection(place) as connection:
                connection.send(self._data)
                return normal(connection.answer(self._method))
        except OSError as error:
            return {"failed": type(error).__name__}


class Together:
    """Requests that are sent together over one connection, and all that comes back."""

    def __init__(self, *requests, differs=None):
        self._requests = requests
        self.differs = differs

    def play(self, place):
        """Sends them, and returns the answers in their order."""
        heard = []
        try:
            with Connection(place) as connection:
                connection.send(b"".join(self._requests))
                for data in self._requests:
                    answer = normal(connection.answer(data.split(b" ")[0].decode()))
                    heard.append(answer)
        except OSError as error:
            heard.append(type(error).__name__)
        return {"heard": heard}


class Talk:
    """A WebSocket connection: what is sent, one after the other, and all that is heard until it ends.

    Each thing said is a text, bytes, `(opcode, payload)` with more arguments of `Socket.send`, or a number: so many
    messages are heard before the next is said.
    """

    def __init__(self, *said, line="GET /ws", headers=(), handshake=sockets.HANDSHAKE, differs=None):
        self._said = said
        self._head = request(line, [*handshake, *headers])
        self.differs = differs

    def play(self, place):
        """Talks, and returns what was heard."""
        try:
            connection, answer, socket = sockets.connect(place, self._head)
        except OSError as error:
            return {"failed": type(error).__name__}
        with connection:
            told = normal(answer)
            for name in ("connection", "upgrade", "sec-websocket-accept"):
                if answer.status == 101:
                    told["headers"].pop(name, None)
            if socket is not None:
                told["heard"] = list(self._talked(socket))
            return told

    def _talked(self, socket):
        for said in self._said:
            if isinstance(said, int):
                for _ in range(said):
                    yield _heard(socket.receive())
            elif isinstance(said, str):
                socket.send(sockets.TEXT, said.encode("utf-8", "surrogatepass"))
            elif isinstance(said, bytes):
                socket.send(sockets.BINARY, said)
            else:
                opcode, payload, *options = said
                socket.send(opcode, payload, **(options[0] if options else {}))
        while True:
            heard = socket.receive()
            yield _heard(heard)
            if heard is None or heard == (sockets.PONG, b"(nothing came)"):
                return
            if heard[0] == sockets.CLOSE:
                socket.send(sockets.CLOSE, heard[1][:2])


def normal(answer):
    """An answer as it is compared: what is volatile is taken out, what has no order is sorted."""
    headers = {name: answer.value(name) for name, _ in answer.headers if name not in _NEVER_COMPARED}
    if "allow" in headers:
        headers["allow"] = ", ".join(sorted(headers["allow"].split(", ")))
    if answer.framing == "length":
        # That much was read, and it may be another length in each process.
        del headers["content-length"]
    elif answer.framing == "chunked":
        del headers["transfer-encoding"]
    return {"status": answer.status, "headers": headers, "framing": answer.framing, "body": steady(shown(answer.body))}


def steady(text):
    """A text without what is another one in each process. Long ones have nothing of that."""
    if len(text) > 100_000:
        return text
    for pattern, stand_in in _VOLATILE:
        text = re.sub(pattern, stand_in, text)
    return text


def shown(data):
    """Bytes as text that holds all of them."""
    return data.decode("utf-8", "backslashreplace")


def _heard(message):
    if message is None:
        return "the end"
    opcode, payload = message
    if opcode == sockets.CLOSE:
        code = int.from_bytes(payload[:2], "big") if payload else None
        return f"close {code} {shown(payload[2:])}".rstrip()
    kind = {sockets.TEXT: "text", sockets.BINARY: "bytes", sockets.PING: "ping", sockets.PONG: "pong"}[opcode]
    return f"{kind} {steady(shown(payload))}"


def _bytes(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def ask(name, *args, **options):
    """A row of one request."""
    return Row(name, Ask(*args, **options))


def act(name, differs=None, **payload):
    """A row of one invocation, whose payload is the other arguments."""
    return Row(name, Ask(body=payload, differs=differs))


def whole(status, body="", framing="length", **headers):
    """All of an answer."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"status": status, "headers": {"connection": "close", **headers}, "framing": framing, "body": body}
