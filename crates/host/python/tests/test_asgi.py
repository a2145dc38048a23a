"""The app as an ASGI application, asked in this process: what it answers, and where its handlers run."""

import asyncio
import contextlib
import contextvars
import io
import json
import logging
import threading
import time
import unittest

import support  # noqa: F401
from asgi_client import Client, fetch, run
from bedrock_agentcore import BedrockAgentCoreApp, BedrockAgentCoreContext, PingStatus

JSON = {"content-type": "application/json"}


def setUpModule():
    logging.disable(logging.CRITICAL)


def tearDownModule():
    logging.disable(logging.NOTSET)


def serving(function, **options):
    app = BedrockAgentCoreApp(**options)
    app.entrypoint(function)
    return app


def twice(plain, later):
    """Returns an app with each of two entrypoints."""
    return [serving(plain), serving(later)]


class Answers(unittest.TestCase):
    def asked(self, app, payload=None, **options):
        status, headers, body = run(fetch(app, payload, **options))
        if "content-length" in headers:
            self.assertEqual(int(headers.pop("content-length")), len(body))
        return status, headers, body

    def test_a_value_is_json(self):
        async def later(payload):
            return payload

        for app in twice(lambda payload: payload, later):
            self.assertEqual(self.asked(app, {"a": ["é", 1.0, None]}), (200, JSON, '{"a": ["é", 1.0, null]}'.encode()))
            self.assertEqual(self.asked(app, body=b"3"), (200, JSON, b"3"))

    def test_a_body_that_is_no_json_is_refused(self):
        app = serving(lambda payload: payload)
        details = "Expecting value: line 1 column 1 (char 0)"
        expected = f'{{"error":"Invalid JSON","details":"{details}"}}'.encode()
        self.assertEqual(self.asked(app, body=b""), (400, JSON, expected))
        status, _, body = self.asked(app, body=b"\x80")
        self.assertEqual((status, json.loads(body)["error"]), (400, "Invalid encoding"))

    def test_without_an_entrypoint_there_is_an_error(self):
        app = BedrockAgentCoreApp()
        self.assertEqual(self.asked(app, {}), (500, JSON, b'{"error":"No entrypoint defined"}'))
        self.assertEqual(self.asked(app, body=b"{")[0], 400)

    def test_what_is_raised_is_the_answer(self):
        class HTTPException(Exception):
            status_code, detail, headers = 429, {"wait": 3}, {"Retry-After": "3"}

        errors = {"value": ValueError("näh"), "exit": SystemExit(3), "cancel": asyncio.CancelledError(), "http": None}

        def plain(payload):
            raise errors[payload] or HTTPException()

        async def later(payload):
            await asyncio.sleep(0)
            plain(payload)

        for app in twice(plain, later):
            expected = '{"error":"näh","error_type":"ValueError"}'.encode()
            self.assertEqual(self.asked(app, "value"), (500, JSON, expected))
            self.assertEqual(self.asked(app, "exit"), (500, JSON, b'{"error":"3","error_type":"SystemExit"}'))
            self.assertEqual(self.asked(app, "cancel")[0], 500)
            expected = (429, {"retry-after": "3", **JSON}, b'{"error":{"wait":3}}')
            self.assertEqual(self.asked(app, "http"), expected)

    def test_a_stream_is_events(self):
        def plain(payload):
            yield "a\nb"
            yield {"k": "世界"}
            if payload:
                raise ValueError("no")

        async def later(payload):
            for item in plain(payload):
                yield item
                await asyncio.sleep(0)

        for app in twice(plain, later):
            status, headers, body = self.asked(app, 0)
            self.assertEqual((status, headers), (200, {"content-type": "text/event-stream; charset=utf-8"}))
            self.assertEqual(body.decode(), 'data: "a\\nb"\n\ndata: {"k": "世界"}\n\n')
            last = self.asked(app, 1)[2].decode().split("\n\n")[-2]
            event = {"error": "no", "error_type": "ValueError", "message": "An error occurred during streaming"}
            self.assertEqual(json.loads(last[len("data: ") :]), event)

    def test_a_response_sends_itself(self):
        class Response:
            status_code, raw_headers = 201, []

            async def __call__(self, scope, receive, send):
                await send(
                    {"type": "http.response.start", "status": 201, "headers": [(b"x-a", scope["method"].encode())]}
                )
                await send({"type": "http.response.body", "body": b"made"})

        async def later(payload):
            return Response()

        for app in twice(lambda payload: Response(), later):
            self.assertEqual(self.asked(app), (201, {"x-a": "POST"}, b"made"))

    def test_other_requests_have_the_answers_of_the_contract(self):
        app = serving(lambda payload: payload)
        text = {"content-type": "text/plain; charset=utf-8"}
        cases = {
            ("GET", "/invocations"): (405, {"allow": "POST", **text}, b"Method Not Allowed"),
            ("POST", "/ping"): (405, {"allow": "HEAD, GET", **text}, b"Method Not Allowed"),
            ("GET", "/"): (404, text, b"Not Found"),
            ("GET", "/ws"): (404, text, b"Not Found"),
            ("POST", "/invocations/x"): (404, text, b"Not Found"),
            ("POST", "/invocations/"): (307, {"location": "http://h/invocations"}, b""),
            ("DELETE", "/ping//?a=1"): (307, {"location": "http://h/ping?a=1"}, b""),
        }
        for (method, target), expected in cases.items():
            with self.subTest(method, target=target):
                self.assertEqual(self.asked(app, method=method, target=target), expected)

    def test_below_another_app_paths_are_its_own(self):
        app = serving(lambda payload: payload)
        self.assertEqual(self.asked(app, 1, target="/agent/invocations", root_path="/agent")[2], b"1")
        redirect = self.asked(app, 1, target="/agent/ping/", root_path="/agent")
        self.assertEqual(redirect[1]["location"], "http://h/agent/ping")

    def test_debug_actions_are_answered_in_debug_mode_only(self):
        action = {"_agent_core_app_action": "force_busy"}
        app = serving(lambda payload: payload, debug=True)
        self.assertEqual(self.asked(app, action), (200, JSON, b'{"forced_status":"HealthyBusy"}'))
        self.assertEqual(self.asked(app, {**action, "_agent_core_app_action": "x"})[0], 400)
        self.assertEqual(json.loads(self.asked(serving(lambda payload: payload), action)[2]), action)


class Pings(unittest.TestCase):
    def status(self, app):
        status, headers, body = run(fetch(app, method="GET", target="/ping"))
        self.assertEqual((status, headers["content-type"]), (200, "application/json"))
        self.assertRegex(body.decode(), r'^\{"status":"\w+","time_of_last_update":\d+\}$')
        return json.loads(body)

    def test_the_status_is_told_with_its_time(self):
        app = BedrockAgentCoreApp()
        self.assertEqual(self.status(app)["status"], "Healthy")
        app.add_async_task("t")
        self.assertEqual(self.status(app)["status"], "HealthyBusy")
        app._last_status_update_time = 7.9
        self.assertEqual(self.status(app)["time_of_last_update"], 7)

    def test_the_agents_own_handler_is_asked(self):
        def plain():
            time.sleep(0.01)
            return PingStatus.HEALTHY_BUSY

        async def later():
            await asyncio.sleep(0.01)
            return "HealthyBusy"

        def exits():
            raise SystemExit(1)

        for handler, expected in ((plain, "HealthyBusy"), (later, "HealthyBusy"), (exits, "Healthy")):
            app = BedrockAgentCoreApp()
            app.ping(handler)
            if handler is exits:
                with self.assertRaises(SystemExit):
                    app.get_current_ping_status()
                continue
            self.assertEqual(self.status(app)["status"], expected)

    def test_a_handler_that_blocks_does_not_delay_a_ping(self):
        gate = threading.Event()

        def plain(payload):
            gate.wait(10)

        async def later(payload):
            gate.wait(10)

        async def ask(app):
            waiting = asyncio.ensure_future(fetch(app, 1))
            await asyncio.sleep(0.05)
            begun = time.monotonic()
            await fetch(app, method="GET", target="/ping")
            gate.set()
            await waiting
            return time.monotonic() - begun

        for app in twice(plain, later):
            gate.clear()
            self.assertLess(run(ask(app)), 5)


class Contexts(unittest.TestCase):
    HEADERS = (
        ("x-amzn-bedrock-agentcore-runtime-session-id", "s1"),
        ("x-amzn-bedrock-agentcore-runtime-request-id", "r1"),
        ("workloadaccesstoken", "w"),
        ("authorization", "Bearer t"),
        ("cookie", 'a=1; b="two"; c'),
    )

    def test_the_request_is_known_to_every_kind_of_handler(self):
        def seen(context):
            here, request = BedrockAgentCoreContext, context.request
            return [
                [context.session_id, here.get_session_id(), here.get_request_id(), here.get_workload_access_token()],
                context.request_headers,
                [request.method, str(request.url), dict(request.query_params), request.query_params.getlist("a")],
                [request.client.host, request.client.port, request.cookies, request.state.user],
            ]

        def plain(payload, context):
            return seen(context)

        async def later(payload, context):
            await asyncio.sleep(0)
            return seen(context)

        def stream(payload, context):
            yield seen(context)

        async def later_stream(payload, context):
            yield seen(context)

        expected = [
            ["s1", "s1", "r1", "w"],
            {"workloadaccesstoken": "w", "Authorization": "Bearer t"},
            ["POST", "http://h/invocations?a=1&a=2&b=", {"a": "2", "b": ""}, ["1", "2"]],
            ["10.0.0.1", 5000, {"a": "1", "b": "two", "": "c"}, "me"],
        ]
        for function in (plain, later, stream, later_stream):
            with self.subTest(function.__name__):
                target = "/invocations?a=1&a=2&b="
                asked = fetch(serving(function), 1, target=target, headers=self.HEADERS, state={"user": "me"})
                body = run(asked)[2].decode()
                self.assertEqual(json.loads(body[6:] if body.startswith("data: ") else body), expected)

    def test_a_request_without_ids_gets_one(self):
        app = serving(
            lambda payload: [BedrockAgentCoreContext.get_request_id(), BedrockAgentCoreContext.get_session_id()]
        )
        request_id, session_id = json.loads(run(fetch(app, 1))[2])
        self.assertRegex(request_id, r"^[0-9a-f]{8}-[0-9a-f]{4}-4")
        self.assertIsNone(session_id)

    def test_the_body_can_be_read_again(self):
        async def later(payload, context):
            request = context.request
            parts = [part async for part in request.stream()]
            return [(await request.body()).decode(), await request.json(), b"".join(parts).decode()]

        body = run(fetch(serving(later), body=b' {"a": 1}'))[2]
        self.assertEqual(json.loads(body), [' {"a": 1}', {"a": 1}, ' {"a": 1}'])

    def test_nothing_of_a_request_is_left(self):
        mine = contextvars.ContextVar("mine", default=0)

        def plain(payload):
            mine.set(payload)

        async def ask():
            await serving(plain)(*served(1))
            return mine.get(), BedrockAgentCoreContext.get_request_id()

        def served(payload):
            async def receive():
                return {"type": "http.request", "body": json.dumps(payload).encode()}

            async def send(message):
                pass

            return {"type": "http", "method": "POST", "path": "/invocations", "headers": []}, receive, send

        self.assertEqual(run(ask()), (0, None))

    def test_a_generator_keeps_its_context(self):
        mine = contextvars.ContextVar("mine", default=0)

        def plain(payload):
            mine.set(payload)
            yield 1
            yield mine.get()

        async def later(payload):
            mine.set(payload)
            yield 1
            await asyncio.sleep(0)
            yield mine.get()

        for app in twice(plain, later):
            self.assertEqual(run(fetch(app, 7))[2], b"data: 1\n\ndata: 7\n\n")


class Lives(unittest.TestCase):
    def test_a_task_outlives_its_request_and_its_servers_loop(self):
        done, tasks = threading.Event(), []

        async def later(payload):
            async def work():
                await asyncio.sleep(0.05)
                done.set()

            tasks.append(asyncio.ensure_future(work()))
            return threading.current_thread().name

        self.assertEqual(run(fetch(serving(later), 1))[2], b'"agentcore-worker-loop"')
        self.assertTrue(done.wait(5))

    def test_a_stream_ends_when_its_caller_leaves(self):
        closed = threading.Event()

        def plain(payload):
            try:
                while True:
                    time.sleep(0.01)
                    yield 1
            finally:
                closed.set()

        async def later(payload):
            try:
                yield 1
                await asyncio.sleep(60)
            finally:
                closed.set()

        async def ask(app):
            client = Client(app)
            client.say(type="http.request", body=b"1")
            self.assertEqual((await client.hear())["type"], "http.response.start")
            self.assertEqual((await client.hear())["body"], b"data: 1\n\n")
            client.say(type="http.disconnect")
            await client.all()

        for app in twice(plain, later):
            closed.clear()
            run(ask(app))
            self.assertTrue(closed.wait(5))

    def test_a_caller_who_leaves_within_the_body_is_not_answered(self):
        async def ask():
            client = Client(serving(lambda payload: 1))
            client.say(type="http.request", body=b"1", more_body=True)
            client.say(type="http.disconnect")
            return await client.all()

        self.assertEqual(run(ask()), [])

    def test_a_handler_runs_to_its_end_for_a_caller_who_left(self):
        done = threading.Event()

        async def ask():
            client = Client(serving(lambda payload: (time.sleep(0.05), done.set())))
            client.say(type="http.request", body=b"1")
            client.say(type="http.disconnect")
            await client.all()

        run(ask())
        self.assertTrue(done.is_set())


class Lifespans(unittest.TestCase):
    async def live(self, app, **scope):
        client = Client(app, "lifespan", **scope)
        client.say(type="lifespan.startup")
        started = await client.hear()
        client.say(type="lifespan.shutdown")
        with contextlib.suppress(ValueError, RuntimeError):
            await client.task
        return [started, await client.hear()]

    def test_it_is_entered_and_left(self):
        seen = []

        @contextlib.asynccontextmanager
        async def lifespan(app):
            seen.append(app)
            yield {"db": 3}
            seen.append("end")

        async def undecorated(app):
            seen.append(app)
            yield {"db": 3}
            seen.append("end")

        def plain(app):
            seen.append(app)
            yield {"db": 3}
            seen.append("end")

        for made in (lifespan, undecorated, plain):
            seen.clear()
            app, state = BedrockAgentCoreApp(lifespan=made), {}
            started, ended = run(self.live(app, state=state))
            kinds = (started["type"], ended["type"])
            self.assertEqual(kinds, ("lifespan.startup.complete", "lifespan.shutdown.complete"))
            self.assertEqual((seen, state), ([app, "end"], {"db": 3}))

    def test_events_are_around_it(self):
        seen = []

        @contextlib.asynccontextmanager
        async def lifespan(app):
            seen.append("enter")
            yield
            seen.append("leave")

        app = BedrockAgentCoreApp(lifespan=lifespan)

        @app.on_event("startup")
        async def first():
            seen.append("first")

        app.add_event_handler("shutdown", lambda: seen.append("last"))
        run(self.live(app))
        self.assertEqual(seen, ["first", "enter", "leave", "last"])

    def test_a_failure_is_told(self):
        @contextlib.asynccontextmanager
        async def fails(app):
            raise ValueError("no database")
            yield

        @contextlib.asynccontextmanager
        async def fails_later(app):
            yield
            raise ValueError("no disk")

        started, ended = run(self.live(BedrockAgentCoreApp(lifespan=fails)))
        self.assertEqual((started["type"], ended), ("lifespan.startup.failed", None))
        self.assertIn("ValueError: no database", started["message"])
        _, ended = run(self.live(BedrockAgentCoreApp(lifespan=fails_later)))
        self.assertEqual(ended["type"], "lifespan.shutdown.failed")

        @contextlib.asynccontextmanager
        async def state(app):
            yield {"a": 1}

        started, _ = run(self.live(BedrockAgentCoreApp(lifespan=state)))
        self.assertIn('does not support "state"', started["message"])


class Logs(unittest.TestCase):
    def test_the_lines_are_those_of_the_contract(self):
        def act(payload):
            if payload == 1:
                raise ValueError("no")
            return iter_of() if payload == 2 else payload

        def iter_of():
            yield 1

        app = serving(act)
        logging.disable(logging.NOTSET)
        written, handler = io.StringIO(), app.logger.handlers[0]
        before = handler.setStream(written)
        try:
            for body in (b"0", b"1", b"2", b"{"):
                run(fetch(app, body=body, headers=Contexts.HEADERS))
        finally:
            handler.setStream(before)
            logging.disable(logging.CRITICAL)
        lines = [json.loads(line) for line in written.getvalue().splitlines()]
        expected = [
            ("INFO", r"^Invocation completed successfully \(\d\.\d{3}s\)$"),
            ("ERROR", r"^Invocation failed \(\d\.\d{3}s\)$"),
            ("INFO", r"^Returning streaming response \(generator\) \(\d\.\d{3}s\)$"),
            ("WARNING", r"^Invalid JSON in request \(\d\.\d{3}s\): Expecting"),
        ]
        self.assertEqual([line["level"] for line in lines], [level for level, _ in expected])
        for line, (_, pattern) in zip(lines, expected):
            self.assertRegex(line["message"], pattern)
            self.assertEqual((line["requestId"], line["sessionId"]), ("r1", "s1"))


if __name__ == "__main__":
    unittest.main()
