"""What an agent does at its start and at its end, in a worker."""

import json
import time
import unittest

from agents import agent, both
from server import STOP, Worker, wait_until

LIFESPAN = """
import contextlib
@contextlib.asynccontextmanager
async def lifespan(app):
    BEFORE
    try:
        yield {"db": [3]}
    finally:
        AFTER
app = BedrockAgentCoreApp(lifespan=lifespan)
@app.entrypoint
DEF invoke(payload, context):
    context.request.state.mine = payload
    return [context.request.state.db, threading.current_thread().name]
"""


def living(before="print('start')", after="print('end')"):
    body = LIFESPAN.replace("BEFORE", before.replace("\n", "\n    "))
    return body.replace("AFTER", after.replace("\n", "\n        "))


def stop(worker, grace=5000):
    worker.control.write(STOP, payload=grace.to_bytes(4, "big"))


DEAF = """
class Deaf(BedrockAgentCoreApp):
    async def __call__(self, scope, receive, send):
        REFUSAL
        await super().__call__(scope, receive, send)
app = Deaf()
@app.entrypoint
def invoke(payload): return payload
"""


class Lifespan(unittest.TestCase):
    def test_an_app_that_knows_requests_only_is_served_all_the_same(self):
        for refusal in ("if scope['type'] != 'http': return", "assert scope['type'] == 'http'"):
            with self.subTest(refusal), Worker(agent(DEAF.replace("REFUSAL", refusal))) as worker:
                status, _, body = worker.fetch("POST", "/invocations", b"1")
                self.assertEqual((status, body), (200, b"1"))
                self.assertIn("does not take part in start and end", worker.stderr())
                stop(worker)
                wait_until(lambda worker=worker: worker.process.poll() == 0)

    def test_it_begins_before_the_first_call_and_ends_after_the_last(self):
        for source in both(
            living(
                after="print('end', asyncio.current_task() is task)",
                before="task = asyncio.current_task()\nprint('start')",
            )
        ):
            with Worker(source) as worker:
                self.assertFalse(worker.ready["asgi"])
                self.assertEqual(worker.stdout(), "start\n")
                self.assertEqual(json.loads(worker.result(1))[0], [3])
                stop(worker)
                self.assertEqual((worker.ended(), worker.stdout()), (0, "start\nend True\n"))

    def test_it_runs_on_the_loop_of_the_handlers(self):
        source = both(living("app.state.loop = asyncio.get_running_loop()"))[1]
        source = source.replace("return [", "return [asyncio.get_running_loop() is app.state.loop] + [")
        with Worker(source) as worker:
            self.assertEqual(json.loads(worker.result(1)), [True, [3], "agentcore-worker-loop"])

    def test_each_request_has_a_state_of_its_own(self):
        source = both(living())[0].replace("return [", "time.sleep(0.05)\n    return [context.request.state.mine, ")
        with Worker(source) as worker:
            calls = [worker.invoke(number) for number in range(4)]
            self.assertEqual([json.loads(call.all()[-1][1])[0] for call in calls], [0, 1, 2, 3])

    def test_a_failure_is_a_failure_to_load(self):
        for before, kind in (
            ("raise ValueError('no database')", "ValueError"),
            ("raise SystemExit(3)", "RuntimeError"),
        ):
            with Worker(both(living(before))[0]) as worker:
                self.assertEqual(worker.failure["error_type"], kind)
                self.assertEqual(worker.ended(), 1)
                if kind == "ValueError":
                    self.assertEqual(worker.failure["error"], "no database")
                    lines = worker.stderr().splitlines()
                    self.assertIn("agent.py", lines[1])
                    self.assertEqual(lines[-1], "ValueError: no database")
                    self.assertNotIn("_agentcore_worker", worker.stderr())

    def test_a_slow_start_does_not_silence_the_status(self):
        with Worker(both(living("await asyncio.sleep(0.5)"))[0], wait=False) as worker:
            wait_until(lambda: worker.control is not None)
            worker.control.write(5, 0, b"\0\0\0\7")
            self.assertEqual(worker.status(), "Healthy")
            self.assertIsNone(worker.ready)
            self.assertTrue(worker.loaded.wait(10))

    def test_a_stop_within_the_start_ends_it(self):
        with Worker(both(living("print('start')\nawait asyncio.sleep(60)"))[0], wait=False) as worker:
            wait_until(lambda: worker.stdout() == "start\n")
            stop(worker, 500)
            self.assertEqual(worker.ended(), 0)

    def test_an_end_that_takes_too_long_is_cut_off(self):
        after = "try:\n    await asyncio.sleep(60)\nfinally:\n    print('cut')"
        with Worker(both(living(after=after))[0]) as worker:
            begun = time.monotonic()
            stop(worker, 1500)
            self.assertEqual(worker.ended(), 0)
            self.assertLess(time.monotonic() - begun, 4)
            self.assertEqual(worker.stdout(), "start\ncut\n")
            text = "The end of the agent's lifespan took too long and was cut off"
            self.assertIn(text, worker.messages())

    def test_an_end_that_fails_is_in_the_log(self):
        with Worker(both(living(after="raise ValueError('no disk')"))[0]) as worker:
            stop(worker)
            self.assertEqual(worker.ended(), 0)
            line = worker.line(0)
            self.assertEqual(
                (line["message"], line["errorMessage"]), ("The end of the agent's lifespan failed", "no disk")
            )

    def test_calls_finish_before_the_end(self):
        source = both(living())[0].replace(
            "return [", "print('begun')\n    time.sleep(0.3)\n    print('done')\n    return ["
        )
        with Worker(source) as worker:
            call = worker.invoke(1)
            wait_until(lambda: worker.stdout() == "start\nbegun\n")
            stop(worker)
            call.all()
            self.assertEqual((worker.ended(), worker.stdout()), (0, "start\nbegun\ndone\nend\n"))

    def test_events_need_no_lifespan(self):
        body = """
@app.on_event("startup")
async def begin(): print("begin")
app.add_event_handler("shutdown", lambda: print("over"))
@app.entrypoint
DEF invoke(payload): return payload
"""
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual(worker.result(1), "1")
                stop(worker)
                self.assertEqual((worker.ended(), worker.stdout()), (0, "begin\nover\n"))

    def test_what_is_declared_after_the_start_is_refused(self):
        body = """
@app.entrypoint
DEF invoke(payload):
    app.websocket(print)
"""
        for source in both(body):
            with Worker(source) as worker:
                self.assertIn("after the agent has started", worker.error(1)["error"])


if __name__ == "__main__":
    unittest.main()
