"""Calls: every kind of entrypoint, how items travel, and the context of a request."""

import json
import time
import unittest

from agents import agent, both
from server import END, ERROR, GROW, ITEM, RESULT, STREAM, Worker, wait_until


class Kinds(unittest.TestCase):
    ENTRYPOINTS = {
        "function": ("thread", "@app.entrypoint\ndef invoke(payload): return [payload]"),
        "coroutine": ("loop", "@app.entrypoint\nasync def invoke(payload): return [payload]"),
        "partial": ("thread", "app.entrypoint(functools.partial(lambda a, payload: [payload], 1))"),
        "async partial": (
            "loop",
            "async def invoke(a, payload): return [payload]\napp.entrypoint(functools.partial(invoke, 1))",
        ),
        "object": ("thread", "class A:\n def __call__(self, payload): return [payload]\napp.entrypoint(A())"),
        "async object": ("loop", "class A:\n async def __call__(self, payload): return [payload]\napp.entrypoint(A())"),
        "method": ("thread", "class A:\n def invoke(self, payload): return [payload]\napp.entrypoint(A().invoke)"),
        "async method": (
            "loop",
            "class A:\n async def invoke(self, payload): return [payload]\napp.entrypoint(A().invoke)",
        ),
        "returned coroutine": (
            "thread",
            "async def later(payload): return [payload]\napp.entrypoint(lambda payload: later(payload))",
        ),
    }
    GENERATORS = {
        "generator": ("thread", "@app.entrypoint\ndef invoke(payload):\n yield payload\n yield 2"),
        "async generator": ("loop", "@app.entrypoint\nasync def invoke(payload):\n yield payload\n yield 2"),
        "returned": ("thread", "def g(p):\n yield p\n yield 2\napp.entrypoint(lambda payload: g(payload))"),
        "expression": ("thread", "app.entrypoint(lambda payload: (item for item in (payload, 2)))"),
        "returned async": ("thread", "async def g(p):\n yield p\n yield 2\napp.entrypoint(lambda payload: g(payload))"),
        "of a coroutine": (
            "loop",
            "def g(p):\n yield p\n yield 2\n@app.entrypoint\nasync def invoke(payload): return g(payload)",
        ),
        "async of a coroutine": (
            "loop",
            "async def g(p):\n yield p\n yield 2\n@app.entrypoint\nasync def invoke(payload): return g(payload)",
        ),
        "async of a returned coroutine": (
            "thread",
            "async def g(p):\n yield p\n yield 2\nasync def c(p): return g(p)\napp.entrypoint(lambda p: c(p))",
        ),
    }

    def test_the_first_step_of_a_handler_is_one_of_its_task_and_its_context(self):
        body = """
import asyncio, contextvars
seen = contextvars.ContextVar("seen", default=None)
tasks = set()
@app.entrypoint
async def invoke(payload):
    before, task = seen.get(), asyncio.current_task()
    seen.set(payload)
    tasks.add(task)
    if payload == "cancel":
        task.cancel()
    await asyncio.wait_for(asyncio.sleep(0), 5)
    return [before, seen.get(), asyncio.current_task() is task, len(tasks)]
"""
        with Worker(agent(body)) as worker:
            self.assertEqual(worker.result(1), "[null, 1, true, 1]")
            self.assertEqual(worker.result(2), "[null, 2, true, 2]")
            kind, payload = worker.invoke("cancel").all()[-1]
            self.assertEqual((kind, json.loads(payload)["error_type"]), (ERROR, "CancelledError"))
            self.assertEqual(worker.result(4), "[null, 4, true, 4]")
            # Those that come together too.
            calls = [worker.invoke(number) for number in range(20)]
            for number, call in enumerate(calls):
                answer = json.loads(call.all()[-1][1])
                self.assertEqual(answer[:3], [None, number, True])

    def test_every_kind_of_function_answers(self):
        for name, (dispatch, source) in self.ENTRYPOINTS.items():
            with self.subTest(name), Worker(agent(source)) as worker:
                self.assertEqual(worker.ready["dispatch"], dispatch, worker.stderr())
                self.assertEqual([worker.result(1), worker.result("é")], ["[1]", '["é"]'])
                wait_until(lambda: len(worker.log()) == 2)
                for line in worker.log():
                    self.assertRegex(line["message"], r"^Invocation completed successfully \(\d\.\d{3}s\)$")
                    self.assertEqual(line["sessionId"], "s1")

    def test_every_kind_of_generator_streams(self):
        for name, (dispatch, source) in self.GENERATORS.items():
            with self.subTest(name), Worker(agent(source)) as worker:
                self.assertEqual(worker.ready["dispatch"], dispatch, worker.stderr())
                for _ in range(2):
                    self.assertEqual(worker.stream("é"), (['"é"', "2"], (END, b"")))
                kind = "async generator" if "async" in name else "generator"
                self.assertTrue(worker.line(0)["message"].startswith(f"Returning streaming response ({kind})"))

    def test_a_stream_of_nothing_is_a_stream(self):
        for source in both("@app.entrypoint\nDEF invoke(payload):\n if False: yield 1"):
            with Worker(source) as worker:
                self.assertEqual(worker.stream(1), ([], (END, b"")))

    def test_iterators_that_are_no_generators_are_values(self):
        with Worker(agent("app.entrypoint(lambda payload: range(3))")) as worker:
            self.assertEqual(worker.result(1), '"range(0, 3)"')

    def test_an_entrypoint_can_be_replaced_while_serving(self):
        source = (
            "@app.entrypoint\nasync def invoke(payload):\n app.entrypoint(lambda p: threading.current_thread().name)"
        )
        with Worker(agent(source)) as worker:
            self.assertEqual(worker.result(1), "null")
            self.assertIn("agentcore-blocking", worker.result(1))


class Arriving(unittest.TestCase):
    def test_each_item_arrives_before_the_next_is_made(self):
        body = "import os\n@app.entrypoint\nDEF invoke(payload):\n"
        body += " yield 1\n while not os.path.exists(payload): SLEEP(0.01)\n yield 2"
        sources = both(body)
        # Blocking where it should not: still nothing is held back.
        sources.append(sources[1].replace("await asyncio.sleep", "time.sleep"))
        sources.append(
            agent(body.replace("DEF", "async def").replace("SLEEP", "time.sleep")).replace("invoke", "inner", 1)
        )
        sources[-1] = (
            sources[-1]
            .replace("@app.entrypoint\n", "")
            .replace("\napp.run()", "\napp.entrypoint(lambda payload: inner(payload))\napp.run()")
        )
        for source in sources:
            with self.subTest(source), Worker(source) as worker:
                mark = worker.folder + "/mark"
                call = worker.invoke(mark)
                self.assertEqual([call.next(), call.next()], [(STREAM, b""), (ITEM, b"1")])
                open(mark, "w").close()
                self.assertEqual([call.next(), call.next()], [(ITEM, b"2"), (END, b"")])

    def test_a_loop_stream_stops_at_its_credit(self):
        source = "made = 0\n@app.entrypoint\nasync def invoke(payload):\n global made\n if payload: yield made\n"
        source += " else:\n  for made in range(1, 10_000): yield made"
        with Worker(agent(source)) as worker:
            call = worker.invoke(0)
            received = [call.next() for _ in range(257)]
            time.sleep(0.2)
            self.assertTrue(call.frames.empty())
            self.assertEqual(worker.stream(1)[0], ["257"])
            worker.loop.write(3, call.number, (2).to_bytes(4, "big"))
            self.assertEqual([call.next(), call.next()], [(ITEM, b"257"), (ITEM, b"258")])
            self.assertEqual(received[-1], (ITEM, b"256"))

    def test_large_items_wait_sooner_than_their_credit_says(self):
        source = "made = 0\n@app.entrypoint\nasync def invoke(payload):\n global made\n if payload: yield made\n"
        source += " else:\n  for made in range(1, 100): yield 'x' * 1_000_000"
        with Worker(agent(source)) as worker:
            call = worker.invoke(0)
            for _ in range(9):
                call.next()
            time.sleep(0.2)
            made = int(worker.stream(1)[0][0])
            self.assertLess(made, 15)
            while not call.frames.empty():
                call.next()
            for _ in range(99 - made):
                worker.loop.write(3, call.number, (1).to_bytes(4, "big"))
                call.next()

    def test_a_plain_stream_waits_for_the_connection(self):
        source = "made = 0\n@app.entrypoint\ndef invoke(payload):\n global made\n if payload: yield made\n"
        source += " else:\n  for made in range(1, 1000): yield 'x' * 100_000"
        with Worker(agent(source)) as worker:
            call = worker.invoke(0)
            time.sleep(0.3)
            self.assertLess(int(worker.stream(1)[0][0]), 100)
            self.assertEqual(len(call.all()), 1001)

    def test_large_bodies_travel_whole(self):
        for source in both("@app.entrypoint\nDEF invoke(payload): return payload"):
            with Worker(source) as worker:
                value = {"text": "é" * 3_000_000}
                for _ in range(2):
                    self.assertEqual(json.loads(worker.result(value)), value)
                    self.assertEqual(worker.result(1), "1")

    def test_calls_of_a_loop_run_beside_each_other(self):
        source = "gate = asyncio.Event()\n@app.entrypoint\nasync def invoke(payload):\n"
        source += " if payload: gate.set()\n else: await gate.wait()\n return payload"
        with Worker(agent(source)) as worker:
            waiting = [worker.invoke(0) for _ in range(100)]
            self.assertEqual(worker.result(1), "1")
            self.assertEqual({call.all()[-1] for call in waiting}, {(RESULT, b"0")})

    def test_threads_grow_as_asked_and_no_further(self):
        source = "gate = threading.Event()\n@app.entrypoint\ndef invoke(payload):\n"
        source += " if payload: gate.set()\n else: gate.wait()\n return payload"
        with Worker(agent(source), "--max-threads", "6") as worker:
            self.assertEqual(worker.ready["max_threads"], 6)
            worker.control.write(GROW, payload=(20).to_bytes(4, "big"))
            waiting = [worker.invoke(0) for _ in range(5)]
            self.assertEqual(worker.result(1), "1")
            self.assertEqual({call.all()[-1] for call in waiting}, {(RESULT, b"0")})
            time.sleep(0.1)
            self.assertEqual(len(worker.links), 7)


# A plain function that returns a coroutine: on a thread, and with the buffer of its connection.
LATER = """
@app.entrypoint
def invoke(payload, context): return later(payload, context)
"""


class Context(unittest.TestCase):
    HEADERS = (("host", "h"), ("authorization", "Bearer t"), ("workloadaccesstoken", "w"), ("x-one", "é"))

    def test_the_request_is_known_everywhere(self):
        body = """
@app.async_task
async def inside(): return BedrockAgentCoreContext.get_session_id()
@app.entrypoint
DEF invoke(payload, context: RequestContext):
    here = BedrockAgentCoreContext
    yield [context.session_id, context.request_headers, str(context.request.url)]
    SLEEP(0.01)
    yield [here.get_session_id(), here.get_request_id(), here.get_workload_access_token()]
"""
        for source in both(body):
            with Worker(source) as worker:
                first = ["s1", {"Authorization": "Bearer t", "workloadaccesstoken": "w", "x-one": "é"}]
                expected = [[*first, "http://h/invocations"], ["s1", "r1", "w"]]
                items, _ = worker.stream(1, headers=self.HEADERS)
                self.assertEqual([json.loads(item) for item in items], expected)
                items, _ = worker.stream(1, session=None)
                self.assertEqual(json.loads(items[1]), [None, "r2", None])

    def test_the_request_has_its_target_its_caller_and_its_body(self):
        body = """
@app.entrypoint
async def invoke(payload, context):
    request = context.request
    seen = [request.method, request.url.path, request.url.query, dict(request.query_params), request.client]
    return [seen, (await request.body()).decode(), await request.json(), request.app is app]
"""
        for source in (agent(body), agent(body.replace("async def invoke", "async def later") + LATER)):
            with Worker(source) as worker:
                options = {"target": "/invocations?a=%C3%A9", "client": ["10.0.0.1", 5000]}
                seen = ["POST", "/invocations", "a=%C3%A9", {"a": "é"}, ["10.0.0.1", 5000]]
                for text in (' {"a": 1}', "3"):
                    answer = json.loads(worker.result(body=text.encode(), **options))
                    self.assertEqual(answer, [seen, text, json.loads(text), True])

    def test_nothing_of_a_request_is_left_for_the_next(self):
        body = """
import contextvars
mine = contextvars.ContextVar("mine", default="nothing")
loaded = contextvars.ContextVar("loaded")
loaded.set("from the file")
@app.entrypoint
DEF invoke(payload):
    before = mine.get()
    mine.set(payload)
    BedrockAgentCoreContext.set_oauth2_callback_url("set")
    yield [before, loaded.get()]
    yield [mine.get(), BedrockAgentCoreContext.get_oauth2_callback_url()]
"""
        for source in both(body):
            with Worker(source) as worker:
                for number in range(6):
                    items, _ = worker.stream(number)
                    self.assertEqual(items, ['["nothing", "from the file"]', f'[{number}, "set"]'])

    def test_it_reaches_the_async_parts_of_a_plain_function(self):
        body = "async def g():\n yield BedrockAgentCoreContext.get_request_id()\n"
        with Worker(agent(body + "app.entrypoint(lambda payload: g())")) as worker:
            self.assertEqual(worker.stream(1)[0], ['"r1"'])

    def test_sessions_share_the_globals_of_their_worker(self):
        body = "count = 0\n@app.entrypoint\nDEF invoke(payload):\n global count\n count += 1\n return count"
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual([worker.result(1) for _ in range(3)], ["1", "2", "3"])


if __name__ == "__main__":
    unittest.main()
