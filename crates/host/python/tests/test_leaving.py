"""Callers who leave before they have their answer."""

import time
import unittest

from agents import agent, both
from server import END, ITEM, RESULT, STREAM, Worker, wait_until


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


if __name__ == "__main__":
    unittest.main()
