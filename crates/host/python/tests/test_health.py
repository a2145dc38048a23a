"""What the worker says about its status, and how it does not let itself be kept from saying it."""

import time
import unittest

from agents import agent, both
from server import REFRESH, Worker, wait_until


class Pushed(unittest.TestCase):
    def test_a_task_changes_the_status_at_once(self):
        body = """
gate = threading.Event()
def work(task):
    gate.wait()
    app.complete_async_task(task)
@app.entrypoint
DEF invoke(payload):
    if payload: return gate.set()
    threading.Thread(target=work, args=(app.add_async_task("work"),)).start()
    return app.get_current_ping_status()
"""
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual(worker.status(), "Healthy")
                self.assertEqual(worker.result(0), '"HealthyBusy"')
                self.assertEqual(worker.status(), "HealthyBusy")
                worker.result(1)
                self.assertEqual(worker.status(), "Healthy")
                self.assertTrue(worker.line(0)["message"].startswith("Async task started: work (ID: "))

    def test_an_async_task_that_outlives_its_call_keeps_the_agent_busy(self):
        body = """
gate = asyncio.Event()
@app.async_task
async def work(): await gate.wait()
tasks = []
@app.entrypoint
async def invoke(payload):
    if payload: gate.set()
    else: tasks.append(asyncio.create_task(work()))
"""
        with Worker(agent(body)) as worker:
            worker.result(0)
            self.assertEqual([worker.status(), worker.status()], ["Healthy", "HealthyBusy"])
            worker.result(1)
            self.assertEqual(worker.status(), "Healthy")

    def test_a_blocked_handler_does_not_delay_it(self):
        body = """
@app.entrypoint
DEF invoke(payload):
    app.force_ping_status("HealthyBusy")
    time.sleep(60)
"""
        for source in both(body):
            with Worker(source) as worker:
                worker.invoke(1)
                self.assertEqual([worker.status(), worker.status()], ["Healthy", "HealthyBusy"])
                worker.control.write(REFRESH, 0, b"\0\0\0\7")
                self.assertEqual(worker.status(), "HealthyBusy")

    def test_what_was_forced_while_loading_is_known_from_the_start(self):
        source = agent("app.force_ping_status('HealthyBusy')\napp.entrypoint(lambda payload: 1)")
        with Worker(source) as worker:
            self.assertEqual(worker.status(), "HealthyBusy")


class Asked(unittest.TestCase):
    HANDLER = "state = 'HealthyBusy'\n@app.ping\nDEF health(): return state\n"

    def test_a_handler_is_asked_before_ready_and_on_refresh(self):
        body = self.HANDLER + "@app.entrypoint\nDEF invoke(payload):\n global state\n state = payload"
        for source in both(body):
            with Worker(source) as worker:
                self.assertTrue(worker.ready["ping"])
                self.assertEqual(worker.status(), "HealthyBusy")
                for state in ("Healthy", "Healthy", "HealthyBusy"):
                    worker.result(state)
                    worker.control.write(REFRESH, 0, b"\0\0\0\7")
                    self.assertEqual(worker.status(), state)

    def test_refresh_is_answered_without_a_handler(self):
        with Worker(agent("app.entrypoint(lambda payload: 1)")) as worker:
            self.assertFalse(worker.ready["ping"])
            self.assertEqual(worker.status(), "Healthy")
            worker.control.write(REFRESH, 0, b"\0\0\0\7")
            self.assertEqual(worker.status(), "Healthy")

    def test_a_handler_that_hangs_holds_up_neither_start_nor_calls(self):
        body = "@app.ping\nDEF health(): SLEEP(60)\n@app.entrypoint\nDEF invoke(payload): return 1"
        for source in both(body):
            begun = time.monotonic()
            with Worker(source) as worker:
                self.assertLess(time.monotonic() - begun, 10)
                self.assertEqual(worker.result(1), "1")

    def test_a_handler_that_fails_leaves_the_automatic_status(self):
        body = "@app.ping\nDEF health(): raise ValueError('no')\n@app.entrypoint\nDEF invoke(payload): return 1"
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual(worker.status(), "Healthy")
                text = "Custom ping handler failed, falling back to automatic: ValueError: no"
                wait_until(lambda: text in worker.messages())

    def test_a_handler_that_exits_does_not_end_the_worker(self):
        body = "@app.ping\ndef health(): raise SystemExit(3)\n@app.entrypoint\ndef invoke(payload): return 1"
        with Worker(agent(body)) as worker:
            self.assertEqual(worker.status(), "Healthy")
            worker.control.write(REFRESH, 0, b"\0\0\0\7")
            self.assertEqual(worker.status(), "Healthy")
            self.assertEqual(worker.result(1), "1")


class Logs(unittest.TestCase):
    def test_the_logger_writes_json_with_the_ids_of_the_request(self):
        body = "@app.entrypoint\nDEF invoke(payload):\n app.logger.info('50%% of %s é', payload)\n"
        body += " app.logger.debug('not shown')"
        for source in both(body):
            with Worker(source) as worker:
                worker.result("it")
                wait_until(lambda: len(worker.log()) == 2)
                line = worker.line(0)
                self.assertRegex(line.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
                rest = [("level", "INFO"), ("message", "50% of it é"), ("logger", "bedrock_agentcore.app")]
                self.assertEqual(list(line.items()), [*rest, ("requestId", "r1"), ("sessionId", "s1")])
                self.assertEqual(list(worker.line(1))[1:], ["level", "message", "logger", "requestId", "sessionId"])

    def test_what_the_agent_does_to_the_logger_is_respected(self):
        entrypoint = "\n@app.entrypoint\ndef invoke(payload): return 1"
        quiet = "import logging\nlogging.getLogger('bedrock_agentcore.app').setLevel(logging.WARNING)"
        with Worker(agent(quiet + entrypoint)) as worker:
            worker.result(1)
            worker.error(body=b"{")
            wait_until(lambda: len(worker.log()) == 1)
            self.assertTrue(worker.line(0)["message"].startswith("Invalid JSON in request"))
        root = "import logging, sys\nlogging.basicConfig(level='INFO', format='root: %(message)s', stream=sys.stdout)"
        with Worker(agent(root + entrypoint)) as worker:
            worker.result(1)
            wait_until(lambda: len(worker.log()) == 1 and worker.stdout().startswith("root: Invocation completed"))

    def test_lines_of_many_threads_are_whole(self):
        source = agent(
            "@app.entrypoint\ndef invoke(payload):\n for n in range(50): app.logger.info('x' * 100)\n return 1"
        )
        with Worker(source) as worker:
            calls = [worker.invoke(1) for _ in range(4)]
            for call in calls:
                call.all()
            wait_until(lambda: len(worker.log()) == 204)
            self.assertEqual(len(worker.stderr().splitlines()), 204)


if __name__ == "__main__":
    unittest.main()
