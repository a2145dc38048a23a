"""The server's program: where it is found, and one that was started as a child of this process.

It is not ours to import: whoever needs it is told what to do when it is missing.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from threading import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Optional, Tuple

NAME = "agentcore-host"
VARIABLE = "AGENTCORE_HOST_BIN"
# What a server that was started by `app.run()` is told over its standard input.
STOP, KILL = b"s", b"k"

# How long a server that was told to end at once may take, in seconds.
_LAST_WORDS = 2.0


class ProgramMissing(RuntimeError):
    """The server's program is nowhere."""


def find() -> str:
    """Returns the path of the program: what the variable names, else beside this interpreter, else on PATH."""
    named = os.environ.get(VARIABLE)
    if named:
        if not _is_program(named):
            raise ProgramMissing(f"`{VARIABLE}` is `{named}`, which is no program")
        return named
    for folder in _folders():
        path = os.path.join(folder, NAME)
        if _is_program(path):
            return path
    raise ProgramMissing(
        f"the server of the agent is the program `{NAME}`, which is neither beside this Python nor on PATH: install it "
        f"with the package `{NAME}`, or name it in `{VARIABLE}`; or start the agent with `agentcore serve agent.py` "
        "(the name of your file), or install the official `bedrock-agentcore` package to serve it from Python"
    )


def _folders() -> Iterator[str]:
    if sys.executable:
        yield os.path.dirname(sys.executable)
    import sysconfig

    yield sysconfig.get_path("scripts")
    user = f"{os.name}_user"
    if user in sysconfig.get_scheme_names():
        yield sysconfig.get_path("scripts", user)
    yield from os.get_exec_path()


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


class ServerProcess:
    """The server, as a child of this process. It ends when this process does, whatever happens to either."""

    def __init__(self, pid: int, orders: int) -> None:
        self._pid: Optional[int] = pid
        self._orders = orders
        self._lock = Lock()
        self._status: Optional[int] = None
        self.socket = ""
        self.token = ""
        self.max_threads: Optional[int] = None

    @classmethod
    def start(cls, arguments: List[str], own_session: bool) -> ServerProcess:
        """Starts the server, and returns when it listens. One that cannot listen has said why, and ends this program.

        With `own_session` a Ctrl-C in the terminal does not reach it.
        """
        program = find()
        reads, orders = _pipe()
        told, tells = _pipe()
        try:
            pid = _spawn([program, *arguments], {0: reads, 1: tells}, own_session)
        except OSError as error:
            os.close(orders)
            os.close(told)
            raise RuntimeError(f"`{program}` cannot be started: {error.strerror}") from error
        finally:
            os.close(reads)
            os.close(tells)
        server = cls(pid, orders)
        try:
            server._listen_to(told)
        except BaseException:
            server.end()
            raise
        return server

    def _listen_to(self, pipe: int) -> None:
        with open(pipe, "rb") as lines:
            line = lines.readline()
        if line:
            from json import loads

            told: Dict[str, Any] = loads(line)
            self.socket, self.token, self.max_threads = told["socket"], told["token"], told["max_threads"]
            return
        status = self.wait(_LAST_WORDS)
        if status is None or status <= 0:
            raise RuntimeError(f"the server of the agent did not start: {described(status)}")
        # It has told the user what is wrong.
        raise SystemExit(status)

    def order(self, letter: bytes) -> None:
        """Tells the server to end; one that is gone needs no telling."""
        try:
            os.write(self._orders, letter)
        except OSError:
            pass

    def wait(self, patience: float) -> Optional[int]:
        """Returns how the server ended: its exit status, the negative number of a signal, or `None`: not yet."""
        deadline = time.monotonic() + patience
        while True:
            with self._lock:
                self._look()
                if self._pid is None:
                    return self._status
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.002)

    def end(self) -> Optional[int]:
        """Ends the server at once; returns as `wait` does. Nothing of it is left."""
        self.order(KILL)
        status = self.wait(_LAST_WORDS)
        with self._lock:
            self._look()
            if self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)
        if status is None:
            status = self.wait(_LAST_WORDS)
        self.close()
        return status

    def close(self) -> None:
        """Lets go of a server that has ended, and removes what one that was killed has left."""
        self._close()
        if self.socket:
            for remove, path in ((os.unlink, self.socket), (os.rmdir, os.path.dirname(self.socket))):
                try:
                    remove(path)
                except OSError:
                    # The server has done this itself.
                    pass

    def forget(self) -> None:
        """In a forked child: the server is the parent's, and must see the parent's end."""
        self._lock = Lock()
        self._pid = None
        # What the parent still needs.
        self.socket = ""
        self._close()

    def _look(self) -> None:
        if self._pid is None:
            return
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            # The agent has waited for all children, and for this one too.
            self._pid = None
            return
        if pid:
            self._pid = None
            self._status = os.waitstatus_to_exitcode(status)

    def _close(self) -> None:
        orders, self._orders = self._orders, -1
        if orders >= 0:
            os.close(orders)


def described(status: Optional[int]) -> str:
    """Says how a process ended: `exit status 3`, `signal 9 (SIGKILL)`."""
    if status is None:
        return "nobody knows how it ended"
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def _spawn(command: List[str], streams: Dict[int, int], own_session: bool) -> int:
    options: Dict[str, Any] = {
        "file_actions": [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in streams.items()],
        "setsigmask": (),
        # Python ignores it, and children would inherit that.
        "setsigdef": (signal.SIGPIPE,),
    }
    if own_session:
        try:
            return os.posix_spawn(command[0], command, os.environ, setsid=True, **options)
        except NotImplementedError:
            pass
    return os.posix_spawn(command[0], command, os.environ, **options)


def _pipe() -> Tuple[int, int]:
    """Returns a pipe that is none of the standard streams, where the agent has closed one of these."""
    ends = os.pipe()
    if min(ends) > 2:
        return ends
    import fcntl

    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
