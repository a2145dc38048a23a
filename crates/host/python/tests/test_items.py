"""How items of streams travel over the connection of the event loop: together if they come together, else at once."""

import json
import os
import subprocess
import sys
import time
import unittest

from agents import agent
from server import END, ITEM, PACKAGE, STREAM, Worker, wait_until


ALONE = """
import contextvars, os, socket, sys, time
sys.path.insert(0, os.environ["LIB"])
from _agentcore_worker import frames
from _agentcore_worker.loop import EventLoop
from _agentcore_worker.outlet import Outlet

events = EventLoop(contextvars.copy_context(), 4)
ours, theirs = socket.socketpair()
ours.setblocking(False)
theirs.settimeout(10)
outlet = Outlet(events, ours, lambda: None)
last = frames.frame(frames.END, 1)
for count, size in ((60, 5000), (63, 4000), (200, 2000), (1000, 900)):
    def give():
        for _ in range(count):
            outlet.item(1, b"x" * size)
        outlet.send(last)
    events.loop.call_soon_threadsafe(give)
    # Until the connection is full, and the loop waits.
    time.sleep(0.1)
    got = b""
    while not got.endswith(last):
        got = got[-100:] + theirs.recv(1 << 20)
    print(count)
"""


LAST = """
import contextvars, os, socket, sys
sys.path.insert(0, os.environ["LIB"])
from _agentcore_worker import frames
from _agentcore_worker.loop import EventLoop
from _agentcore_worker.outlet import Outlet

events = EventLoop(contextvars.copy_context(), 4)
ours, theirs = socket.socketpair()
for link in ours, theirs:
    link.setblocking(False)
outlet = Outlet(events, ours, lambda: None)

def arrived():
    try:
        return theirs.recv(1 << 20)
    except BlockingIOError:
        return b""

async def give():
    end = frames.frame(frames.END, 1)
    # In quick succession, with others that could keep them company, and without.
    waited = [outlet.end(end, False) for _ in range(50)]
    together = arrived()
    assert waited[-1] and len(together) < 50 * len(end), waited
    assert not outlet.end(end, True)
    assert len(together) + len(arrived()) == 51 * len(end)
    for _ in range(50):
        assert not outlet.end(end, True)
        assert arrived() == end

events.run(give())
"""


class TheRest(unittest.TestCase):
    def test_an_answer_waits_for_company_only_if_there_could_be_some(self):
        environment = {**os.environ, "LIB": os.path.join(PACKAGE, "lib")}
        ran = subprocess.run([sys.executable, "-c", LAST], capture_output=True, text=True, env=environment, timeout=60)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))

    def test_what_does_not_fit_before_a_wait_is_sent_when_there_is_room(self):
        # Nothing else wakes this loop: what is forgotten stays where it is.
        environment = {**os.environ, "LIB": os.path.join(PACKAGE, "lib")}
        ran = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, env=environment, timeout=60)
        self.assertEqual((ran.stdout.split(), ran.stderr), (["60", "63", "200", "1000"], ""))


class Together(unittest.TestCase):
    def test_items_that_come_together_share_frames_and_the_first_does_not_wait(self):
        body = """
@app.entrypoint
async def invoke(payload):
    for n in range(200):
        yield n
        PAUSE
"""
        for pause in ("pass", "await asyncio.sleep(0)"):
            with self.subTest(pause), Worker(agent(body.replace("PAUSE", pause))) as worker:
                for _ in range(3):
                    call = worker.invoke(1)
                    items = [item for kind, item in call.all() if kind == ITEM]
                    self.assertEqual(items, [str(n).encode() for n in range(200)])
                    counts = [count for count in call.counts if count]
                    self.assertEqual((counts[0], sum(counts)), (1, 200))
                    self.assertLess(len(counts), 150)

    def test_many_streams_keep_their_items_in_order_and_apart(self):
        body = """
@app.entrypoint
async def invoke(payload):
    for n in range(150):
        yield [payload, n, "x" * (100_000 if n % 50 == payload else n)]
        if n % 7 == payload % 7: await asyncio.sleep(0)
"""
        with Worker(agent(body)) as worker:
            calls = [worker.invoke(n) for n in range(10)]
            for n, call in enumerate(calls):
                frames = call.all()
                self.assertEqual((frames[0][0], frames[-1][0]), (STREAM, END))
                made = [json.loads(item)[:2] for _, item in frames[1:-1]]
                self.assertEqual(made, [[n, m] for m in range(150)])

    def test_nothing_is_held_back_while_a_generator_waits(self):
        waits = {
            "a timer": "while not os.path.exists(payload): await asyncio.sleep(0.01)",
            "an event": "await gate.wait()\n        gate.clear()",
            "a thread": "await asyncio.to_thread(wait, payload)",
            # Where it should not: what is on the way is sent by another thread.
            "blocked": "wait(payload)",
        }
        body = """
import os
gate = asyncio.Event()
def wait(path):
    while not os.path.exists(path): time.sleep(0.01)
@app.entrypoint
async def invoke(payload):
    if payload is None: return gate.set()
    return stream(payload)
async def stream(payload):
    for burst in range(3):
        # Faster than anybody takes them, so that they are sent together.
        for n in range(50): yield n
        WAIT
        os.path.exists(payload) and os.remove(payload)
    yield "end"
"""
        for name, wait in waits.items():
            with self.subTest(name), Worker(agent(body.replace("WAIT", wait))) as worker:
                mark = worker.folder + "/mark"
                call = worker.invoke(mark)
                call.next()
                for _ in range(3):
                    for n in range(50):
                        self.assertEqual(call.next(), (ITEM, b"%d" % n))
                    time.sleep(0.05)
                    self.assertTrue(call.frames.empty())
                    if name == "an event":
                        worker.result(None)
                    else:
                        open(mark, "w").close()
                self.assertEqual([call.next(), call.next()], [(ITEM, b'"end"'), (END, b"")])

    def test_answers_that_are_ready_together_all_arrive(self):
        source = "gate = asyncio.Event()\n@app.entrypoint\nasync def invoke(payload):\n"
        source += " if payload is None: return gate.set()\n await gate.wait()\n return payload"
        with Worker(agent(source)) as worker:
            calls = [worker.invoke(n) for n in range(300)]
            worker.result(None)
            self.assertEqual([call.next()[1] for call in calls], [b"%d" % n for n in range(300)])

    def test_a_connection_that_is_full_loses_nothing(self):
        source = "@app.entrypoint\nasync def invoke(payload):\n for n in range(200): yield [n, 'x' * 20_000]"
        with Worker(agent(source)) as worker:
            wait_until(lambda: worker.loop is not None)
            with worker.loop.paused:
                calls = [worker.invoke(1) for _ in range(4)]
                time.sleep(0.5)
            for call in calls:
                made = [json.loads(item)[0] for kind, item in call.all() if kind == ITEM]
                self.assertEqual(made, list(range(200)))


if __name__ == "__main__":
    unittest.main()
