"""The two servers of an agent's file: the same command, and another engine."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from exchange import Connection, request

# How long a server may take to become healthy, and to end.
LIMIT = 60
FOLDER = os.path.dirname(os.path.abspath(__file__))


class Server:
    """A server of one engine, in a process of its own; it is up when this is made."""

    def __init__(self, program, engine, agent, variant="", over_tcp=False):
        self.engine = engine
        self.folder = tempfile.mkdtemp(prefix="peer")
        self.place = _free_port() if over_tcp else os.path.join(self.folder, "socket")
        listen = f"{self.place[0]}:{self.place[1]}" if over_tcp else f"unix:{self.place}"
        variables = {"AGENTCORE_LISTEN": listen, "PEER_VARIANT": variant, "PYTHONDONTWRITEBYTECODE": "1"}
        file = os.path.join(FOLDER, "agents", agent)
        self._log = os.path.join(self.folder, "log")
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", file, "--engine", engine, "--python", sys.executable],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def wait(self):
        """Waits until it is healthy."""
        deadline = time.monotonic() + LIMIT
        while not self._is_healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"{self.engine} is not up after {LIMIT} s at most:\n{self.log()}")
            time.sleep(0.02)

    def log(self):
        """What it has said, the last of it."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def end(self):
        """Ends it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            # A stream that nobody reads any more holds up the official server.
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_healthy(self):
        try:
            with Connection(self.place) as connection:
                connection.send(request("GET /ping"))
                return connection.answer("GET").status == 200
        except OSError:
            return False


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()
