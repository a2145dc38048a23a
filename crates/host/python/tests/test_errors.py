"""What calls answer that go wrong, and answers that a handler makes itself."""

import json
import unittest

from agents import agent, both
from server import CHUNK, END, ERROR, HEAD, RESPONSE, Worker, wait_until


class Errors(unittest.TestCase):
    def test_an_exception_is_the_answer(self):
        body = "@app.entrypoint\nDEF invoke(payload):\n if payload == 2: {}['kk']\n"
        body += " raise ValueError('näh' if payload else '')"
        for source in both(body):
            with Worker(source) as worker:
                expected = {"status": 500, "error": "näh", "error_type": "ValueError", "details": None}
                self.assertEqual(worker.error(1), expected)
                self.assertEqual(worker.error(0)["error"], "")
                self.assertEqual(worker.error(2)["error"], "'kk'")
                line = worker.line(0)
                self.assertEqual((line["level"], line["errorType"], line["requestId"]), ("ERROR", "ValueError", "r1"))
                self.assertRegex(line["message"], r"^Invocation failed \(")
                self.assertIn("agent.py", line["stackTrace"][-2])

    def test_whatever_is_raised_ends_the_call_and_not_the_worker(self):
        body = """
import sys
class Odd(BaseException): pass
def raise_it(kind):
    if kind == "exit": sys.exit(3)
    if kind == "cancel": raise asyncio.CancelledError()
    if kind == "interrupt": raise KeyboardInterrupt()
    if kind == "generator": raise GeneratorExit()
    if kind == "stop": raise StopIteration(1)
    if kind == "stop async": raise StopAsyncIteration(1)
    if kind == "recursion": raise_it(kind)
    if kind == "text":
        class Mute(Exception):
            def __str__(self): raise RuntimeError("no")
        raise Mute()
    if kind == "surrogate": raise ValueError("a\\ud800")
    raise Odd("odd")
"""
        answers = "@app.entrypoint\nDEF invoke(payload):\n raise_it(payload)"
        streams = "@app.entrypoint\nDEF invoke(payload):\n yield 1\n raise_it(payload)"
        kinds = [
            "exit",
            "cancel",
            "interrupt",
            "generator",
            "stop",
            "stop async",
            "recursion",
            "text",
            "surrogate",
            "odd",
        ]
        for source in both(body + answers):
            with Worker(source) as worker:
                for kind in kinds:
                    with self.subTest(kind):
                        error = worker.error(kind)
                        self.assertEqual(error["status"], 500)
                self.assertEqual(worker.error("exit")["error_type"], "SystemExit")
                self.assertEqual(worker.error("surrogate")["error"], "a\\ud800")
        for source in both(body + streams):
            with Worker(source) as worker:
                for kind in kinds:
                    with self.subTest(kind, stream=True):
                        items, (last, fields) = worker.stream(kind)
                        self.assertEqual((items, last), (["1"], ERROR))
                        json.loads(fields)
                self.assertEqual(json.loads(worker.stream("exit")[1][1])["error_type"], "SystemExit")

    def test_a_task_that_exits_ends_neither_loop_nor_process(self):
        body = """
@app.entrypoint
async def invoke(payload):
    async def leave(): raise SystemExit(3)
    task = asyncio.create_task(leave())
    await asyncio.sleep(0.05)
    return "alive"
"""
        with Worker(agent(body)) as worker:
            self.assertEqual([worker.result(1), worker.result(1)], ['"alive"', '"alive"'])
            wait_until(lambda: "A background task raised SystemExit" in worker.messages())

    def test_an_http_exception_is_known_by_its_shape(self):
        body = """
class HTTPException(Exception):
    def __init__(self, status_code, detail=None, headers=None):
        self.status_code, self.detail, self.headers = status_code, detail, headers
    def __str__(self): return f"{self.status_code}: {self.detail}"
@app.entrypoint
DEF invoke(payload): raise HTTPException(*payload)
"""
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual(
                    worker.error([422, "bad"]), {"status": 422, "error": "bad", "error_type": None, "details": None}
                )
                self.assertEqual(worker.error([404])["error"], "Not Found")
                self.assertEqual(worker.error([99, "x"])["status"], 500)
                self.assertEqual(self.response(worker, [400, {"a": [1]}]), (400, b'{"error":{"a":[1]}}', {}))
                self.assertEqual(self.response(worker, [204, "x"]), (204, b"", {}))
                found = self.response(worker, [401, "who", {"WWW-Authenticate": "Bearer"}])
                self.assertEqual(found, (401, b'{"error":"who"}', {"www-authenticate": "Bearer"}))
                self.assertRegex(worker.line(0)["message"], r"^HTTP 422 \(\d\.\d{3}s\): bad$")

    def test_an_error_of_a_client_with_a_status_is_an_error_of_the_agent(self):
        body = """
class APIStatusError(Exception):
    status_code, detail = 401, "the model's own refusal"
@app.entrypoint
DEF invoke(payload): raise APIStatusError("no key")
"""
        for source in both(body):
            with Worker(source) as worker:
                expected = {"status": 500, "error": "no key", "error_type": "APIStatusError", "details": None}
                self.assertEqual(worker.error(1), expected)

    def response(self, worker, payload):
        kind, frame = worker.answer(payload)
        self.assertEqual(kind, RESPONSE)
        length = int.from_bytes(frame[:4], "big")
        head = json.loads(frame[4 : 4 + length])
        headers = dict(head["headers"])
        body = frame[4 + length :]
        if body:
            self.assertEqual(headers.pop("content-type"), "application/json")
        return head["status"], body, headers

    def test_an_http_exception_in_a_stream_is_an_error_event(self):
        body = """
class HTTPException(Exception):
    status_code, detail = 400, "bad"
    def __str__(self): return "400: bad"
@app.entrypoint
DEF invoke(payload):
    yield 1
    raise HTTPException()
"""
        for source in both(body):
            with Worker(source) as worker:
                items, (kind, fields) = worker.stream(1)
                self.assertEqual((items, kind), (["1"], ERROR))
                expected = {"status": 500, "error": "400: bad", "error_type": "HTTPException", "details": None}
                self.assertEqual(json.loads(fields), expected)

    def test_a_response_is_known_by_its_shape(self):
        body = """
done = []
async def after(): done.append(1)
class Response:
    status_code, body, background = 201, b"made", after
    raw_headers = [(b"x-one", b"\\xe9"), (b"content-length", b"4")]
    async def __call__(self, scope, receive, send): ...
Response.background = staticmethod(after)
class Streaming:
    status_code, raw_headers, body_iterator = 200, [], None
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-two", b"2")]})
        for part in (b"a", b"", b"b"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})
        await after()
@app.entrypoint
DEF invoke(payload): return {0: Response, 1: Streaming}[payload]() if payload < 2 else done
"""
        for source in both(body):
            with Worker(source) as worker:
                kind, frame = worker.answer(0)
                length = int.from_bytes(frame[:4], "big")
                self.assertEqual((kind, frame[4 + length :]), (RESPONSE, b"made"))
                self.assertEqual(json.loads(frame[4 : 4 + length]), {"status": 201, "headers": [["x-one", "é"]]})
                head = b'{"status": 200, "headers": [["x-two", "2"]]}'
                expected = [(HEAD, head), (CHUNK, b"a"), (CHUNK, b"b"), (END, b"")]
                self.assertEqual(worker.invoke(1).all(), expected)
                wait_until(lambda: worker.result(2) == "[1, 1]")

    def test_a_value_that_answers_to_every_name_is_no_response(self):
        body = """
class Attributes(dict):
    def __getattr__(self, name): return self[name]
class Proxy:
    def __call__(self): pass
    def __getattr__(self, name): raise LookupError(name)
    def __str__(self): return "a proxy"
@app.entrypoint
DEF invoke(payload): return Attributes(a=1) if payload else Proxy()
"""
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual([worker.result(1), worker.result(0)], ['{"a": 1}', '"a proxy"'])

    def test_a_body_that_is_no_json_is_refused(self):
        for source in both("@app.entrypoint\nDEF invoke(payload): return payload"):
            with Worker(source) as worker:
                refused = worker.error(body=b'{"a": }')
                self.assertEqual((refused["status"], refused["error"]), (400, "Invalid JSON"))
                self.assertTrue(refused["details"].startswith("Expecting value: line 1 column 7"))
                self.assertEqual(worker.error(body=b"\xff")["error"], "Invalid encoding")
                self.assertEqual(worker.error(body=b"[" * 100_000)["status"], 400)
                self.assertEqual(worker.error(body=b"")["details"], "Expecting value: line 1 column 1 (char 0)")
                self.assertRegex(worker.line(0)["message"], r"^Invalid JSON in request \(")
                self.assertEqual(worker.result(body=b" [1] "), "[1]")

    def test_debug_actions_are_answered_before_the_handler(self):
        body = "app = BedrockAgentCoreApp(debug=True)\n@app.entrypoint\nDEF invoke(payload): return payload"
        for source in both(body):
            with Worker(source) as worker:
                action = "_agent_core_app_action"
                self.assertTrue(worker.ready["debug"])
                self.assertEqual(worker.result({action: "force_busy"}), '{"forced_status":"HealthyBusy"}')
                self.assertEqual([worker.status(), worker.status()], ["Healthy", "HealthyBusy"])
                self.assertEqual(worker.error({action: "nope"})["status"], 400)
                self.assertEqual(worker.error({action: {"a": 1}})["details"], "unhashable type: 'dict'")
                self.assertEqual(worker.result([1]), "[1]")
                wait_until(lambda: "Processing invocation request" in worker.messages())
        with Worker(agent("@app.entrypoint\ndef invoke(payload): return payload")) as worker:
            self.assertEqual(worker.result({"_agent_core_app_action": "x"}), '{"_agent_core_app_action": "x"}')


if __name__ == "__main__":
    unittest.main()
