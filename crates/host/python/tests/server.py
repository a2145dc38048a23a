"""The other side of the worker protocol, for tests: starts a worker on a piece of Python and calls it."""

import json
import os
import queue
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKEN = "0123456789abcdef0123456789abcdef"
PATIENCE = 20

INVOKE, CANCEL, CREDIT, GROW, REFRESH, STOP = 1, 2, 3, 4, 5, 6
REQUEST, OPEN, MESSAGE_IN, DISCONNECT = 7, 8, 9, 10
HELLO, READY, LOAD_FAILED, STATUS = 64, 65, 66, 67
RESULT, ERROR, STREAM, ITEM, ITEMS, END, RESPONSE = 70, 71, 72, 73, 74, 75, 76
HEAD, CHUNK, MOVED = 77, 78, 79
ACCEPT, MESSAGE_OUT, CLOSE, TAKEN = 80, 81, 82, 83
LAST = (RESULT, ERROR, END, RESPONSE, CLOSE)
# What counts against the credit.
ITEMIZED = (ITEM, CHUNK, MESSAGE_OUT)


class Link:
    """A connection that the worker has opened."""

    def __init__(self, connection):
        self.connection = connection
        self.pending = b""
        self.lock = threading.Lock()
        # Who holds it keeps the connection from being read.
        self.paused = threading.Lock()
        frame = self.read()
        if frame is None:
            raise EOFError("a worker that ended before it had said hello")
        _, _, payload = frame
        self.hello = json.loads(payload)
        self.role = self.hello["role"]

    def read(self):
        """Returns kind, call and payload of the next frame; `None` at the end."""
        head = self._exactly(9)
        if head is None:
            return None
        length, kind, call = struct.unpack(">IBI", head)
        return kind, call, self._exactly(length - 5)

    def write(self, kind, call=0, payload=b""):
        with self.lock:
            self.connection.sendall(struct.pack(">IBI", len(payload) + 5, kind, call) + payload)

    def shut(self):
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _exactly(self, count):
        parts = []
        while count:
            try:
                part = self.connection.recv(min(count, 1 << 20))
            except OSError:
                return None
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


class Call:
    """A call under way: `next()` gives its frames as kind and payload."""

    def __init__(self, worker, number, link):
        self.worker = worker
        self.number = number
        self.link = link
        self.frames = queue.Queue()
        # Whether a call that moves to the loop is followed there at once.
        self.follows = True
        # How many items were in each frame of the call that has come over the connection of the loop.
        self.counts = []

    def next(self, patience=PATIENCE):
        if self.link.role == "loop":
            return self.frames.get(timeout=patience)
        self.link.connection.settimeout(patience)
        frame = self.link.read()
        if frame is None:
            raise AssertionError("the connection ended within a call")
        kind, number, payload = frame
        assert number == self.number, (number, self.number)
        if kind in LAST or kind == MOVED:
            self.link.connection.settimeout(None)
        if kind in LAST:
            self.worker.idle.put(self.link)
        if kind == MOVED:
            self.worker.idle.put(self.link)
            wait_until(lambda: self.worker.loop is not None)
            self.link = self.worker.loop
            if self.follows:
                self.follow()
                return self.next()
        return kind, payload

    def follow(self):
        """Allows a call that has moved to go on."""
        self.link.write(CREDIT, self.number, struct.pack(">I", 256))

    def all(self):
        """Returns every frame, up to the one that ends the call."""
        frames = [self.next()]
        while frames[-1][0] not in LAST:
            if frames[-1][0] in ITEMIZED and self.link.role == "loop":
                self.link.write(CREDIT, self.number, struct.pack(">I", 1))
            frames.append(self.next())
        return frames

    def cancel(self, why=0):
        if self.link.role == "loop":
            self.link.write(CANCEL, self.number, bytes([why]))
        else:
            self.link.shut()

    def allow(self, count):
        self.link.write(CREDIT, self.number, struct.pack(">I", count))


class Socket(Call):
    """A WebSocket connection: what the client does, and `next()` for what the worker says."""

    def accepted(self):
        """Returns what ACCEPT says."""
        kind, payload = self.next()
        assert kind == ACCEPT, (kind, payload, self.worker.stderr())
        return json.loads(payload)

    def say(self, message):
        kind, data = (b"\0", message.encode()) if isinstance(message, str) else (b"\1", message)
        self.link.write(MESSAGE_IN, self.number, kind + data)

    def leave(self, code=1000, reason=""):
        self.link.write(DISCONNECT, self.number, struct.pack(">H", code) + reason.encode())

    def heard(self):
        """Returns the next message of the worker's, passing over TAKEN."""
        kind, payload = self.next()
        while kind == TAKEN:
            kind, payload = self.next()
        assert kind == MESSAGE_OUT, (kind, payload, self.worker.stderr())
        return payload[1:].decode() if payload[0] == 0 else payload[1:]

    def closed(self):
        """Returns code and reason of the CLOSE that comes next, but for TAKEN."""
        kind, payload = self.next()
        while kind == TAKEN:
            kind, payload = self.next()
        assert kind == CLOSE, (kind, payload, self.worker.stderr())
        return struct.unpack(">H", payload[:2])[0], payload[2:].decode()


class Worker:
    """A worker process that has loaded `source`, or has failed to. What it writes goes to files, or to `streams`."""

    def __init__(
        self, source, *arguments, place="--native-last", file="agent.py", files=(), env=(), streams=None, wait=True
    ):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="worker-"))
        self.file = os.path.join(self.folder, file)
        for name, content in [(file, source), *dict(files).items()]:
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(textwrap.dedent(content))
        path = os.path.join(self.folder, "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        environment = {**os.environ, "AGENTCORE_WORKER_SOCKET": path, "AGENTCORE_WORKER_TOKEN": TOKEN, **dict(env)}
        environment.pop("PYTHONPATH", None)
        self.output = open(os.path.join(self.folder, "out"), "w+b")
        self.errors = open(os.path.join(self.folder, "err"), "w+b")
        command = [sys.executable, "-u", os.path.join(PACKAGE, "agentcore_worker.py"), place, self.file, *arguments]
        self.process = subprocess.Popen(
            [*command, "--source-root", self.folder],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output if streams is None else streams[0],
            stderr=self.errors if streams is None else streams[1],
            cwd=self.folder,
        )
        self.control = self.loop = self.ready = self.failure = None
        self.idle = queue.Queue()
        self.statuses = queue.Queue()
        self.links = []
        self.calls = {}
        self.number = 0
        self.loaded = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()
        if wait:
            assert self.loaded.wait(PATIENCE), self.stderr()
            if self.ready and (self.ready["dispatch"] == "loop" or self.ready["websocket"] or self.ready["asgi"]):
                # Opened before READY, but on a socket of its own: it may be read later.
                wait_until(lambda: self.loop is not None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for link in self.links:
            link.connection.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.output.close()
        self.errors.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def invoke(self, payload=None, body=None, session="s1", headers=(), **meta):
        """Begins a call."""
        # The first call has the number 0, as the server's.
        number = self.number
        self.number += 1
        described = {"request_id": f"r{self.number}", "session_id": session}
        meta = {**described, "headers": [list(pair) for pair in headers], **meta}
        meta = json.dumps(meta).encode()
        body = json.dumps(payload).encode() if body is None else body
        if self.ready["dispatch"] == "loop":
            link = self.loop
        else:
            link = self.idle.get(timeout=PATIENCE)
        call = Call(self, number, link)
        self.calls[number] = call
        link.write(INVOKE, number, struct.pack(">I", len(meta)) + meta + body)
        return call

    def request(self, method="GET", target="/", body=b"", headers=(), session=None, client=("10.0.0.1", 5000)):
        """Begins a request that the agent answers itself."""
        meta = {"method": method, "target": target, "client": client}
        if method == "POST":
            del meta["method"]
        return self._open(Call, REQUEST, meta, headers, session, body)

    def open(self, target="/ws", headers=(), session="s1"):
        """Asks for a WebSocket connection."""
        return self._open(Socket, OPEN, {"method": "GET", "target": target}, headers, session)

    def _open(self, kind, frame, meta, headers, session, body=b""):
        number = self.number
        self.number += 1
        wait_until(lambda: self.loop is not None)
        call = self.calls[number] = kind(self, number, self.loop)
        meta.update(request_id=f"r{self.number}", session_id=session, headers=[list(pair) for pair in headers])
        meta = json.dumps(meta).encode()
        self.loop.write(frame, number, struct.pack(">I", len(meta)) + meta + body)
        return call

    def fetch(self, *request, **options):
        """Asks, and returns status, headers and body of the answer."""
        return answer_of(self.request(*request, **options).all())

    def answer(self, payload=None, **options):
        """Calls, and returns the frame that ends the call."""
        return self.invoke(payload, **options).all()[-1]

    def result(self, payload=None, **options):
        """Calls, and returns the body of a result as text."""
        kind, body = self.answer(payload, **options)
        assert kind == RESULT, (kind, body, self.stderr())
        return body.decode()

    def error(self, payload=None, **options):
        """Calls, and returns the fields of an error."""
        kind, body = self.answer(payload, **options)
        assert kind == ERROR, (kind, body)
        return json.loads(body)

    def stream(self, payload=None, **options):
        """Calls, and returns the items and the frame that ends the stream."""
        (first, _), *items, last = self.invoke(payload, **options).all()
        assert first == STREAM, (first, last, self.stderr())
        assert all(kind == ITEM for kind, _ in items)
        return [item.decode() for _, item in items], last

    def stderr(self):
        with open(self.errors.name, encoding="utf-8") as file:
            return file.read()

    def stdout(self):
        with open(self.output.name, encoding="utf-8") as file:
            return file.read()

    def log(self):
        """Returns the JSON lines on stderr."""
        return [json.loads(line) for line in self.stderr().splitlines() if line.startswith("{")]

    def line(self, number):
        """Returns a line of the log, when it is there: an answer does not wait for its line."""
        wait_until(lambda: len(self.log()) > number)
        return self.log()[number]

    def messages(self):
        return [line["message"] for line in self.log()]

    def status(self):
        return self.statuses.get(timeout=PATIENCE)

    def ended(self):
        """Waits for the end of the process, and returns its status."""
        return self.process.wait(PATIENCE)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                link = Link(connection)
            except EOFError:
                continue
            assert link.hello["token"] == TOKEN and link.hello["version"] == 2
            self.links.append(link)
            if link.role == "thread":
                self.idle.put(link)
            else:
                setattr(self, link.role, link)
                threading.Thread(target=self._read, args=(link,), daemon=True).start()

    def _read(self, link):
        while True:
            frame = link.read()
            if frame is None:
                break
            with link.paused:
                kind, call, payload = frame
            if kind == STATUS:
                self.statuses.put(json.loads(payload)["status"])
            elif kind == READY:
                self.ready = json.loads(payload)
                self.loaded.set()
            elif kind == LOAD_FAILED:
                self.failure = json.loads(payload)
                self.loaded.set()
            else:
                found = self.calls[call]
                # Several items in one frame are the same as several frames, and are told apart by those who ask.
                found.counts.append(1 if kind == ITEM else sum(1 for _ in items(payload)) if kind == ITEMS else 0)
                for part in items(payload) if kind == ITEMS else [payload]:
                    found.frames.put((ITEM if kind == ITEMS else kind, part))


def items(payload):
    """Yields the items of an ITEMS frame."""
    while payload:
        length = struct.unpack_from(">I", payload)[0]
        yield payload[4 : 4 + length]
        payload = payload[4 + length :]


def answer_of(frames):
    """Returns status, headers and body that the frames of an answer make."""
    (kind, payload), *rest = frames
    if kind == RESPONSE:
        length = int.from_bytes(payload[:4], "big")
        head, body = json.loads(payload[4 : 4 + length]), payload[4 + length :]
    else:
        assert kind == HEAD and rest[-1][0] == END, frames
        head, body = json.loads(payload), b"".join(chunk for _, chunk in rest[:-1])
    return head["status"], dict(head["headers"]), body


def wait_until(condition):
    """Waits until `condition` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
