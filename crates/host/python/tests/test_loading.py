"""How the agent's file is run, which app is served, and what is said when there is none."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

from agents import both
from server import STOP, Worker, wait_until

APP = """
from bedrock_agentcore import BedrockAgentCoreApp
app = BedrockAgentCoreApp()
"""
ENTRYPOINT = """
@app.entrypoint
def invoke(payload):
    return answer(payload)
"""
RUN = """
if __name__ == "__main__":
    app.run()
"""


def agent(body, run=RUN):
    return APP + ENTRYPOINT + "\n" + body + run


class AsMain(unittest.TestCase):
    def test_the_file_is_the_main_program(self):
        source = agent(
            """
import sys, os, pickle, inspect, dataclasses
import helper

@dataclasses.dataclass
class Thing:
    a: "int"

def answer(payload):
    main = sys.modules["__main__"]
    return {
        "name": __name__,
        "argv": sys.argv,
        "path": sys.path[:2],
        "last": os.path.basename(sys.path[-1]),
        "file": __file__,
        "same": main.Thing is Thing and main.__dict__ is globals(),
        "pickled": pickle.loads(pickle.dumps(Thing(1))) == Thing(1),
        "source": inspect.getsource(Thing).splitlines()[1],
        "helper": helper.NAME,
        "worker": [name for name in os.environ if name.startswith("AGENTCORE_WORKER")],
        "spec": __spec__,
    }
"""
        )
        with Worker(source, files={"helper.py": "NAME = 'helper'"}) as worker:
            answer = json.loads(worker.result({}))
            self.assertEqual(answer["path"][0], worker.folder)
            expected = {
                "name": "__main__",
                "argv": [worker.file],
                "last": "lib",
                "file": worker.file,
                "same": True,
                "pickled": True,
                "source": "class Thing:",
                "helper": "helper",
                "worker": [],
                "spec": None,
            }
            self.assertEqual({key: answer[key] for key in expected}, expected)

    def test_the_source_root_comes_after_the_folder(self):
        source = agent("import common, sys\ndef answer(payload):\n    return [common.NAME, sys.path[:2]]")
        with Worker(source, file="src/agent.py", files={"common.py": "NAME = 'root'"}) as worker:
            path = [os.path.join(worker.folder, "src"), worker.folder]
            self.assertEqual(json.loads(worker.result({})), ["root", path])

    def test_children_are_ordinary_pythons(self):
        source = agent(
            """
import multiprocessing, os, subprocess, sys

def double(number):
    return number * 2

def answer(payload):
    code = "import os; print([n for n in os.environ if n.startswith('AGENTCORE_WORKER')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.map(double, [1, 2])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        forked = pool.map(double, [3])
    return [printed, spawned, forked]
"""
        )
        with Worker(source) as worker:
            self.assertEqual(worker.result({}), '["[]", [2, 4], [6]]')

    def test_a_forked_child_does_not_hide_the_end_of_the_worker(self):
        source = agent(
            """
import os, time
def answer(payload):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    return child
"""
        )
        with Worker(source) as worker:
            child = int(worker.result({}))
            try:
                worker.process.kill()
                worker.process.wait()
                worker.control.connection.settimeout(10)
                wait_until(lambda: _is_closed(worker.control.connection))
            finally:
                os.kill(child, signal.SIGKILL)

    def test_a_forked_child_that_comes_back_from_the_handler_ends(self):
        body = """
import os
DEF answer(payload):
    child = os.fork()
    return "child" if child == 0 else [payload, os.waitpid(child, 0)[1]]
app.entrypoint(answer)
"""
        for source in both(body):
            with self.subTest(source), Worker(source) as worker:
                self.assertEqual([worker.result(1), worker.result(2)], ["[1, 0]", "[2, 0]"])
                self.assertEqual({link.hello["pid"] for link in worker.links}, {worker.process.pid})

    def test_no_connection_becomes_a_standard_stream(self):
        body = """
import os
for number in (0, 1):
    os.close(number)
DEF answer(payload):
    os.system("echo nonsense")
    return payload
app.entrypoint(answer)
"""
        for source in both(body):
            with self.subTest(source), Worker(source) as worker:
                self.assertEqual([worker.result(1), worker.result(2)], ["1", "2"])

    def test_an_agent_that_closes_the_connections_is_ended(self):
        body = """
import os
DEF answer(payload):
    os.closerange(3, 200)
    return payload
app.entrypoint(answer)
"""
        for source in both(body):
            with self.subTest(source), Worker(source) as worker:
                worker.invoke(1)
                worker.process.wait(10)
                self.assertEqual(worker.process.returncode, 1, worker.stderr())


class WhichApp(unittest.TestCase):
    def served(self, source, *arguments, **options):
        with Worker(source, *arguments, **options) as worker:
            self.assertIsNone(worker.failure, worker.stderr())
            return worker.result({})

    def test_without_run_the_one_app_is_served(self):
        self.assertEqual(self.served(agent("answer = lambda payload: 1", run="")), "1")

    def test_run_before_the_entrypoint_serves_at_the_end_of_the_file(self):
        source = APP + RUN + ENTRYPOINT + "\nanswer = lambda payload: 'late'"
        self.assertEqual(self.served(source), '"late"')

    def test_run_of_the_entrypoint_serves(self):
        self.assertEqual(self.served(agent("answer = lambda payload: 1", run="\ninvoke.run(port=9000)")), "1")

    def test_the_file_may_end_while_another_thread_begins_to_serve(self):
        source = """
import asyncio, contextlib, threading
from bedrock_agentcore import BedrockAgentCoreApp
begun = threading.Event()
@contextlib.asynccontextmanager
async def slow(app):
    begun.set()
    await asyncio.sleep(0.5)
    yield
app = BedrockAgentCoreApp(lifespan=slow)
app.entrypoint(lambda payload: 1)
threading.Thread(target=app.run).start()
begun.wait()
"""
        self.assertEqual(self.served(source), "1")

    def test_run_serves_from_another_thread_and_inside_an_event_loop(self):
        run = "\nimport threading\nthreading.Thread(target=app.run).start()"
        self.assertEqual(self.served(agent("answer = lambda payload: 1", run)), "1")
        run = "\nimport asyncio\nasync def main():\n    app.run()\nasyncio.run(main())"
        self.assertEqual(self.served(agent("answer = lambda payload: 1", run)), "1")

    def test_of_several_apps_app_is_served_unless_another_is_named(self):
        source = APP + "other = BedrockAgentCoreApp()\nanswer = lambda payload: 'app'" + ENTRYPOINT
        source += "\n@other.entrypoint\ndef second(payload):\n    return 'other'\n"
        self.assertEqual(self.served(source), '"app"')
        self.assertEqual(self.served(source, "--app", "other"), '"other"')
        self.assertEqual(self.served(source + RUN, "--app", "other"), '"other"')
        self.assertEqual(self.served(source + "other.run()", "--app", "app"), '"app"')

    def test_a_subclass_is_an_app(self):
        source = APP.replace("BedrockAgentCoreApp()", "type('Mine', (BedrockAgentCoreApp,), {})()") + ENTRYPOINT
        self.assertEqual(self.served(source + "\nanswer = lambda payload: 2"), "2")

    def test_an_app_without_an_entrypoint_is_served_and_says_so(self):
        with Worker(APP) as worker:
            self.assertIsNone(worker.ready["entrypoint"])
            self.assertEqual(worker.error({})["error"], "No entrypoint defined")
            self.assertEqual(worker.error(body=b"{")["status"], 400)


class Failing(unittest.TestCase):
    def failure(self, source, *arguments, **options):
        with Worker(source, *arguments, **options) as worker:
            self.assertIsNotNone(worker.failure, worker.stderr())
            status = worker.ended()
            return worker.failure["error_type"], worker.failure["error"], worker.stderr(), status

    def test_an_exception_is_printed_from_the_file_on(self):
        source = APP + "def outer():\n    import missing_module\nouter()\n"
        kind, error, printed, status = self.failure(source)
        self.assertEqual((kind, error, status), ("ModuleNotFoundError", "No module named 'missing_module'", 1))
        lines = printed.splitlines()
        self.assertEqual(lines[0], "Traceback (most recent call last):")
        self.assertIn('agent.py", line 6, in <module>', lines[1])
        self.assertEqual(lines[-1], "ModuleNotFoundError: No module named 'missing_module'")
        self.assertNotIn("_agentcore_worker", printed)

    def test_a_syntax_error_names_its_line(self):
        kind, error, printed, _ = self.failure("x = 1\ndef broken(:\n    pass\n")
        self.assertEqual(kind, "SyntaxError")
        self.assertIn("agent.py", error)
        self.assertIn("line 2", printed)
        self.assertNotIn("_agentcore_worker", printed)

    def test_what_the_native_engine_lacks_is_said_where_it_is_declared(self):
        files = {"starlette.py": "raise ImportError('none')"}
        kind, error, printed, _ = self.failure(APP + "app.add_middleware(object)\n", files=files)
        self.assertEqual(kind, "RuntimeError")
        self.assertIn("engine: sdk", error)
        self.assertIn("`add_middleware` needs Starlette", printed)

    def test_a_module_of_the_official_package_has_a_hint(self):
        _, error, printed, _ = self.failure("from bedrock_agentcore.memory import MemoryClient\n")
        self.assertEqual(error, "No module named 'bedrock_agentcore.memory'")
        self.assertIn("hint: `bedrock_agentcore.memory` is in the official", printed)
        _, error, _, _ = self.failure("from bedrock_agentcore import memory\n")
        self.assertIn("official", error)

    def test_a_file_without_an_app_says_so(self):
        kind, error, printed, status = self.failure("x = 1\n")
        self.assertEqual((kind, status), ("NoApp", 1))
        self.assertIn("the file makes no app", error)
        self.assertEqual(printed, f"error: {error}\n")
        two = "from bedrock_agentcore import BedrockAgentCoreApp as A\none, two = A(), A()\n"
        _, error, _, _ = self.failure(two)
        self.assertEqual(error, "the file makes several apps, `one`, `two`: name one (`agent.py:NAME`)")
        _, error, _, _ = self.failure(two, "--app", "three")
        self.assertEqual(error, "the file defines no `three`")
        _, error, _, _ = self.failure(two + "three = 3\n", "--app", "three")
        self.assertEqual(error, "`three` is a int, not a BedrockAgentCoreApp")

    def test_a_file_that_exits_is_an_error(self):
        kind, error, printed, status = self.failure("import sys\nsys.exit(0)\n")
        self.assertEqual((kind, status), ("SystemExit", 1))
        self.assertEqual(error, "the file ended the process with exit status 0, before it was served")
        _, _, printed, _ = self.failure("import sys\nsys.exit('set KEY first')\n")
        self.assertEqual(printed, "set KEY first\n")

    def test_a_server_that_the_file_starts_for_its_app_is_refused_at_its_start(self):
        # As far as uvicorn goes with an app that cannot be started.
        uvicorn = """
import asyncio, sys, threading

async def startup(app):
    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        if message["type"] == "lifespan.startup.failed":
            print(message["message"], file=sys.stderr)
            sys.exit(3)

    await app({"type": "lifespan", "state": {}}, receive, send)

def run(app):
    asyncio.run(startup(app))
"""
        files = {"uvicorn.py": uvicorn}
        _, error, printed, _ = self.failure(APP + "import uvicorn\nuvicorn.run(app)\n", files=files)
        self.assertIn("exit status 3", error)
        self.assertIn("`app.run()`", printed)
        beside = "import threading, uvicorn\nother = BedrockAgentCoreApp(lifespan=uvicorn.lifespan)\n"
        beside += "server = threading.Thread(target=uvicorn.run, args=(other,))\nserver.start()\nserver.join()\n"
        lifespan = "\nasync def lifespan(app):\n    print('up', flush=True)\n    yield\n"
        with Worker(agent(beside + "answer = str"), files={"uvicorn.py": uvicorn + lifespan}) as worker:
            self.assertEqual((worker.result(1), worker.stdout()), ('"1"', "up\n"))

    def test_threads_of_a_failed_file_do_not_keep_the_worker(self):
        source = "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n1 / 0\n"
        self.assertEqual(self.failure(source)[3], 1)

    def test_another_package_of_the_name_is_not_run_by_mistake(self):
        files = {"bedrock_agentcore/__init__.py": "BedrockAgentCoreApp = None\n"}
        kind, error, printed, status = self.failure(APP, files=files)
        self.assertEqual((kind, status), ("OtherPackage", 1))
        self.assertIn("engine: sdk", printed)
        with Worker(agent("answer = lambda payload: 1"), place="--native-first", files=files) as worker:
            self.assertEqual(worker.result({}), "1")

    def test_a_second_copy_of_ours_is_no_other_package(self):
        # As the wheel installs it; the server brings the copy that it knows.
        files = {
            "bedrock_agentcore/__init__.py": "BedrockAgentCoreApp = None\n",
            "_agentcore_worker/main.py": "",
        }
        with Worker(agent("answer = lambda payload: 1"), files=files) as worker:
            self.assertEqual(worker.result({}), "1")

    def test_a_missing_file_is_an_error(self):
        with Worker(APP, "--app", "app", wait=False) as worker:
            worker.loaded.wait(10)
        environment = {**os.environ, "AGENTCORE_WORKER_SOCKET": "/nonexistent", "AGENTCORE_WORKER_TOKEN": "x"}
        script = os.path.join(os.path.dirname(os.path.dirname(__file__)), "agentcore_worker.py")
        alone = subprocess.run([sys.executable, script, "agent.py"], capture_output=True, text=True)
        self.assertIn("AGENTCORE_WORKER_SOCKET is not set", alone.stderr)
        lost = subprocess.run([sys.executable, script, "agent.py"], env=environment, capture_output=True, text=True)
        self.assertNotEqual(lost.returncode, 0)


class Ending(unittest.TestCase):
    def test_stop_lets_a_call_finish_and_the_file_go_on(self):
        source = agent(
            """
import atexit, time
atexit.register(print, "at exit")
def answer(payload):
    print("begun")
    time.sleep(0.3)
    return "done"
""",
            run="\napp.run()\nprint('after run')\n",
        )
        with Worker(source) as worker:
            call = worker.invoke({})
            wait_until(lambda: worker.stdout() == "begun\n")
            worker.control.write(STOP, payload=(5000).to_bytes(4, "big"))
            self.assertEqual(call.all()[-1][1], b'"done"')
            self.assertEqual(worker.ended(), 0)
            self.assertEqual(worker.stdout(), "begun\nafter run\nat exit\n")

    def test_stop_cuts_background_tasks_and_runs_their_finally(self):
        source = (
            APP.replace("app =", "import asyncio\napp =")
            + """
async def work():
    try:
        await asyncio.sleep(60)
    finally:
        print("cleaned up")
tasks = []
@app.entrypoint
async def invoke(payload):
    tasks.append(asyncio.create_task(work()))
    await asyncio.sleep(0)
"""
        )
        with Worker(source) as worker:
            self.assertEqual(worker.result({}), "null")
            worker.control.write(STOP, payload=(5000).to_bytes(4, "big"))
            self.assertEqual(worker.ended(), 0)
            self.assertEqual(worker.stdout(), "cleaned up\n")
            wait_until(lambda: "Background tasks that are cut off by the end of the agent: 1" in worker.messages())

    def test_a_call_that_is_cut_off_cleans_up_within_the_grace(self):
        source = agent(
            """
import asyncio
@app.entrypoint
async def answer(payload):
    print("begun")
    try:
        await asyncio.sleep(60)
    finally:
        print("cleaned up")
"""
        )
        with Worker(source) as worker:
            worker.invoke({})
            wait_until(lambda: worker.stdout() == "begun\n")
            begun = time.monotonic()
            worker.control.write(STOP, payload=(3000).to_bytes(4, "big"))
            wait_until(lambda: worker.stdout() == "begun\ncleaned up\n")
            # The server ends the process when the time is over.
            self.assertLess(time.monotonic() - begun, 2.9)

    def test_the_grace_is_a_limit(self):
        source = agent("import time\ndef answer(payload):\n    time.sleep(60)")
        with Worker(source) as worker:
            worker.invoke({})
            worker.control.write(STOP, payload=(200).to_bytes(4, "big"))
            self.assertEqual(worker.ended(), 0)

    def test_the_end_of_the_control_connection_ends_the_worker(self):
        source = agent("import time\ndef answer(payload):\n    print('here')\n    time.sleep(60)")
        with Worker(source) as worker:
            worker.invoke({})
            wait_until(lambda: worker.stdout() == "here\n")
            worker.control.shut()
            self.assertEqual(worker.ended(), 0)

    def test_it_ends_too_while_the_file_still_loads(self):
        with Worker("import time\nprint('loading')\ntime.sleep(60)\n", wait=False) as worker:
            wait_until(lambda: worker.stdout() == "loading\n" and worker.control is not None)
            worker.control.shut()
            self.assertEqual(worker.ended(), 0)

    def test_an_interrupt_leaves_the_end_to_the_server(self):
        with Worker(agent("answer = lambda payload: 1")) as worker:
            worker.process.send_signal(signal.SIGINT)
            self.assertEqual(worker.result({}), "1")
            self.assertIsNone(worker.process.poll())

    def test_nonsense_from_the_server_ends_the_worker(self):
        for role, kind in (("control", 99), ("thread", 3)):
            with Worker(agent("answer = lambda payload: 1")) as worker:
                link = worker.control if role == "control" else worker.idle.get()
                link.write(kind)
                self.assertEqual(worker.ended(), 1)
                self.assertIn("The worker ends", worker.stderr())


def _is_closed(connection):
    try:
        return connection.recv(1) == b""
    except OSError:
        return True


if __name__ == "__main__":
    unittest.main()
