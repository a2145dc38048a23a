"""What is told of handlers that block the event loop."""

import os
import time
import unittest

from agents import agent
from server import Worker, wait_until

BODY = """
def deep(seconds): time.sleep(seconds)  # the line that blocks
async def beside(seconds): deep(seconds)
@app.entrypoint
async def invoke(payload):
    kind, seconds = payload
    if kind == "block": deep(seconds)
    elif kind == "task": await asyncio.gather(beside(seconds), asyncio.sleep(0))
    elif kind == "wrapped": BedrockAgentCoreContext.wrap(deep)(seconds)
    elif kind == "callback":
        asyncio.get_running_loop().call_soon(time.sleep, seconds)
        await asyncio.sleep(0.01)
    else: await asyncio.sleep(seconds)
"""


class Stalls(unittest.TestCase):
    def told(self, worker):
        return [line for line in worker.log() if "event loop" in line["message"]]

    def test_a_handler_that_blocks_is_named_once_with_its_stack(self):
        with Worker(agent(BODY)) as worker:
            for number in (1, 2):
                worker.result(["block", 1.8])
                wait_until(lambda: len(self.told(worker)) == 2 * number)
                blocked, over = self.told(worker)[-2:]
                first, *stack = blocked["message"].split("\n")
                self.assertEqual(first, "The event loop is blocked by the handler `invoke`: no other call goes on")
                self.assertIn(f'File "{worker.file}"', stack[0])
                self.assertIn("in invoke", stack[0])
                self.assertIn("# the line that blocks", stack[-1])
                self.assertRegex(
                    over["message"], r"^The event loop goes on, the handler `invoke` has blocked it for 1\.[5-9]s$"
                )
                for line in (blocked, over):
                    self.assertEqual((line["level"], line["requestId"]), ("WARNING", f"r{number}"))

    def test_it_is_told_while_it_lasts(self):
        with Worker(agent(BODY)) as worker:
            call = worker.invoke(["block", 3])
            wait_until(lambda: self.told(worker))
            self.assertTrue(call.frames.empty())

    def test_tasks_and_callbacks_are_told_apart(self):
        with Worker(agent(BODY)) as worker:
            worker.result(["task", 1.7])
            worker.result(["callback", 1.7])
            wait_until(lambda: len(self.told(worker)) == 4)
            first = [line["message"].split("\n")[0] for line in self.told(worker)][::2]
            self.assertIn("by the task `beside`", first[0])
            self.assertIn("by a callback", first[1])

    def test_a_response_that_blocks_while_it_sends_itself_is_the_handlers(self):
        body = """
class Own:
    status_code, raw_headers, body_iterator = 200, [], None
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        time.sleep(1.7)  # the line that blocks
        await send({"type": "http.response.body", "body": b"done"})
@app.entrypoint
def invoke(payload): return Own()
"""
        with Worker(agent(body)) as worker:
            worker.invoke(1).all()
            wait_until(lambda: len(self.told(worker)) == 2)
            blocked = self.told(worker)[0]
            first, *stack = blocked["message"].split("\n")
            self.assertIn("blocked by the handler `invoke`", first)
            self.assertEqual(blocked["requestId"], "r1")
            self.assertIn(f'File "{worker.file}"', stack[0])
            self.assertIn("# the line that blocks", stack[-1])

    def test_the_stack_goes_on_below_what_the_agent_calls_of_the_package(self):
        with Worker(agent(BODY)) as worker:
            worker.result(["wrapped", 1.7])
            wait_until(lambda: self.told(worker))
            stack = self.told(worker)[0]["message"].split("\n")[1:]
            self.assertIn("in invoke", stack[0])
            self.assertIn("# the line that blocks", stack[-1])

    def test_an_app_that_answers_requests_itself_is_watched_too(self):
        body = """
class Own(BedrockAgentCoreApp):
    async def __call__(self, scope, receive, send):
        time.sleep(1.7)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
app = Own()
"""
        with Worker(agent(body + "app.entrypoint(lambda payload: 1)\n")) as worker:
            self.assertTrue(worker.ready["asgi"])
            worker.request("GET", "/x").all()
            wait_until(lambda: len(self.told(worker)) == 2)
            self.assertIn("blocked by the app", self.told(worker)[0]["message"])

    def test_what_waits_or_blocks_shortly_is_not_told(self):
        with Worker(agent(BODY)) as worker:
            calls = [worker.invoke(payload) for payload in (["wait", 1.5], ["block", 0.6], ["wait", 1.5])]
            for call in calls:
                call.all()
            self.assertEqual(self.told(worker), [])

    @unittest.skipUnless(os.path.exists("/proc/self/task"), "no /proc")
    def test_nobody_wakes_up_while_nothing_is_open(self):
        def switches():
            found = 0
            for task in os.listdir(f"/proc/{worker.process.pid}/task"):
                with open(f"/proc/{worker.process.pid}/task/{task}/status", encoding="ascii") as status:
                    found += sum(int(line.split()[1]) for line in status if "voluntary_ctxt" in line)
            return found

        streams = "\n@app.entrypoint\nasync def invoke(payload):\n for n in range(200): yield n"
        with Worker(agent(BODY + streams)) as worker:
            for _ in range(3):
                worker.invoke(1).all()
            # The threads that watch stay awake for a while.
            time.sleep(2)
            before = switches()
            time.sleep(1)
            self.assertLessEqual(switches() - before, 1)


if __name__ == "__main__":
    unittest.main()
