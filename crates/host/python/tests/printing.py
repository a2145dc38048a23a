"""Pieces of Python that print, at a terminal or into pipes, and what comes out of them."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import textwrap
import threading

import support
from server import PATIENCE

from _agentcore_worker.output import VARIABLE

BEFORE = """
import contextvars, io, logging, os, signal, sys, threading, time
sys.path.insert(0, {lib!r})
from _agentcore_worker import lines, output
from _agentcore_worker.output import Output
from bedrock_agentcore.runtime._invocation import Invocation, current

def of(session):
    context = contextvars.copy_context()
    context.run(current.set, Invocation("r", session, []))
    return context.run

"""


class Reader:
    """What comes out of one end, read on a thread of its own."""

    def __init__(self, end):
        self.end = end
        self.data = b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def text(self):
        """Returns all of it, once it has ended, with the line breaks of a file."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), self.data
        return self.so_far()

    def so_far(self):
        return self.data.decode(errors="replace").replace("\r\n", "\n")

    def _read(self):
        while True:
            try:
                data = os.read(self.end, 65536)
            except OSError:
                # How Linux says that nobody has the terminal open any more.
                data = b""
            if not data:
                os.close(self.end)
                return
            self.data += data


def terminal():
    """Returns the two ends of a terminal, wide enough for every test."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    return ours, theirs


class Program:
    """A piece of Python that runs at a terminal, or with a pipe for each stream."""

    def __init__(self, code, at_terminal=False, merged=False, arguments=(), read=True):
        environment = dict(os.environ)
        environment.pop("PYTHONUNBUFFERED", None)
        if merged:
            environment[VARIABLE] = "merged"
        ends = [terminal()] * 2 if at_terminal else [os.pipe(), os.pipe()]
        ours, theirs = zip(*ends)
        source = BEFORE.format(lib=support.LIB) + textwrap.dedent(code)
        self.process = subprocess.Popen(
            [sys.executable, *arguments, "-c", source],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs[0],
            stderr=theirs[1],
        )
        for end in set(theirs):
            os.close(end)
        self.ends = ours
        if read:
            self.read()

    def read(self):
        self.out = Reader(self.ends[0])
        self.err = self.out if self.ends[0] == self.ends[1] else Reader(self.ends[1])

    def finish(self):
        """Returns the exit status and what was written to both streams."""
        try:
            status = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        return status, self.out.text(), self.err.text()


def shown(code, **options):
    """Returns what a person sees of a program at a terminal."""
    status, text, _ = Program(code, at_terminal=True, **options).finish()
    assert status == 0, text
    return text


def merged(code, **options):
    """Returns what a front door gets over the pipe of standard error; nothing comes over the other one."""
    status, out, err = Program(code, merged=True, **options).finish()
    assert (status, out) == (0, ""), (status, out, err)
    return err


def pending(end):
    """Returns how much waits to be read."""
    return struct.unpack("i", fcntl.ioctl(end, termios.FIONREAD, b"\0" * 4))[0]


# An agent that prints.
WRITER = """
import logging, os, sys
@app.entrypoint
def invoke(payload):
    for number in range(payload["times"]):
        print(payload["text"], number, end=payload.get("end"), flush=True)
    print("err", file=sys.stderr)
    logging.getLogger("agent").warning("logged")
    print(*sorted(name for name in os.environ if name.startswith("AGENTCORE")))
    if "exit" in payload:
        print("last", end="")
        payload["exit"] == "exit" and os._exit(3) or sys.exit(3)
    return 1
"""
