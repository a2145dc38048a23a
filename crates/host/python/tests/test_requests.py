"""Requests that the agent answers itself, and responses that send themselves, as frames. Without Starlette."""

import json
import random
import time
import unittest

from agents import agent, both
from server import CHUNK, END, ERROR, HEAD, LAST, RESPONSE, STREAM, Worker, wait_until

# A subclass with something of its own around everything is asked for every request.
WRAPPED = """
class Wrapped(BedrockAgentCoreApp):
    async def __call__(self, scope, receive, send):
        if scope.get("path") == "/own":
            await own(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
app = Wrapped()
async def start(send, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": headers})
async def body(send, part=b"", more=False):
    await send({"type": "http.response.body", "body": part, "more_body": more})
"""
ECHO = "\n@app.entrypoint\nDEF invoke(payload): return payload\n"
OWN = "\nasync def own(scope, receive, send):\n    "


def wrapped(own, entrypoint=ECHO):
    return agent(WRAPPED + entrypoint.replace("DEF", "def") + OWN + own.strip("\n").replace("\n", "\n    "))


class Requests(unittest.TestCase):
    def test_the_contract_holds_for_requests(self):
        for source in both(WRAPPED + ECHO):
            with Worker(source) as worker:
                self.assertTrue(worker.ready["asgi"])
                json_type = {"content-type": "application/json"}
                answers = {
                    ("POST", "/invocations", b'{"a": 1}'): (200, json_type, b'{"a": 1}'),
                    ("POST", "/invocations", b"{"): (400, json_type, None),
                    ("HEAD", "/ping", b""): (200, json_type, None),
                    ("GET", "/p%69ng", b""): (200, json_type, None),
                    ("GET", "/invocations", b""): (
                        405,
                        {"allow": "POST", "content-type": "text/plain; charset=utf-8"},
                        None,
                    ),
                    ("GET", "/none", b""): (404, {"content-type": "text/plain; charset=utf-8"}, b"Not Found"),
                }
                for request, (status, headers, body) in answers.items():
                    with self.subTest(request):
                        got = worker.fetch(*request)
                        length = got[1].pop("content-length")
                        self.assertEqual((got[0], got[1], length), (status, headers, str(len(got[2]))))
                        self.assertIn(body, (None, got[2]))
                wait_until(lambda: len(worker.log()) == 2)
                line = worker.line(0)
                self.assertRegex(line["message"], r"^Invocation completed successfully \(")
                self.assertEqual(line["requestId"], "r1")

    def test_the_scope_describes_the_request(self):
        own = """
message = await receive()
shown = {key: str(scope[key]) for key in ("method", "path", "raw_path", "query_string", "client", "scheme", "type")}
await start(send)
await body(send, json.dumps([shown, message["body"].decode(), scope["headers"][0][1].decode("latin-1")]).encode())
"""
        with Worker(wrapped("import json" + own)) as worker:
            _, _, body = worker.fetch("PUT", "/own?a=%20", b"sent", headers=[("x-a", "é")])
            expected = {
                "method": "PUT",
                "path": "/own",
                "raw_path": "b'/own'",
                "query_string": "b'a=%20'",
                "client": "('10.0.0.1', 5000)",
                "scheme": "http",
                "type": "http",
            }
            self.assertEqual(json.loads(body), [expected, "sent", "é"])

    def test_a_stream_of_events_is_a_body_in_pieces(self):
        body = "@app.entrypoint\nDEF invoke(payload):\n    yield 1\n    SLEEP(0.05)\n    yield {'a': 2}"
        for source in both(WRAPPED + body):
            with Worker(source) as worker:
                head, *chunks, end = worker.request("POST", "/invocations", b"1").all()
                self.assertEqual(json.loads(head[1])["headers"], [["content-type", "text/event-stream; charset=utf-8"]])
                self.assertEqual(chunks, [(CHUNK, b"data: 1\n\n"), (CHUNK, b'data: {"a": 2}\n\n')])
                self.assertEqual((head[0], end), (HEAD, (END, b"")))

    def test_an_answer_that_is_late_begins_with_its_head(self):
        with Worker(wrapped("await start(send, 201)\nawait asyncio.sleep(0.3)\nawait body(send, b'x')")) as worker:
            begun = time.monotonic()
            call = worker.request("GET", "/own")
            self.assertEqual(call.next()[0], HEAD)
            self.assertLess(time.monotonic() - begun, 0.25)
            self.assertEqual(call.all(), [(CHUNK, b"x"), (END, b"")])

    def test_a_large_body_comes_in_pieces_and_waits_for_credit(self):
        own = "await start(send)\nfor _ in range(40): await body(send, bytes(1_000_000), True)\nawait body(send)"
        with Worker(wrapped(own)) as worker:
            call = worker.request("GET", "/own")
            head, *chunks, end = call.all()
            self.assertEqual((head[0], end[0], sum(len(chunk) for _, chunk in chunks)), (HEAD, END, 40_000_000))
            self.assertLessEqual(max(len(chunk) for _, chunk in chunks), 256 * 1024)
            call = worker.request("GET", "/own")
            call.next()
            time.sleep(0.3)
            self.assertLess(call.frames.qsize(), 60)
            self.assertEqual(worker.fetch("GET", "/none")[0], 404)

    def test_what_is_raised_ends_the_request(self):
        cases = {
            "raise ValueError('no')": (ERROR, "ValueError"),
            "raise SystemExit(3)": (ERROR, "SystemExit"),
            "pass": (ERROR, "RuntimeError"),
            "await body(send)": (ERROR, "RuntimeError"),
            "await start(send)\nraise ValueError('no')": (ERROR, "ValueError"),
            "await start(send)\nawait body(send, b'x', True)\nraise ValueError('no')": (ERROR, "ValueError"),
        }
        for own, (kind, error_type) in cases.items():
            with self.subTest(own), Worker(wrapped(own)) as worker:
                frames = worker.request("GET", "/own").all()
                self.assertEqual((frames[-1][0], json.loads(frames[-1][1])["error_type"]), (kind, error_type))
                self.assertEqual(worker.line(0)["level"], "ERROR")
                self.assertEqual(worker.fetch("GET", "/none")[0], 404)
        with Worker(wrapped("await start(send)\nawait body(send, b'x')\nraise ValueError('late')")) as worker:
            self.assertEqual(worker.fetch("GET", "/own")[2], b"x")
            self.assertEqual(worker.line(0)["errorMessage"], "late")

    def test_a_caller_who_leaves_ends_a_stream(self):
        own = """
await receive()
await start(send)
try:
    while True:
        await body(send, b"x", True)
        await asyncio.sleep(0.01)
finally:
    print("closed", (await receive())["type"], BedrockAgentCoreContext.get_request_id())
"""
        with Worker(wrapped(own)) as worker:
            call = worker.request("GET", "/own")
            self.assertEqual((call.next()[0], call.next()[0]), (HEAD, CHUNK))
            call.cancel()
            wait_until(lambda: worker.stdout() == "closed http.disconnect r1\n")
            while call.next()[0] != END:
                pass
            self.assertEqual(worker.log(), [])

    def test_a_caller_who_leaves_lets_a_handler_finish(self):
        body = "@app.entrypoint\nDEF invoke(payload):\n    SLEEP(0.2)\n    print('done')\n    return 1"
        for source in both(WRAPPED + body):
            with Worker(source) as worker:
                call = worker.request("POST", "/invocations", b"1")
                call.cancel()
                call.all()
                self.assertEqual(worker.stdout(), "done\n")

    def test_the_limit_cuts_whatever_runs(self):
        with Worker(wrapped("try:\n    await asyncio.sleep(60)\nfinally:\n    print('cut')")) as worker:
            call = worker.request("GET", "/own")
            time.sleep(0.1)
            call.cancel(1)
            call.all()
            self.assertEqual(worker.stdout(), "cut\n")

    def test_no_request_ends_before_its_handler(self):
        plain = "def invoke(payload):\n    time.sleep(1)\n    print('over')\n    return 1"
        deaf = (
            "async def invoke(payload):\n    until = time.monotonic() + 1\n"
            "    while time.monotonic() < until:\n        try:\n            await asyncio.sleep(0.05)\n"
            "        except asyncio.CancelledError:\n            pass\n    print('over')\n    return 1"
        )
        for body in (plain, deaf):
            with self.subTest(body), Worker(agent(WRAPPED + "@app.entrypoint\n" + body)) as worker:
                request = worker.request("POST", "/invocations", b"1")
                time.sleep(0.3)
                request.cancel(1)
                request.all()
                self.assertEqual(worker.stdout(), "over\n")

    def test_a_request_that_is_cut_before_it_has_begun_ends_too(self):
        for source in both(WRAPPED + ECHO + "\n@app.websocket\nasync def handle(websocket, context): await forever"):
            with Worker(source) as worker:
                for begin in (lambda: worker.request("POST", "/invocations", b"1"), worker.open):
                    calls = [begin() for _ in range(50)]
                    for call in calls:
                        call.cancel(1)
                    for call in calls:
                        call.all()

    def test_callers_who_come_and_go_leave_nothing_behind(self):
        body = """
from collections import Counter
opened = Counter()
@app.entrypoint
async def invoke(payload):
    opened["stream"] += 1
    try:
        for number in range(400):
            yield number
            if number % 50 == 0: await asyncio.sleep(0.001)
    finally:
        opened["stream"] -= 1
@app.websocket
async def handle(websocket, context):
    opened["socket"] += 1
    try:
        await websocket.accept()
        async for text in websocket.iter_text(): await websocket.send_text(text)
    finally:
        opened["socket"] -= 1
async def own(scope, receive, send):
    await start(send)
    await body(send, str(sum(opened.values())).encode())
"""
        chance = random.Random(1)
        with Worker(agent(WRAPPED + body)) as worker:
            calls = []
            for _ in range(200):
                if chance.random() < 0.6:
                    calls.append(worker.request("POST", "/invocations", b"1"))
                else:
                    calls.append(worker.open())
                    for _ in range(chance.randrange(64)):
                        calls[-1].say("m")
                for call in chance.sample(calls, min(3, len(calls))):
                    chance.choice([call.cancel, lambda call=call: call.cancel(1), lambda call=call: call.allow(99)])()
            for call in calls:
                call.allow(1000)
                call.cancel()
            for call in calls:
                while call.next()[0] not in LAST:
                    pass
            wait_until(lambda: worker.fetch("GET", "/own")[2] == b"0")
            self.assertEqual([line for line in worker.log() if line["level"] == "ERROR"], [])

    def test_handlers_run_where_they_always_do(self):
        body = "@app.entrypoint\nDEF invoke(payload):\n    return threading.current_thread().name"
        names = []
        for source in both(WRAPPED + body):
            with Worker(source) as worker:
                names.append(worker.fetch("POST", "/invocations", b"1")[2].decode())
        self.assertRegex(names[0], '^"agentcore-blocking')
        self.assertEqual(names[1], '"agentcore-worker-loop"')

    def test_many_requests_run_beside_each_other(self):
        body = "gate = threading.Event()\n@app.entrypoint\ndef invoke(payload):\n    if payload: gate.set()\n"
        body += "    else: gate.wait()\n    return payload"
        with Worker(agent(WRAPPED + body)) as worker:
            waiting = [worker.request("POST", "/invocations", b"0") for _ in range(50)]
            self.assertEqual(worker.fetch("POST", "/invocations", b"1")[2], b"1")
            self.assertEqual({call.all()[-1][0] for call in waiting}, {RESPONSE})


RESPONSES = """
class Response:
    status_code, raw_headers = 200, []
    async def __call__(self, scope, receive, send):
        self.scope, self.receive, self.send = scope, receive, send
        await send({"type": "http.response.start", "status": 206, "headers": [(b"x-a", b"1")]})
        await getattr(self, self.do)()
    async def part(self, body, more=True):
        await self.send({"type": "http.response.body", "body": body, "more_body": more})
    async def whole(self):
        await self.part((self.scope["method"] + self.scope["path"]).encode(), False)
    async def fails(self):
        await self.part(b"x")
        raise ValueError("no")
    async def endless(self):
        try:
            while True:
                await self.part(b"x")
                await asyncio.sleep(0.01)
        finally:
            print("closed")
    async def quiet(self):
        await self.part(b"x")
        print((await self.receive())["type"])
    async def large(self):
        for _ in range(30): await self.part(bytes(1_000_000))
        await self.part(b"", False)
    async def background(self):
        await self.part(b"", False)
        await asyncio.sleep(0.2)
        print("after")
@app.entrypoint
DEF invoke(payload):
    response = Response()
    response.do = payload
    return response
"""


class Responses(unittest.TestCase):
    def setUp(self):
        self.sources = both(RESPONSES)

    def test_a_response_sends_itself(self):
        for source in self.sources:
            with Worker(source) as worker:
                head, *chunks, end = worker.invoke("whole").all()
                self.assertEqual(head, (HEAD, b'{"status": 206, "headers": [["x-a", "1"]]}'))
                self.assertEqual((chunks, end), ([(CHUNK, b"POST/invocations")], (END, b"")))
                self.assertRegex(worker.line(0)["message"], r"^Invocation completed successfully \(")
                self.assertEqual(worker.invoke("whole").all()[-1], (END, b""))

    def test_a_response_that_fails_is_cut(self):
        for source in self.sources:
            with Worker(source) as worker:
                *_, (kind, fields) = worker.invoke("fails").all()
                self.assertEqual((kind, json.loads(fields)["error_type"]), (ERROR, "ValueError"))
                self.assertEqual(worker.line(1)["message"], "Exception in ASGI application")
                self.assertEqual(worker.line(1)["requestId"], "r1")

    def test_a_large_response_waits_for_its_reader(self):
        for source in self.sources:
            with Worker(source) as worker:
                call = worker.invoke("large")
                time.sleep(0.1)
                frames = call.all()
                self.assertEqual(sum(len(chunk) for kind, chunk in frames if kind == CHUNK), 30_000_000)

    def test_a_caller_who_leaves_ends_it(self):
        for source in self.sources:
            for do, printed in (("endless", "closed\n"), ("quiet", "")):
                with self.subTest(do), Worker(source) as worker:
                    call = worker.invoke(do)
                    self.assertEqual((call.next()[0], call.next()), (HEAD, (CHUNK, b"x")))
                    call.cancel()
                    wait_until(lambda worker=worker, printed=printed: worker.stdout() == printed)
                    self.assertEqual(worker.invoke("whole").all()[-1], (END, b""))
                    self.assertEqual([line for line in worker.log() if line["level"] == "ERROR"], [])

    def test_nobody_waits_for_what_it_does_after_its_end(self):
        for source in self.sources:
            with Worker(source) as worker:
                begun = time.monotonic()
                self.assertEqual(worker.invoke("background").all()[-1], (END, b""))
                self.assertEqual(worker.invoke("whole").all()[-1], (END, b""))
                self.assertEqual(worker.stdout(), "")
                self.assertLess(time.monotonic() - begun, 5)
                wait_until(lambda worker=worker: worker.stdout() == "after\n")

    def test_nobody_waits_for_the_background_of_a_whole_response(self):
        body = """
class Response:
    status_code, raw_headers, body = 200, [], b"x"
    async def __call__(self, scope, receive, send): ...
    async def background(self):
        await asyncio.sleep(0.3)
        print("after")
@app.entrypoint
DEF invoke(payload): return Response() if payload else threading.current_thread().name
"""
        for source in both(body):
            with Worker(source, "--max-threads", "1") as worker:
                self.assertEqual(worker.answer(1)[0], RESPONSE)
                worker.result(0)
                self.assertEqual(worker.stdout(), "")
                wait_until(lambda worker=worker: worker.stdout() == "after\n")

    def test_streams_are_what_they_were(self):
        body = "@app.entrypoint\nDEF invoke(payload):\n    yield 1"
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual(worker.invoke(1).all()[0], (STREAM, b""))


if __name__ == "__main__":
    unittest.main()
