"""What the server may send: frames cut anywhere are read whole, and anything else ends the worker with a message."""

import asyncio
import contextvars
import json
import random
import socket
import struct
import time
import types
import unittest

import support  # noqa: F401
from agents import both
from server import CANCEL, CREDIT, GROW, INVOKE, REFRESH, STOP, Worker, wait_until

from _agentcore_worker import frames
from _agentcore_worker.link import Control
from _agentcore_worker.multiplex import Multiplex
from _agentcore_worker.threads import _HandlerThread
from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._invocation import current
from bedrock_agentcore.runtime._values import quoted

SECONDS = 2
META = {"request_id": "r", "session_id": None, "headers": [["a", "b"]]}


def frame(kind, call=0, payload=b""):
    return struct.pack(">IBI", len(payload) + 5, kind, call) + payload


def invoke(call, body=b"1", meta=META):
    meta = json.dumps(meta).encode() if isinstance(meta, dict) else meta
    return frame(INVOKE, call, struct.pack(">I", len(meta)) + meta + body)


class Failed(Exception):
    """Stands for the end of the worker."""


class Events:
    """An event loop that runs when it is asked to."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(self.task)
        self.tasks = []

    def task(self, loop, coroutine, **options):
        self.tasks.append(asyncio.Task(coroutine, loop=loop, **options))
        return self.tasks[-1]

    def close(self):
        """Cancels what runs, and raises what a task has raised."""
        for task in self.tasks:
            task.cancel()
        self.turn()
        self.turn()
        self.loop.close()
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.result()

    def tell_of_waits(self, tell):
        return False

    def set_default_executor(self):
        pass

    def turn(self):
        self.loop.run_until_complete(asyncio.sleep(0))


class FakeWorker:
    """Counts the calls, and raises where the worker would end."""

    def __init__(self):
        async def handler(payload):
            self.payloads.append(payload)
            if payload == "wait":
                await asyncio.Event().wait()

        self.payloads = []
        self.context = contextvars.copy_context()
        self.app = types.SimpleNamespace(debug=False, handlers={"main": handler})

    def fail(self, reason):
        raise Failed(reason)

    end = unwritable = fail


class Reader:
    """One of the three that read, at the end of a socket."""

    def __init__(self):
        self.ours, self.link = socket.socketpair()
        self.worker = FakeWorker()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.link.close()


class OfControl(Reader):
    def read(self, parts):
        self.got = []
        control = Control.__new__(Control)
        control._link = types.SimpleNamespace(recv=lambda _, parts=iter(parts): next(parts, b""))
        control.receive(lambda kind, payload: self.got.append((kind, payload)))


class OfLoop(Reader):
    def read(self, parts):
        events = Events()
        multiplex = Multiplex(self.worker, events, self.link)
        multiplex._stalls = types.SimpleNamespace(is_awake=True)
        self.ours.setblocking(False)
        try:
            for part in parts:
                while part:
                    part = part[self.ours.send(part) :]
                    multiplex._on_readable()
                    events.turn()
                    try:
                        while len(self.ours.recv(1 << 20)) == 1 << 20:
                            pass
                    except BlockingIOError:
                        pass
            for _ in range(3):
                events.turn()
            self.buffer = len(multiplex._buffer)
        finally:
            events.close()


class OfThread(Reader):
    def read(self, parts):
        thread = _HandlerThread.__new__(_HandlerThread)
        thread._buffer = bytearray(64 * 1024)
        parts = iter(parts)
        left = b""

        def receive(buffer):
            nonlocal left
            left = left or next(parts, b"")
            count = min(len(left), len(buffer))
            buffer[:count] = left[:count]
            left = left[count:]
            return count

        thread._link = types.SimpleNamespace(recv_into=receive)
        self.got = []
        while True:
            view = thread._receive()
            if view is None:
                return
            self.got.append(bytes(view))
            from _agentcore_worker.calls import Call

            self.worker.payloads.append(Call(view[frames.HEAD_SIZE :]).payload)


def cut(random, data):
    """Cuts bytes at random places."""
    parts = []
    while data:
        size = random.choice((1, 2, 9, random.randint(1, 200), random.randint(1, 100_000)))
        parts.append(data[:size])
        data = data[size:]
    return parts


class Garbage(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(20261122)
        emit, _log.emit = _log.emit, self.emit
        self.addCleanup(setattr, _log, "emit", emit)

    def emit(self, *_):
        """Writes no line, but makes what stands in one."""
        invocation = current.get(None)
        if invocation is not None:
            quoted(invocation.request_id), quoted(invocation.session_id or "")

    def rounds(self):
        """Goes on for a while."""
        end = time.monotonic() + SECONDS / 3
        while time.monotonic() < end:
            yield self.random

    def read(self, kind, parts):
        with kind() as reader:
            try:
                reader.read(parts)
            except (frames.ProtocolError, Failed) as error:
                return reader, str(error)
            return reader, None

    def test_the_control_connection_is_read_however_it_is_cut(self):
        for chance in self.rounds():
            sent = [(chance.choice((GROW, REFRESH, STOP)), chance.randbytes(4)) for _ in range(chance.randint(1, 50))]
            reader, error = self.read(OfControl, cut(chance, b"".join(frame(kind, 0, data) for kind, data in sent)))
            self.assertEqual((reader.got, error), (sent, None))

    def test_the_connection_of_the_loop_is_read_however_it_is_cut(self):
        for chance in self.rounds():
            sizes = [chance.choice((0, 10, 1000, chance.randint(0, 400_000))) for _ in range(chance.randint(1, 8))]
            sent, data = [], b""
            for number, size in enumerate(sizes):
                sent.append("x" * size)
                data += invoke(number, json.dumps(sent[-1]).encode())
                data += frame(CREDIT, chance.randint(0, 9), chance.randbytes(4))
                data += frame(CANCEL, number + 100, b"\0")
            reader, error = self.read(OfLoop, cut(chance, data))
            self.assertEqual((reader.worker.payloads, error), (sent, None))
            self.assertLessEqual(reader.buffer, 256 * 1024)

    def test_the_connection_of_a_thread_is_read_however_it_is_cut(self):
        for chance in self.rounds():
            sent = ["x" * chance.choice((0, 10, chance.randint(0, 300_000))) for _ in range(chance.randint(1, 5))]
            parts = []
            for number, text in enumerate(sent):
                # One call at a time: what is sent too early is an error.
                parts += cut(chance, invoke(number, json.dumps(text).encode()))
            reader, error = self.read(OfThread, parts)
            self.assertEqual((reader.worker.payloads, error), (sent, None))

    def test_whatever_comes_is_understood_or_refused(self):
        odd = (1, None, "x", [1], [["a"]])
        for chance in self.rounds():
            data = bytearray()
            for number in range(chance.randint(1, 6)):
                data += chance.choice(
                    (
                        invoke(number),
                        invoke(chance.randint(0, 3), b'"wait"'),
                        invoke(chance.randint(0, 3), b'"wait"'),
                        invoke(number, chance.randbytes(chance.randint(0, 50))),
                        invoke(number, meta=chance.randbytes(chance.randint(0, 50))),
                        invoke(number, meta={**META, chance.choice(list(META)): chance.choice(odd)}),
                        frame(chance.randint(0, 90), chance.randint(0, 9), chance.randbytes(chance.randint(0, 9))),
                        frame(CREDIT, chance.randint(0, 3), chance.randbytes(chance.randint(0, 6))),
                        frame(CANCEL, chance.randint(0, 3), chance.randbytes(chance.randint(0, 3))),
                        chance.randbytes(chance.randint(1, 40)),
                    )
                )
            for _ in range(chance.choice((0, 0, 1, 5))):
                data[chance.randrange(len(data))] = chance.randrange(256)
            for kind in (OfControl, OfLoop, OfThread):
                with self.subTest(kind.__name__, data=bytes(data)):
                    self.read(kind, cut(chance, bytes(data)))

    def test_an_impossible_length_is_refused_before_anything_of_it_comes(self):
        for length in (0, 4, 128 * 1024 * 1024 + 1, 0xFFFFFFFF):
            for kind in (OfControl, OfLoop, OfThread):
                _, error = self.read(kind, [struct.pack(">IBI", length, INVOKE, 0)])
                self.assertIn(f"a length of {length} bytes", error)


class OfAWorker(unittest.TestCase):
    def test_it_ends_and_says_why(self):
        wrong = [
            (frame(99), "a frame of kind 99"),
            (struct.pack(">IBI", 0xFFFFFFFF, INVOKE, 0), "a length of 4294967295 bytes"),
            (invoke(0, meta=b"{"), "the description of a call cannot be read"),
        ]
        for source in both("@app.entrypoint\nDEF invoke(payload): return payload"):
            for role in ("control", "call"):
                for data, reason in wrong[: 2 if role == "control" else 3]:
                    with self.subTest(role, reason=reason), Worker(source) as worker:
                        if role == "control":
                            link = worker.control
                        elif worker.ready["dispatch"] == "loop":
                            wait_until(lambda worker=worker: worker.loop is not None)
                            link = worker.loop
                        else:
                            link = worker.idle.get()
                        link.connection.sendall(data)
                        self.assertEqual(worker.ended(), 1)
                        (line,) = worker.log()
                        self.assertEqual(line["level"], "ERROR")
                        self.assertTrue(line["message"].startswith("The worker ends: "))
                        self.assertIn(reason, line["message"])


if __name__ == "__main__":
    unittest.main()
