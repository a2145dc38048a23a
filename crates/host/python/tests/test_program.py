"""Where the server's program is found, how it is started, and what `python -m bedrock_agentcore` is told."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import support
from _agentcore_worker import attach
from _agentcore_worker.program import KILL, STOP, ProgramMissing, ServerProcess, described, find
from bedrock_agentcore.__main__ import UsageError, options


class Home(unittest.TestCase):
    """A folder with programs."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="program-")
        self.addCleanup(shutil.rmtree, self.folder)

    def program(self, script="exit 0", name="agentcore-host", mode=0o755):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(path, mode)
        return path

    def environment(self, **variables):
        return mock.patch.dict(os.environ, {"PATH": self.folder, **variables}, clear=True)


class Finding(Home):
    def test_the_variable_comes_first_then_the_interpreter_then_path(self):
        on_path = self.program()
        named = self.program(name="named/server")
        beside = self.program(name="bin/agentcore-host")
        nowhere = mock.patch.object(sys, "executable", os.path.join(self.folder, "empty/python"))
        here = mock.patch.object(sys, "executable", os.path.join(self.folder, "bin/python"))
        with nowhere, mock.patch("sysconfig.get_path", lambda *_: os.path.join(self.folder, "empty")):
            with self.environment():
                self.assertEqual(find(), on_path)
            with here, self.environment():
                self.assertEqual(find(), beside)
            with here, self.environment(AGENTCORE_HOST_BIN=named):
                self.assertEqual(find(), named)

    def test_what_is_missing_is_said_and_what_to_do(self):
        self.program(mode=0o644)
        with mock.patch.object(sys, "executable", ""), self.environment(), self.assertRaises(ProgramMissing) as caught:
            with mock.patch("sysconfig.get_path", lambda *_: self.folder):
                find()
        for part in ("`agentcore-host`", "AGENTCORE_HOST_BIN", "agentcore serve agent.py", "official"):
            self.assertIn(part, str(caught.exception))
        with self.environment(AGENTCORE_HOST_BIN="/nowhere"), self.assertRaisesRegex(ProgramMissing, "/nowhere"):
            find()


class Starting(Home):
    def start(self, script, own_session=False):
        with self.environment(AGENTCORE_HOST_BIN=self.program(script), PATH=os.environ["PATH"]):
            return ServerProcess.start(["attach", "--port", "1"], own_session)

    def test_it_tells_its_place_and_takes_orders(self):
        said = os.path.join(self.folder, "said")
        server = self.start(
            f"""
echo '{{"socket": "{self.folder}/left/1", "token": "'"$1 $2 $3"'", "max_threads": 7}}'
mkdir {self.folder}/left; touch {self.folder}/left/1
cat > {said}
exit 4"""
        )
        self.assertEqual((server.token, server.max_threads), ("attach --port 1", 7))
        self.assertIsNone(server.wait(0))
        server.order(STOP)
        server.order(KILL)
        # The end of this process, as far as it can see.
        server._close()
        self.assertEqual(server.wait(20), 4)
        server.close()
        with open(said, encoding="utf-8") as file:
            self.assertEqual(file.read(), "sk")
        self.assertFalse(os.path.exists(f"{self.folder}/left"), "what a killed server leaves is removed")
        # Nobody is there any more.
        server.order(STOP)
        self.assertEqual(server.end(), 4)

    def test_one_that_does_not_heed_is_killed(self):
        server = self.start('echo \'{"socket": "", "token": "", "max_threads": null}\'; exec sleep 60')
        with mock.patch("_agentcore_worker.program._LAST_WORDS", 0.1):
            server.end()
        self.assertEqual(server.wait(20), -signal.SIGKILL)

    def test_one_that_cannot_serve_has_said_why(self):
        with self.assertRaises(SystemExit) as caught:
            self.start("exit 3")
        self.assertEqual(caught.exception.code, 3)
        with self.assertRaisesRegex(RuntimeError, r"did not start: signal 9 \(SIGKILL\)"):
            self.start("kill -9 $$")

    def test_one_that_cannot_be_run_is_an_error(self):
        path = self.program()
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/nowhere/sh\n")
        with self.environment(AGENTCORE_HOST_BIN=path), self.assertRaisesRegex(RuntimeError, "cannot be started"):
            ServerProcess.start([], True)

    def test_ends_are_described_as_the_server_does(self):
        ends = {3: "exit status 3", -9: "signal 9 (SIGKILL)", -50: "signal 50", None: "nobody knows how it ended"}
        for status, text in ends.items():
            self.assertEqual(described(status), text)


class Attaching(unittest.TestCase):
    def test_the_environment_says_where_before_the_file_does(self):
        with mock.patch.dict(os.environ, {"AGENTCORE_LISTEN": ""}):
            self.assertEqual(attach._arguments(8080, None), ["attach", "--port", "8080"])
            self.assertEqual(attach._arguments(1, "::1"), ["attach", "--port", "1", "--host", "::1"])
        with mock.patch.dict(os.environ, {"AGENTCORE_LISTEN": "unix:/run/a"}):
            self.assertEqual(attach._arguments(1, "::1"), ["attach"])

    def test_a_debuggers_interrupt_is_left_to_it(self):
        import pdb

        self.assertTrue(attach._is_of_a_debugger(pdb.Pdb(stdin=sys.stdin).sigint_handler))
        self.assertFalse(attach._is_of_a_debugger(signal.default_int_handler))
        self.assertFalse(attach._is_of_a_debugger(signal.SIG_DFL))

    def test_a_file_that_multiprocessing_imports_does_not_serve(self):
        import multiprocessing.process

        self.assertFalse(attach._is_imported_by_a_child())
        process = multiprocessing.process.current_process()
        with mock.patch.object(process, "_inheriting", True, create=True):
            self.assertTrue(attach._is_imported_by_a_child())
            with mock.patch.object(attach, "_begin", side_effect=AssertionError("a server was started")):
                attach.attach(None, 8080, None)


class Module(unittest.TestCase):
    def test_arguments_become_the_servers(self):
        served = ["serve", "agent.py:app", "--python", sys.executable, "--engine", "native"]
        for typed, expected in (
            ("agent.py:app", served),
            ("agent.py:app --port 80 --host ::1", [*served, "--port=80", "--host=::1"]),
            ("--host=0.0.0.0 --port=0 agent.py:app", [*served, "--host=0.0.0.0", "--port=0"]),
        ):
            self.assertEqual(options(typed.split()), expected)

    def test_what_cannot_be_meant_is_said(self):
        for typed, said in (
            ("", "no file of an agent is named"),
            ("a.py b.py", "unexpected argument `b.py`"),
            ("a.py --prot 1", "unknown option `--prot`"),
            ("a.py --port", "`--port` needs a value"),
            ("a.py --port=", "`--port` needs a value"),
            ("a.py --port 65536", "`65536` is not a port"),
            ("a.py --port ²", "`²` is not a port"),
        ):
            with self.subTest(typed), self.assertRaises(UsageError) as caught:
                options(typed.split())
            self.assertIn(said, str(caught.exception))

    def test_usage_errors_are_two_lines_and_class_2(self):
        command = [sys.executable, "-m", "bedrock_agentcore"]
        environment = {**os.environ, "PYTHONPATH": support.LIB, "AGENTCORE_HOST_BIN": "/nowhere"}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        self.assertEqual(len(ran.stderr.splitlines()), 2, ran.stderr)
        helped = subprocess.run([*command, "--help"], env=environment, capture_output=True, text=True)
        self.assertEqual((helped.returncode, helped.stderr), (0, ""))
        missing = subprocess.run([*command, "agent.py"], env=environment, capture_output=True, text=True)
        self.assertEqual(missing.returncode, 3)
        self.assertIn("error: `AGENTCORE_HOST_BIN` is `/nowhere`", missing.stderr)

    def test_an_old_python_is_named(self):
        code = "import sys; sys.version_info = (3, 8, 18, 'final', 0); import bedrock_agentcore"
        environment = {**os.environ, "PYTHONPATH": support.LIB}
        ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        last = ran.stderr.splitlines()[-1]
        self.assertEqual(last, "ImportError: bedrock_agentcore needs Python 3.9 or newer, and this is Python 3.8")


if __name__ == "__main__":
    unittest.main()
