"""The context of a request in the threads and tasks that a handler starts, and how many threads there are."""

import json
import unittest

from agents import agent, both
from server import GROW, Worker, wait_until

# Two calls are in it at once, and each asks who it is.
WHO = """
import concurrent.futures
barrier = threading.Barrier(2)
own_pool = concurrent.futures.ThreadPoolExecutor(4)
def who(wait=True):
    if wait: barrier.wait(10)
    app.logger.info("inside")
    return [BedrockAgentCoreContext.get_session_id(), BedrockAgentCoreContext.get_request_id()]
async def in_executor(): return await asyncio.get_running_loop().run_in_executor(None, who)
async def in_thread(): return await asyncio.to_thread(who)
def bare():
    found = []
    def work(more): found.append([*who(), more])
    thread = threading.Thread(target=BedrockAgentCoreContext.wrap(work), args=("more",))
    thread.start()
    thread.join()
    assert found[0].pop() == "more"
    return found[0]
def own(): return own_pool.submit(BedrockAgentCoreContext.wrap(who)).result()
"""


class InThreads(unittest.TestCase):
    def answers(self, source, items=None):
        """Calls for two sessions at once, and checks that each part of each answer is about its own."""
        with Worker(source) as worker:
            calls = {name: worker.invoke(1, session=name) for name in ("one", "two")}
            for name, call in calls.items():
                frames = call.all()
                parts = [json.loads(body) for _, body in frames if body]
                expected = [name, f"r{call.number + 1}"]
                self.assertEqual(parts, [expected] * (items or 1), worker.stderr())
            wait_until(lambda: len([line for line in worker.messages() if line == "inside"]) == 2 * (items or 1))
            for line in worker.log():
                self.assertEqual({"one": "r1", "two": "r2"}[line["sessionId"]], line["requestId"], line)

    def test_in_the_default_executor_of_the_loop(self):
        self.answers(agent(WHO + "@app.entrypoint\nasync def invoke(payload): return await in_executor()"))

    def test_in_to_thread(self):
        self.answers(agent(WHO + "@app.entrypoint\nasync def invoke(payload): return await in_thread()"))

    def test_in_bare_threads(self):
        self.answers(agent(WHO + "@app.entrypoint\ndef invoke(payload): return bare()"))
        self.answers(
            agent(WHO + "@app.entrypoint\nasync def invoke(payload): return await asyncio.to_thread(bare)"),
        )

    def test_in_a_pool_of_the_agents_own(self):
        self.answers(agent(WHO + "@app.entrypoint\ndef invoke(payload): return own()"))

    def test_across_the_yields_of_a_generator(self):
        plain = "@app.entrypoint\ndef invoke(payload):\n yield who()\n yield bare()\n yield own()"
        self.answers(agent(WHO + plain), items=3)
        later = "@app.entrypoint\nasync def invoke(payload):\n yield await in_executor()\n"
        later += " yield await in_thread()\n await asyncio.sleep(0.01)\n yield await in_executor()"
        self.answers(agent(WHO + later), items=3)
        mixed = "def steps():\n yield who()\n yield bare()\n@app.entrypoint\nasync def invoke(payload): return steps()"
        self.answers(agent(WHO + mixed), items=2)

    def test_in_a_task_that_outlives_its_call(self):
        body = """
gate, found, tasks = asyncio.Event(), {}, []
@app.async_task
async def work(name):
    await gate.wait()
    found[name] = [who(False), await asyncio.get_running_loop().run_in_executor(None, who, False)]
@app.entrypoint
async def invoke(payload):
    if payload == "begin": tasks.append(asyncio.create_task(work(BedrockAgentCoreContext.get_session_id())))
    elif payload == "go":
        gate.set()
        await asyncio.gather(*tasks)
    return found
"""
        with Worker(agent(WHO + body)) as worker:
            worker.result("begin", session="one")
            worker.result("begin", session="two")
            found = json.loads(worker.result("go", session="three"))
            self.assertEqual(found, {"one": [["one", "r1"]] * 2, "two": [["two", "r2"]] * 2})
            done = [line for line in worker.log() if line["message"].startswith("Async task completed: work (0.")]
            self.assertEqual(sorted(line["sessionId"] for line in done), ["one", "two"])

    def test_what_a_thread_sets_stays_in_it(self):
        body = """
import contextvars
mine = contextvars.ContextVar("mine", default=0)
def work():
    mine.set(mine.get() + 1)
    return mine.get()
@app.entrypoint
DEF invoke(payload):
    mine.set(10)
    wrapped = BedrockAgentCoreContext.wrap(work)
    mine.set(20)
    return [wrapped(), wrapped(), mine.get(), wrapped.__name__]
"""
        for source in both(body):
            with Worker(source) as worker:
                self.assertEqual(worker.result(1), '[11, 11, 20, "work"]')


class Sizes(unittest.TestCase):
    MEET = """
barrier = threading.Barrier(100)
@app.entrypoint
def invoke(payload): return barrier.wait(15) >= 0
"""

    def grow(self, worker, more):
        worker.control.write(GROW, payload=more.to_bytes(4, "big"))

    def test_a_hundred_handlers_block_at_once(self):
        with Worker(agent(self.MEET)) as worker:
            self.assertEqual(worker.ready["max_threads"], 256)
            self.grow(worker, 96)
            calls = [worker.invoke(1) for _ in range(100)]
            self.assertEqual({call.all()[-1][1] for call in calls}, {b"true"})

    def test_there_are_no_more_threads_than_was_said(self):
        source = "import os\n@app.entrypoint\ndef invoke(payload):\n"
        source += " return sum(thread.name.startswith('agentcore-handler-') for thread in threading.enumerate())"
        with Worker(agent(source), "--max-threads", "50") as worker:
            self.assertEqual(worker.ready["max_threads"], 50)
            self.grow(worker, 1000)
            wait_until(lambda: worker.result(1) == "50")

    def test_the_executor_of_the_loop_has_as_many_threads(self):
        body = """
@app.entrypoint
async def invoke(count):
    barrier = threading.Barrier(count)
    loop = asyncio.get_running_loop()
    def meet():
        try: return barrier.wait(1) >= 0
        except threading.BrokenBarrierError: return False
    return all(await asyncio.gather(*(loop.run_in_executor(None, meet) for _ in range(count))))
"""
        with Worker(agent(body)) as worker:
            self.assertEqual(worker.result(100), "true")
        with Worker(agent(body), "--max-threads", "3") as worker:
            self.assertEqual([worker.result(3), worker.result(4)], ["true", "false"])


if __name__ == "__main__":
    unittest.main()
