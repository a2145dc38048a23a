"""How many events and answers a second a worker sends: `python bench_streams.py`. No test, and not run as one.

The other side reads as the server does, but only counts: figures are of the worker and its socket.
"""

import os
import struct
import sys
import time

from agents import agent
from server import CREDIT, END, INVOKE, ITEM, ITEMS, LAST, Worker, wait_until

STREAMS = {
    "async": "async def invoke(n):\n for i in range(n): yield {'index': i, 'text': 'token'}",
    "async, sleep(0)": "async def invoke(n):\n for i in range(n):\n  yield {'index': i}\n  await asyncio.sleep(0)",
    "async, strings": "async def invoke(n):\n for i in range(n): yield 'token'",
    "async, waits": "async def invoke(n):\n for i in range(n):\n  yield {'index': i}\n  await asyncio.sleep(0.001)",
    "plain": "def invoke(n):\n for i in range(n): yield {'index': i, 'text': 'token'}",
    "plain, strings": "def invoke(n):\n for i in range(n): yield 'token'",
}
ANSWERS = {"async answers": "async def invoke(n): return {'index': n}"}
_REFILL = 64


class Counter(Worker):
    """Counts what comes over a connection, and gives credit as it comes."""

    def _read(self, link):
        if link.role != "loop":
            return super()._read(link)
        self.reader = Reader(link)

    def begin(self, link, payload):
        self.number += 1
        meta = b'{"request_id": "r", "session_id": null, "headers": []}'
        link.write(INVOKE, self.number, struct.pack(">I", len(meta)) + meta + str(payload).encode())


class Reader:
    def __init__(self, link):
        self.link = link
        self.pending = bytearray()
        self.items = self.frames = self.reads = self.ended = 0
        self.taken = {}

    def read(self):
        self.pending += self.link.connection.recv(1 << 18)
        self.reads += 1
        pending, start = self.pending, 0
        while len(pending) - start >= 9:
            length, kind, call = struct.unpack_from(">IBI", pending, start)
            if len(pending) - start < length + 4:
                break
            self.frames += 1
            if kind in (ITEM, ITEMS):
                self.took(call, 1 if kind == ITEM else count(pending, start + 9, start + length + 4))
            elif kind in LAST:
                assert kind != 71, bytes(pending[start : start + length + 4])
                self.ended += 1
            start += length + 4
        del pending[:start]

    def took(self, call, more):
        self.items += more
        if self.link.role == "loop":
            taken = self.taken.get(call, 0) + more
            if taken >= _REFILL:
                self.link.write(CREDIT, call, struct.pack(">I", taken))
                taken = 0
            self.taken[call] = taken


def count(payload, start, end):
    found = 0
    while start < end:
        start += 4 + struct.unpack_from(">I", payload, start)[0]
        found += 1
    return found


def measure(source, items, at_once, rounds):
    with Counter(agent("@app.entrypoint\n" + source)) as worker:
        if worker.ready["dispatch"] == "loop":
            wait_until(lambda: hasattr(worker, "reader"))
            readers = [worker.reader] * at_once
        else:
            readers = [Reader(worker.idle.get()) for _ in range(at_once)]
        best = cpu = None
        for _ in range(rounds):
            before = cpu_time(worker.process.pid)
            for reader in readers:
                reader.items = reader.frames = reader.reads = reader.ended = 0
            begun = time.perf_counter()
            for reader in readers:
                worker.begin(reader.link, items)
            for reader in set(readers):
                while reader.ended < readers.count(reader):
                    reader.read()
            took = time.perf_counter() - begun
            spent = (cpu_time(worker.process.pid) - before) / (at_once * items)
            cpu = spent if cpu is None else min(cpu, spent)
            if best is None or took < best[0]:
                total = [sum(getattr(reader, name) for reader in set(readers)) for name in ("items", "frames", "reads")]
                best = (took, *total)
        return (*best, cpu)


def cpu_time(process):
    """Returns the microseconds that a process has run."""
    folder = f"/proc/{process}/task"
    return sum(int(open(f"{folder}/{task}/schedstat").read().split()[0]) for task in os.listdir(folder)) / 1000


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    for name, source in STREAMS.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        for at_once in (1, 16) if name.startswith("async") else (1, 4):
            show(name, at_once, *measure(source, 1000, at_once, rounds if "waits" not in name else 2))
    for name, source in ANSWERS.items():
        for at_once in (1, 64):
            took, _, *rest = measure(source, 1, at_once, rounds * 20)
            show(name, at_once, took, at_once, *rest)


def show(name, at_once, took, count, frames, reads, cpu):
    rates = f"{count / took:9.0f}/s at best {cpu:7.2f} us of the worker's time each, at best"
    print(f"{name:18} {at_once:3} at once {rates} {frames:6} frames {reads:6} reads", flush=True)


if __name__ == "__main__":
    assert END in LAST
    main()
