"""What an agent can do with the app before anything is served."""

import asyncio
import functools
import importlib
import json
import logging
import sys
import threading
import time
import unittest
from unittest import mock

import support  # noqa: F401
import bedrock_agentcore
from bedrock_agentcore.runtime import _actions
from bedrock_agentcore.runtime._handler import KEYWORD, NO_CONTEXT, POSITIONAL, Handler, context_parameter, is_async
from bedrock_agentcore.runtime.app import BedrockAgentCoreApp, RequestContextFormatter
from bedrock_agentcore.runtime.models import PingStatus
from bedrock_agentcore.runtime.utils import convert_complex_objects, is_valid_partition


def setUpModule():
    logging.disable(logging.CRITICAL)


def tearDownModule():
    logging.disable(logging.NOTSET)


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Agent:
    def method(self, payload, context):
        return payload, context

    def alone(self, payload):
        return payload

    async def later(self, payload):
        return payload

    async def __call__(self, payload, context):
        yield payload


class Handlers(unittest.TestCase):
    def test_the_context_is_asked_for_by_the_name_of_the_second_parameter(self):
        cases = [
            (lambda payload: 0, NO_CONTEXT),
            (lambda payload, context: 0, POSITIONAL),
            (lambda payload, context=None: 0, POSITIONAL),
            (lambda payload, ctx: 0, NO_CONTEXT),
            (lambda payload, ctx=None, context=None: 0, NO_CONTEXT),
            (lambda context, payload: 0, NO_CONTEXT),
            (lambda *args: 0, NO_CONTEXT),
            (lambda payload, *context: 0, POSITIONAL),
            (lambda payload, **context: 0, NO_CONTEXT),
            (decorated(lambda payload, context: 0), POSITIONAL),
            (Agent().method, POSITIONAL),
            (Agent().alone, NO_CONTEXT),
            (Agent(), POSITIONAL),
            (functools.partial(lambda db, payload, context: 0, "db"), POSITIONAL),
            (functools.partial(lambda payload, context, db: 0, db="db"), POSITIONAL),
            (print, NO_CONTEXT),
            (int, NO_CONTEXT),
        ]

        def keyword(payload, *, context):
            return context

        cases.append((keyword, KEYWORD))
        for function, expected in cases:
            with self.subTest(function):
                self.assertEqual(context_parameter(function), expected)
        self.assertEqual(Handler(keyword).call(1, "c"), "c")
        self.assertEqual(Handler(Agent().method).call(1, "c"), (1, "c"))

    def test_async_functions_are_told_apart(self):
        async def coroutine(payload): ...

        async def generator(payload):
            yield

        def plain(payload):
            yield

        is_one = [coroutine, generator, functools.partial(functools.partial(coroutine), 1), Agent(), Agent().later]
        is_none = [plain, Agent().method, functools.partial(plain), decorated(coroutine), print]
        self.assertEqual([function for function in is_one if not is_async(function)], [])
        self.assertEqual([function for function in is_none if is_async(function)], [])


class Registering(unittest.TestCase):
    def test_decorators_return_what_they_were_given(self):
        app = BedrockAgentCoreApp()

        def handler(payload): ...

        self.assertIs(app.entrypoint(handler), handler)
        self.assertIs(app.handlers["main"], handler)
        self.assertIs(app.entrypoint(Agent.method), Agent.method)
        method = Agent().method
        self.assertIs(app.entrypoint(method), method)
        self.assertIs(app.ping(handler), handler)

    def test_run_outside_a_worker_says_how_to_serve(self):
        app = BedrockAgentCoreApp()

        @app.entrypoint
        def handler(payload): ...

        for run in (app.run, handler.run, lambda: app.run(port=9000, host="0.0.0.0")):
            with self.assertRaisesRegex(RuntimeError, "agentcore serve agent.py"):
                run()

    def test_what_needs_starlette_says_so_where_it_is_declared(self):
        app = BedrockAgentCoreApp()
        declarations = {
            "middleware": lambda: BedrockAgentCoreApp(middleware=[object()]),
            "add_middleware": lambda: app.add_middleware(object),
            "@app.middleware": lambda: app.middleware("http"),
            "add_route": lambda: app.add_route("/x", lambda request: None),
            "@app.route": lambda: app.route("/x"),
            "add_websocket_route": lambda: app.add_websocket_route("/x", lambda websocket: None),
            "@app.websocket_route": lambda: app.websocket_route("/x"),
            "mount": lambda: app.mount("/x", object()),
            "host": lambda: app.host("x", object()),
            "add_exception_handler": lambda: app.add_exception_handler(404, lambda request, error: None),
            "@app.exception_handler": lambda: app.exception_handler(404),
            "router": lambda: app.routes,
        }
        missing = {name: None for name in ("starlette", "starlette.applications", "starlette.routing")}
        missing["bedrock_agentcore.runtime._starlette"] = None
        for name, declare in declarations.items():
            with self.subTest(name), mock.patch.dict(sys.modules, missing):
                expected = f"`{name}` needs Starlette.*install `starlette`.*`engine: sdk`"
                with self.assertRaisesRegex(RuntimeError, expected):
                    declare()
        self.assertFalse(app._answers_itself())

    def test_what_comes_after_the_start_is_refused(self):
        app = BedrockAgentCoreApp()
        app.websocket(lambda websocket, context: None)
        app._has_started = True
        app.websocket(lambda websocket, context: None)
        for declare in (lambda: app.add_middleware(object), lambda: app.on_event("startup")(print)):
            with self.assertRaisesRegex(RuntimeError, "after the agent has started.*`engine: sdk`"):
                declare()

    def test_what_makes_no_sense_is_refused(self):
        with self.assertRaisesRegex(ValueError, "`start` is no event"):
            BedrockAgentCoreApp().add_event_handler("start", print)
        with self.assertRaisesRegex(ValueError, "http"):
            BedrockAgentCoreApp().middleware("websocket")

    def test_names_of_the_official_package_say_where_they_are(self):
        with self.assertRaisesRegex(ImportError, "official `bedrock-agentcore` package"):
            from bedrock_agentcore import memory  # noqa: F401
        with self.assertRaisesRegex(ImportError, "engine: sdk"):
            from bedrock_agentcore.runtime import AGUIApp  # noqa: F401
        with self.assertRaises(ModuleNotFoundError):
            importlib.import_module("bedrock_agentcore.memory")
        self.assertFalse(hasattr(bedrock_agentcore, "nonsense"))

    def test_state_is_a_place_for_anything(self):
        app = BedrockAgentCoreApp()
        app.state.client = 1
        self.assertEqual((app.state.client, app.state["client"]), (1, 1))
        del app.state.client
        self.assertFalse(hasattr(app.state, "client"))
        app.state = "replaced"
        self.assertEqual(app.state, "replaced")


class Tasks(unittest.TestCase):
    def setUp(self):
        self.app = BedrockAgentCoreApp()

    def test_a_task_makes_the_agent_busy(self):
        first = self.app.add_async_task("one", {"size": 1})
        second = self.app.add_async_task("two")
        self.assertEqual(self.app.get_current_ping_status(), PingStatus.HEALTHY_BUSY)
        info = self.app.get_async_task_info()
        self.assertEqual(info["active_count"], 2)
        self.assertEqual([job["name"] for job in info["running_jobs"]], ["one", "two"])
        self.assertEqual(set(info["running_jobs"][0]), {"name", "duration"})
        self.assertTrue(self.app.complete_async_task(first))
        self.assertFalse(self.app.complete_async_task(first))
        self.assertTrue(self.app.complete_async_task(second))
        self.assertEqual(self.app.get_current_ping_status(), PingStatus.HEALTHY)
        self.assertGreater(first, 0)

    def test_the_decorator_tracks_a_call(self):
        seen = []

        @self.app.async_task
        async def work(value, fail=False):
            """Works."""
            seen.append(self.app.get_current_ping_status())
            if fail:
                raise KeyError("x")
            return value

        self.assertEqual(asyncio.run(work(3)), 3)
        with self.assertRaises(KeyError):
            asyncio.run(work(3, fail=True))
        self.assertEqual(seen, [PingStatus.HEALTHY_BUSY] * 2)
        self.assertEqual(self.app.get_current_ping_status(), PingStatus.HEALTHY)
        self.assertEqual((work.__name__, work.__doc__), ("work", "Works."))

        async def cancelled():
            task = asyncio.create_task(endless())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        endless = self.app.async_task(_endless)
        asyncio.run(cancelled())
        self.assertEqual(self.app.get_async_task_info()["active_count"], 0)

    def test_only_coroutine_functions_are_tasks(self):
        async def generator():
            yield

        for function in (lambda: 0, generator):
            with self.assertRaisesRegex(ValueError, "@async_task can only be applied to async functions"):
                self.app.async_task(function)
        self.assertEqual(self.app.async_task(functools.partial(_endless)).__name__, "_endless")

    def test_tasks_from_many_threads_are_all_counted(self):
        def work():
            for _ in range(100):
                self.app.complete_async_task(self.app.add_async_task("t"))
            self.app.add_async_task("left")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.app.get_async_task_info()["active_count"], 8)


async def _endless():
    await asyncio.sleep(60)


class Status(unittest.TestCase):
    def setUp(self):
        self.app = BedrockAgentCoreApp()

    def current(self):
        return self.app.get_current_ping_status()

    def test_forced_comes_before_custom_before_automatic(self):
        task = self.app.add_async_task("t")
        self.app.ping(lambda: PingStatus.HEALTHY)
        self.assertEqual(self.current(), PingStatus.HEALTHY)
        self.app.force_ping_status(PingStatus.HEALTHY_BUSY)
        self.app.complete_async_task(task)
        self.assertEqual(self.current(), PingStatus.HEALTHY_BUSY)
        self.app.clear_forced_ping_status()
        self.assertEqual(self.current(), PingStatus.HEALTHY)
        with self.assertRaises(ValueError):
            self.app.force_ping_status("Unhealthy")

    def test_a_handler_may_be_async_or_answer_in_text(self):
        async def later():
            return PingStatus.HEALTHY_BUSY

        for handler in (later, lambda: "HealthyBusy", lambda: PingStatus.HEALTHY_BUSY):
            self.app.ping(handler)
            self.assertEqual(self.current(), PingStatus.HEALTHY_BUSY)

    def test_a_handler_that_makes_no_sense_leaves_the_automatic_status(self):
        self.app.add_async_task("t")

        def fails():
            raise RuntimeError("no")

        for handler in (lambda: "healthybusy", lambda: "Unhealthy", lambda: None, lambda: True, lambda: 3, fails):
            self.app.ping(handler)
            self.assertEqual(self.current(), PingStatus.HEALTHY_BUSY)

    def test_the_time_moves_only_with_the_status(self):
        self.current()
        self.app._last_status_update_time = 1
        self.current()
        self.assertEqual(self.app._last_status_update_time, 1)
        self.app.add_async_task("t")
        self.current()
        self.assertAlmostEqual(self.app._last_status_update_time, time.time(), delta=5)

    def test_a_listener_hears_of_every_change(self):
        heard = []
        self.app._status_listener = lambda: heard.append(self.current())
        task = self.app.add_async_task("t")
        self.app.complete_async_task(task)
        self.app.force_ping_status(PingStatus.HEALTHY_BUSY)
        self.app.clear_forced_ping_status()
        busy, healthy = PingStatus.HEALTHY_BUSY, PingStatus.HEALTHY
        self.assertEqual(heard, [busy, healthy, busy, healthy])


class Actions(unittest.TestCase):
    def setUp(self):
        self.app = BedrockAgentCoreApp(debug=True)

    def perform(self, action):
        return _actions.perform(self.app, {"_agent_core_app_action": action, "other": 1})

    def test_they_tell_and_force_the_status(self):
        self.assertEqual(self.perform("force_busy"), (200, {"forced_status": "HealthyBusy"}))
        status, answer = self.perform("ping_status")
        self.assertEqual((status, answer["status"], type(answer["time_of_last_update"])), (200, "HealthyBusy", int))
        self.assertEqual(self.perform("force_healthy"), (200, {"forced_status": "Healthy"}))
        self.assertEqual(self.perform("clear_forced_status"), (200, {"forced_status": "Cleared"}))
        self.assertEqual(self.perform("job_status"), (200, {"active_count": 0, "running_jobs": []}))

    def test_other_actions_are_errors_and_other_payloads_are_none(self):
        self.assertEqual(self.perform("nope"), (400, {"error": "Unknown action: nope"}))
        failed = {"error": "Debug action failed", "details": "unhashable type: 'dict'"}
        self.assertEqual(self.perform({"a": 1}), (500, failed))
        for action in ("", None, 0, False):
            self.assertIsNone(self.perform(action))
        for payload in (None, [], "ping_status", 3):
            self.assertIsNone(_actions.perform(self.app, payload))


class Helpers(unittest.TestCase):
    def test_complex_objects_are_converted(self):
        self.assertEqual(convert_complex_objects({"a": (1, {2})}), {"a": [1, [2]]})
        self.assertIs(convert_complex_objects(PingStatus), PingStatus)
        self.assertTrue(is_valid_partition("aws-cn"))
        self.assertFalse(is_valid_partition("amazon"))

    def test_the_formatter_makes_json(self):
        try:
            raise ValueError("bad")
        except ValueError as error:
            info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("x", logging.ERROR, "/f.py", 3, "it %s é", ("failed",), info, "there")
        line = json.loads(RequestContextFormatter().format(record))
        self.assertEqual(
            list(line), "timestamp level message logger errorType errorMessage stackTrace location".split()
        )
        self.assertEqual((line["message"], line["location"]), ("it failed é", "/f.py:there:3"))
        self.assertRegex(line["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertTrue(all(part.endswith("\n") for part in line["stackTrace"]))


if __name__ == "__main__":
    unittest.main()
