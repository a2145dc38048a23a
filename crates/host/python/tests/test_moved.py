"""Sync handlers that return something async: the call moves to the event loop, and its thread is free."""

import json
import time
import unittest

from agents import agent
from server import CREDIT, END, ERROR, ITEM, MOVED, RESULT, STREAM, Worker, wait_until

LATER = """
gate = asyncio.Event()
async def later(payload):
    try:
        await asyncio.wait_for(gate.wait(), 20)
    finally:
        print("over", BedrockAgentCoreContext.get_request_id())
    return payload
async def stream(payload):
    try:
        yield payload
        await asyncio.wait_for(gate.wait(), 20)
        yield payload
    finally:
        print("closed", BedrockAgentCoreContext.get_request_id())
async def opened(): gate.set()
@app.entrypoint
def invoke(payload):
    if payload == "open": return opened()
    return (stream if payload == "stream" else later)(payload)
"""


def moved(worker, payload, **options):
    """Begins a call, and returns it when it has moved and does not go on yet."""
    call = worker.invoke(payload, **options)
    call.follows = False
    frame = call.next()
    assert frame == (MOVED, b""), (frame, worker.stderr())
    return call


class Moving(unittest.TestCase):
    def test_the_thread_is_free_while_the_call_goes_on(self):
        with Worker(agent(LATER), "--max-threads", "1") as worker:
            calls = []
            for payload in ("one", "stream", "two"):
                calls.append(moved(worker, payload))
                calls[-1].follow()
            self.assertEqual([link.role for link in worker.links].count("thread"), 1)
            self.assertEqual([calls[1].next(), calls[1].next()], [(STREAM, b""), (ITEM, b'"stream"')])
            self.assertTrue(calls[0].frames.empty())
            self.assertEqual(worker.result("open"), "null")
            self.assertEqual(calls[0].next(), (RESULT, b'"one"'))
            self.assertEqual([calls[1].next(), calls[1].next()], [(ITEM, b'"stream"'), (END, b"")])
            self.assertEqual(calls[2].next(), (RESULT, b'"two"'))

    def test_the_connection_of_the_loop_is_opened_for_the_first_one(self):
        with Worker(agent("async def f(p): return p\napp.entrypoint(lambda p: f(p) if p else p)")) as worker:
            self.assertEqual(worker.ready["dispatch"], "thread")
            self.assertEqual(worker.result(0), "0")
            self.assertIsNone(worker.loop)
            for _ in range(3):
                self.assertEqual(worker.result(1), "1")
            self.assertEqual([link.role for link in worker.links].count("loop"), 1)

    def test_nothing_is_sent_before_the_first_credit(self):
        with Worker(agent(LATER)) as worker:
            worker.result("open")
            for payload, frames in (
                ("x", [(RESULT, b'"x"')]),
                ("stream", [(STREAM, b""), (ITEM, b'"stream"'), (ITEM, b'"stream"'), (END, b"")]),
            ):
                call = moved(worker, payload)
                time.sleep(0.1)
                self.assertTrue(call.frames.empty())
                call.follow()
                self.assertEqual(call.all(), frames)

    def test_a_stream_has_no_more_credit_than_it_was_given(self):
        source = "async def f(p):\n for n in range(p): yield n\napp.entrypoint(lambda p: f(p))"
        with Worker(agent(source)) as worker:
            call = moved(worker, 400)
            worker.loop.write(CREDIT, call.number, (3).to_bytes(4, "big"))
            self.assertEqual([call.next()[1] for _ in range(4)], [b"", b"0", b"1", b"2"])
            time.sleep(0.1)
            self.assertTrue(call.frames.empty())
            call.follow()
            self.assertEqual(len(call.all()), 400 - 3 + 1)

    def test_it_goes_on_in_the_context_of_its_call(self):
        body = """
import contextvars
mine = contextvars.ContextVar("mine", default="nothing")
async def f(payload):
    await asyncio.sleep(0.05)
    app.logger.info("inside")
    return [mine.get(), BedrockAgentCoreContext.get_session_id()]
async def g(payload): yield await f(payload)
@app.entrypoint
def invoke(payload):
    assert mine.get() == "nothing"
    mine.set(payload)
    return (g if payload == "one" else f)(payload)
"""
        with Worker(agent(body)) as worker:
            calls = [worker.invoke(name, session=name) for name in ("one", "two", "three")]
            for call, name in zip(calls, ("one", "two", "three")):
                bodies = [body for _, body in call.all() if body]
                self.assertEqual([json.loads(body) for body in bodies], [[name, name]])
            wait_until(lambda: len(worker.log()) == 6)
            ids = {"r1": "one", "r2": "two", "r3": "three"}
            for line in worker.log():
                self.assertEqual(ids[line["requestId"]], line["sessionId"])
            self.assertEqual(sum(line["message"].startswith("Returning") for line in worker.log()), 1)

    def test_what_fails_after_the_move_is_the_answer(self):
        source = "async def f(p): raise ValueError('late')\nasync def g(p):\n yield 1\n raise ValueError('late')\n"
        with Worker(agent(source + "app.entrypoint(lambda p: g(p) if p else f(p))")) as worker:
            self.assertEqual(worker.error(0)["error_type"], "ValueError")
            items, (kind, fields) = worker.stream(1)
            self.assertEqual((items, kind, json.loads(fields)["error"]), (["1"], ERROR, "late"))


class Cancelled(unittest.TestCase):
    def test_before_the_first_credit_a_caller_leaves(self):
        with Worker(agent(LATER)) as worker:
            call, stream = moved(worker, "x"), moved(worker, "stream")
            for left in (call, stream):
                left.cancel()
            # Nothing of the stream is ever run.
            self.assertEqual(stream.next(), (END, b""))
            worker.result("open")
            self.assertEqual(call.next(), (RESULT, b'"x"'))
            self.assertEqual(worker.stdout(), "over r1\n")

    def test_before_the_first_credit_the_limit_is_reached(self):
        with Worker(agent(LATER)) as worker:
            call, stream = moved(worker, "x"), moved(worker, "stream")
            for over in (call, stream):
                over.cancel(why=1)
            self.assertEqual(call.next()[0], ERROR)
            self.assertIn(stream.next()[0], (ERROR, END))
            self.assertEqual(worker.stdout(), "")
            self.assertNotIn("never awaited", worker.stderr())

    def test_afterwards_it_is_a_call_of_the_loop_like_any_other(self):
        with Worker(agent(LATER)) as worker:
            left, over, stream = (moved(worker, payload) for payload in ("left", "over", "stream"))
            for call in (left, over, stream):
                call.follow()
            stream.next()
            over.cancel(why=1)
            stream.cancel()
            self.assertEqual(stream.all()[-1], (END, b""))
            self.assertEqual(over.next()[0], ERROR)
            left.cancel()
            worker.result("open")
            self.assertEqual(left.next(), (RESULT, b'"left"'))

    def test_a_caller_who_left_before_the_move_changes_nothing_for_the_handler(self):
        body = """
async def later(payload):
    await asyncio.sleep(0.1)
    print("over")
async def stream(payload):
    print("never")
    yield 1
@app.entrypoint
def invoke(payload):
    if payload == "ping": return 1
    time.sleep(0.3)
    return later(payload) if payload == "later" else stream(payload)
"""
        with Worker(agent(body)) as worker:
            for payload in ("later", "stream"):
                # A plain call is not cut, but the server may be: it takes the connection away.
                call = worker.invoke(payload)
                time.sleep(0.1)
                call.cancel()
            wait_until(lambda: worker.stdout() == "over\n")
            self.assertEqual(worker.result("ping"), "1")
            self.assertNotIn("never awaited", worker.stderr())


if __name__ == "__main__":
    unittest.main()
