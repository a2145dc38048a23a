"""Callers who leave before they have their answer."""

import json
import time
import unittest

from agents import agent, both
from server import END, ERROR, ITEM, RESULT, STREAM, Worker, wait_until


class EndsUnread(unittest.TestCase):
    def test_a_thread_whose_stream_is_cut_behind_its_end_says_so_too(self):
        source = "@app.entrypoint\ndef invoke(payload):\n    yield 1"
        with Worker(agent(source)) as worker:
            call = worker.invoke(1)
            # Everything is sent, and nothing is read.
            wait_until(lambda: "Returning streaming response" in worker.stderr())
            time.sleep(0.2)
            call.cancel()
            wait_until(lambda: any(link.hello.get("after") == call.number for link in worker.links))


class Leaving(unittest.TestCase):
    def test_a_plain_stream_is_closed_at_its_next_item(self):
        body = """
@app.entrypoint
def invoke(payload):
    try:
        while True:
            time.sleep(0.01)
            yield "x"
    finally:
        print("closed", BedrockAgentCoreContext.get_request_id())
"""
        with Worker(agent(body)) as worker:
            # Control and the first four threads: opened before READY, and taken one after the other.
            wait_until(lambda: len(worker.links) == 5)
            call = worker.invoke(1)
            call.next()
            call.cancel()
            wait_until(lambda: worker.stdout() == "closed r1\n")
            # The thread comes back with a new connection.
            wait_until(lambda: len(worker.links) == 6)

    def test_an_async_stream_is_cancelled_at_once(self):
        body = """
async def stream():
    try:
        yield 1
        await asyncio.sleep(60)
    finally:
        print("closed", BedrockAgentCoreContext.get_request_id())
"""
        entrypoints = [
            "@app.entrypoint\nasync def invoke(payload): return stream()",
            "app.entrypoint(lambda payload: stream())",
            "@app.entrypoint\nasync def invoke(payload):\n async for item in stream(): yield item",
        ]
        for entrypoint in entrypoints:
            with self.subTest(entrypoint), Worker(agent(body + entrypoint)) as worker:
                call = worker.invoke(1)
                self.assertEqual([call.next(), call.next()], [(STREAM, b""), (ITEM, b"1")])
                begun = time.monotonic()
                call.cancel()
                wait_until(lambda: worker.stdout() == "closed r1\n")
                self.assertLess(time.monotonic() - begun, 5)
                if worker.loop:
                    self.assertEqual(call.next(), (END, b""))
                self.assertEqual([line for line in worker.log() if line["level"] == "ERROR"], [])

    def test_a_stream_without_credit_is_closed_too(self):
        body = """
@app.entrypoint
async def invoke(payload):
    try:
        while True: yield 1
    finally:
        print("closed")
"""
        with Worker(agent(body)) as worker:
            call = worker.invoke(1)
            for _ in range(257):
                call.next()
            call.cancel()
            self.assertEqual(call.next(), (END, b""))
            self.assertEqual(worker.stdout(), "closed\n")

    def test_a_plain_generator_of_a_coroutine_is_closed_after_its_step(self):
        body = """
def stream():
    try:
        while True:
            time.sleep(0.05)
            yield 1
    finally:
        print("closed")
@app.entrypoint
async def invoke(payload): return stream()
"""
        with Worker(agent(body)) as worker:
            call = worker.invoke(1)
            call.next()
            call.cancel()
            wait_until(lambda: worker.stdout() == "closed\n")

    def test_a_handler_that_has_not_answered_yet_finishes(self):
        body = "@app.entrypoint\nDEF invoke(payload):\n SLEEP(0.2)\n print('finished')\n return 1"
        for source in both(body):
            with Worker(source) as worker:
                call = worker.invoke(1)
                time.sleep(0.05)
                call.cancel()
                wait_until(lambda: worker.stdout() == "finished\n")
                if worker.loop:
                    self.assertEqual(call.next(), (RESULT, b"1"))
                self.assertEqual(worker.result(2), "1")

    def test_frames_for_a_call_that_is_over_are_ignored(self):
        with Worker(agent("@app.entrypoint\nasync def invoke(payload): return 1")) as worker:
            call = worker.invoke(1)
            call.all()
            call.cancel()
            worker.loop.write(3, 77, (2).to_bytes(4, "big"))
            self.assertEqual(worker.result(1), "1")


class Limits(unittest.TestCase):
    """A call that has run into its limit is ended, and not only its answer."""

    OVER = "The invocation ran into its limit ("

    def over(self, worker):
        return [line for line in worker.log() if line["message"].startswith(self.OVER)]

    def test_a_handler_is_cancelled_before_it_has_answered(self):
        body = """
@app.entrypoint
async def invoke(payload):
    try:
        await asyncio.sleep(payload)
    finally:
        print("cleaned up", BedrockAgentCoreContext.get_request_id())
    return "done"
"""
        with Worker(agent(body)) as worker:
            call, other = worker.invoke(60), worker.invoke(1)
            time.sleep(0.1)
            call.cancel(why=1)
            kind, fields = call.next()
            self.assertEqual((kind, json.loads(fields)["status"]), (ERROR, 504))
            self.assertEqual(worker.stdout(), "cleaned up r1\n")
            self.assertEqual(other.next(), (RESULT, b'"done"'))
            wait_until(lambda: len(worker.log()) == 2)
            (line,) = self.over(worker)
            self.assertEqual((line["level"], line["requestId"], line["sessionId"]), ("WARNING", "r1", "s1"))
            self.assertEqual([line for line in worker.log() if line["level"] == "ERROR"], [])

    def test_a_stream_is_cancelled_like_one_whose_caller_has_left(self):
        body = """
@app.entrypoint
async def invoke(payload):
    try:
        yield 1
        await asyncio.sleep(60)
    finally:
        print("closed")
"""
        with Worker(agent(body)) as worker:
            call = worker.invoke(1)
            self.assertEqual([call.next(), call.next()], [(STREAM, b""), (ITEM, b"1")])
            call.cancel(why=1)
            self.assertEqual(call.next(), (END, b""))
            self.assertEqual(worker.stdout(), "closed\n")
            self.assertEqual(len(self.over(worker)), 1)

    def test_a_call_is_cancelled_before_it_has_begun(self):
        body = "@app.entrypoint\nasync def invoke(payload):\n if payload: time.sleep(payload)\n else: print('began')"
        with Worker(agent(body)) as worker:
            blocking = worker.invoke(0.3)
            time.sleep(0.1)
            # Both frames are there when the loop reads again.
            call = worker.invoke(0)
            call.cancel(why=1)
            blocking.next()
            self.assertEqual(call.next()[0], ERROR)
            self.assertEqual(worker.stdout(), "")

    def test_a_handler_that_swallows_the_cancellation_goes_on(self):
        body = """
@app.entrypoint
async def invoke(payload):
    for _ in range(2):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("swallowed")
    return "alive"
"""
        with Worker(agent(body)) as worker:
            call = worker.invoke(1)
            time.sleep(0.1)
            call.cancel(why=1)
            wait_until(lambda: worker.stdout() == "swallowed\n")
            self.assertTrue(call.frames.empty())
            # The server insists: each time, it is cancelled again, and told of once.
            call.cancel(why=1)
            self.assertEqual(call.next(), (RESULT, b'"alive"'))
            self.assertEqual(len(self.over(worker)), 1)

    def test_a_caller_who_has_left_may_still_run_into_the_limit(self):
        body = "@app.entrypoint\nasync def invoke(payload): await asyncio.sleep(60)"
        with Worker(agent(body)) as worker:
            call = worker.invoke(1)
            time.sleep(0.1)
            call.cancel()
            time.sleep(0.1)
            self.assertTrue(call.frames.empty())
            call.cancel(why=1)
            self.assertEqual(call.next()[0], ERROR)

    STEPS = """
gate = threading.Event()
def steps(payload):
    print("began", payload)
    try:
        gate.wait(1)
        yield payload
        yield payload
    finally:
        print("closed", payload)
@app.entrypoint
async def invoke(payload): return gate.set() if payload == 0 else steps(payload)
"""

    def test_a_step_in_the_queue_is_dropped(self):
        with Worker(agent(self.STEPS), "--max-threads", "1") as worker:
            running, queued = worker.invoke(1), worker.invoke(2)
            for call in (running, queued):
                self.assertEqual(call.next(), (STREAM, b""))
            queued.cancel(why=1)
            self.assertEqual(queued.next(), (END, b""))
            worker.result(0)
            self.assertEqual([frame[1] for frame in running.all()], [b"1", b"1", b""])
            self.assertEqual(worker.stdout(), "began 1\nclosed 1\n")

    def test_a_call_ends_no_sooner_than_the_thread_that_runs_its_step(self):
        for why in (0, 1):
            with Worker(agent(self.STEPS)) as worker:
                call = worker.invoke(1)
                call.next()
                wait_until(lambda: worker.stdout() == "began 1\n")
                call.cancel(why)
                time.sleep(0.1)
                self.assertTrue(call.frames.empty())
                worker.result(0)
                self.assertEqual(call.next(), (END, b""))
                self.assertEqual(worker.stdout(), "began 1\nclosed 1\n")


if __name__ == "__main__":
    unittest.main()
