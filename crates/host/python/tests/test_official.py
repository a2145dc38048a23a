"""The launcher of the official SDK, beside stand-ins for that package and for uvicorn: only the address is ours."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import unittest

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

UVICORN = """
import json
class Config:
    def __init__(self, app, host="127.0.0.1", port=8000, uds=None, fd=None, **options):
        self.app, self.host, self.port, self.uds, self.fd, self.options = app, host, port, uds, fd, options
class Server:
    def __init__(self, config):
        self.config = config
    def run(self):
        config = self.config
        where = config.uds or f"{config.host}:{config.port}"
        print(json.dumps([getattr(config.app, "name", None), where, config.options]))
def run(app, **options):
    Server(Config(app, **options)).run()
"""
RUNTIME = """
class BedrockAgentCoreApp:
    def __init__(self, name="app"):
        self.name = name
    def run(self, port=8080, host=None, **options):
        import uvicorn
        uvicorn.run(self, host=host or "127.0.0.1", port=port, **options)
"""
APP = "from bedrock_agentcore import BedrockAgentCoreApp\napp = BedrockAgentCoreApp()\n"


class Official(unittest.TestCase):
    def run_agent(self, source, *arguments, listen="127.0.0.1:9999"):
        with tempfile.TemporaryDirectory() as folder:
            folder = os.path.realpath(folder)
            files = {
                "site/uvicorn.py": UVICORN,
                "site/bedrock_agentcore/__init__.py": "from .runtime import BedrockAgentCoreApp\n",
                "site/bedrock_agentcore/runtime/__init__.py": RUNTIME,
                "agent.py": source,
            }
            for name, content in files.items():
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(textwrap.dedent(content))
            environment = {**os.environ, "PYTHONPATH": os.path.join(folder, "site"), "AGENTCORE_LISTEN": listen}
            command = [
                sys.executable,
                "-u",
                os.path.join(PACKAGE, "agentcore_sdk.py"),
                os.path.join(folder, "agent.py"),
            ]
            ended = subprocess.run(
                [*command, *arguments, "--source-root", folder],
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.folder = folder
            return ended

    def served(self, source, *arguments, **options):
        ended = self.run_agent(source, *arguments, **options)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def test_its_own_run_serves_where_it_was_told(self):
        guarded = APP + "if __name__ == '__main__':\n    app.run(port=8080, host='0.0.0.0', log_level='debug')\n"
        self.assertEqual(self.served(guarded), [["app", "127.0.0.1:9999", {"log_level": "debug"}]])
        self.assertEqual(self.served(APP + "app.run(port=7000)"), [["app", "127.0.0.1:9999", {}]])
        self.assertEqual(self.served(APP + "app.run()", listen="unix:/tmp/x.sock"), [["app", "/tmp/x.sock", {}]])
        self.assertEqual(self.served(APP + "app.run()", listen="[::1]:9000"), [["app", "::1:9000", {}]])

    def test_without_run_the_app_is_served_at_the_end(self):
        self.assertEqual(self.served(APP), [["app", "127.0.0.1:9999", {}]])
        two = APP + "other = BedrockAgentCoreApp('other')\n"
        self.assertEqual(self.served(two)[0][0], "app")
        self.assertEqual(self.served(two, "--app", "other")[0][0], "other")
        self.assertEqual(self.served(two + "app.run()\n", "--app", "other")[0][0], "other")

    def test_a_server_of_its_own_is_the_agent_or_is_left_alone(self):
        wrapped = APP + "import uvicorn\nuvicorn.Server(uvicorn.Config(object(), port=8080)).run()\n"
        self.assertEqual(self.served(wrapped), [[None, "127.0.0.1:9999", {}]])
        beside = APP + "import uvicorn\nuvicorn.run(object(), port=9001)\napp.run()\n"
        self.assertEqual(self.served(beside), [[None, "127.0.0.1:9001", {}], ["app", "127.0.0.1:9999", {}]])

    def test_the_file_is_the_main_program_and_knows_nothing_of_us(self):
        source = (
            APP
            + """
import json, os, sys
print(json.dumps([__name__, sys.argv == [__file__], sys.path[0] == os.path.dirname(__file__),
    "AGENTCORE_LISTEN" in os.environ, any(path.startswith(sys.orig_argv[2][:-17]) for path in sys.path)]))
"""
        )
        if hasattr(sys, "orig_argv"):
            self.assertEqual(self.served(source)[0], ["__main__", True, True, False, False])

    def test_a_file_that_fails_shows_its_own_traceback(self):
        ended = self.run_agent(APP + "import missing_module\n")
        self.assertEqual(ended.returncode, 1)
        lines = ended.stderr.splitlines()
        self.assertIn('agent.py", line 3', lines[1])
        self.assertEqual(lines[-1], "ModuleNotFoundError: No module named 'missing_module'")
        ended = self.run_agent("x = 1\n")
        self.assertEqual((ended.returncode, ended.stderr[:29]), (1, "error: the file makes no app:"))
        self.assertEqual(self.run_agent("import sys\nsys.exit(7)").returncode, 7)

    def test_an_address_that_makes_no_sense_is_an_error(self):
        for listen in ("", "8080", "host:", "host:99999", "unix:"):
            ended = self.run_agent(APP, listen=listen)
            self.assertEqual(ended.returncode, 1)
            self.assertIn("expected `host:port` or `unix:/path`", ended.stderr)


if __name__ == "__main__":
    unittest.main()
