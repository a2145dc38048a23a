"""`app.run()` in a file that was started by hand (`python agent.py`): this process becomes the worker of a server that
it starts itself.

The agent's code runs where it was started, under the same debugger or tracer. There is no other worker: when the server
goes, `run()` ends, and when this process goes, so does the server.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from threading import Event, Lock, Thread, current_thread, main_thread

from bedrock_agentcore.runtime import app as app_module

from .link import Control, Server
from .main import MAX_THREADS
from .output import Output
from .program import KILL, STOP, ServerProcess, described
from .worker import Worker
from .worker import _exit as exit_at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Union

    from bedrock_agentcore.runtime.app import BedrockAgentCoreApp

    Handler = Union[Callable[..., Any], int, signal.Handlers, None]

LISTEN_VARIABLE = "AGENTCORE_LISTEN"

# How long a server may take to end after its worker has, in seconds.
_SERVER_ENDS = 5.0

_starting = Lock()


def attach(app: BedrockAgentCoreApp, port: int, host: Optional[str]) -> None:
    """Serves `app` until the server is told to end, by a signal to it or to this process."""
    if _is_imported_by_a_child():
        return
    with _starting:
        worker = app_module._worker
        if worker is None:
            worker = _begin(port, host)
    worker.run(app)


def _begin(port: int, host: Optional[str]) -> Attached:
    process = ServerProcess.start(_arguments(port, host), _interrupts_are_somebody_elses())
    # Taken out: a server that the agent starts for itself has another address.
    listen = os.environ.pop(LISTEN_VARIABLE, None)
    try:
        worker = Attached(process, listen)
        worker.begin(None)
    except BaseException:
        process.end()
        raise
    return worker


def _arguments(port: int, host: Optional[str]) -> List[str]:
    if os.environ.get(LISTEN_VARIABLE):
        # Whoever runs the agent knows better than its file.
        return ["attach"]
    return ["attach", "--port", str(port)] + ([] if host is None else ["--host", host])


def _is_imported_by_a_child() -> bool:
    """Returns whether `multiprocessing` imports the agent's file only for what it defines."""
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and getattr(process.current_process(), "_inheriting", False)


def _interrupts_are_somebody_elses() -> bool:
    handler = signal.getsignal(signal.SIGINT)
    return handler is signal.SIG_IGN or _is_of_a_debugger(handler)


def _is_of_a_debugger(handler: Handler) -> bool:
    bdb: Any = sys.modules.get("bdb")
    return bdb is not None and isinstance(getattr(handler, "__self__", None), bdb.Bdb)


class Attached(Worker):
    """The worker that has started its server."""

    def __init__(self, process: ServerProcess, listen: Optional[str]) -> None:
        server = Server(process.socket, process.token)
        super().__init__(server, Control(server), process.max_threads or MAX_THREADS)
        self._process = process
        self._told_address = listen
        self._signals = _Signals(process)
        self._output: Optional[Output] = None
        if _is_of_a_debugger(signal.getsignal(signal.SIGINT)):
            self._stopped = _Restless()
        self._wants: Optional[BedrockAgentCoreApp] = None
        # Whether the end that comes is the one that was asked for.
        self._is_told = False
        self._failure: Optional[str] = None

    def begin(self, wanted: Optional[str]) -> None:
        """As the other worker; and the server ends with this process, also if `run()` is in a daemon thread."""
        super().begin(wanted)
        atexit.register(self._process.end)
        self._output = Output(_is_of_a_debugger(signal.getsignal(signal.SIGINT)))

    def run(self, app: BedrockAgentCoreApp) -> None:
        """What `app.run()` does: serves; at the end of the file, if no entrypoint is registered yet."""
        with self._lock:
            is_first = self._wants is None
            self._wants = self._wants or app
        if self._wants is not app:
            raise RuntimeError("this process serves another app already")
        self._signals.take()
        if "main" in app.handlers or app._websocket_handler is not None or app._answers_itself():
            self.serve(app)
        elif is_first:
            Thread(target=self._serve_when_loaded, args=(app,), name="agentcore-serve").start()

    def serve(self, app: BedrockAgentCoreApp) -> None:
        """Answers calls until the server ends."""
        try:
            if not self._stopped.is_set():
                super().serve(app)
        except BaseException:
            # The second Ctrl-C, for one.
            self._process.order(KILL)
            self._close()
            raise
        failure = self._close()
        if failure is not None:
            raise RuntimeError(failure)
        self._signals.pass_on()

    def end(self) -> None:
        """The server is gone: so is this worker, but not its process."""
        self._stopped.set()

    def fail(self, reason: str) -> None:
        """Ends the server, because it cannot be understood."""
        self._failure = self._failure or reason
        self._process.order(KILL)
        self._stopped.set()

    def _stop(self, grace: float) -> None:
        self._is_told = True
        super()._stop(grace)

    def _end_by(self, deadline: float) -> None:
        # What comes after `run()` may take the time it likes, unless `run()` has never come to serving.
        if self._serving and not hasattr(self, "app"):
            exit_at_once(0)

    def _close(self) -> Optional[str]:
        """Ends what belongs to the worker, and returns what went wrong."""
        with _starting:
            if app_module._worker is self:
                app_module._worker = None
        if self._wants is not None:
            self._wants._status_listener = None
        self._control.shut()
        status = self._process.wait(_SERVER_ENDS)
        if status is None:
            self._process.end()
        else:
            self._process.close()
        self._signals.give_back()
        if self._output is not None:
            self._output.give_back()
        atexit.unregister(self._process.end)
        if self._told_address is not None:
            os.environ.setdefault(LISTEN_VARIABLE, self._told_address)
        if self._failure is not None:
            return f"the server of the agent was ended: {self._failure}"
        if self._is_told or status == 0:
            return None
        return f"the server of the agent has ended: {described(status)}"

    def _serve_when_loaded(self, app: BedrockAgentCoreApp) -> None:
        """Serves when the file has come to its end; not if it has failed."""
        before = getattr(sys, "last_value", None)
        main_thread().join()
        if getattr(sys, "last_value", None) is not before:
            self._process.end()
            return
        try:
            self.serve(app)
        except BaseException as error:
            print(f"error: {error}", file=sys.stderr)
            # There is nobody left to raise it to.
            os._exit(1)

    def _forked(self) -> None:
        super()._forked()
        self._process.forget()
        self._signals.give_back()


class _Restless(Event):
    """Wakes who waits from time to time: only where lines of Python run can a debugger stop the main thread."""

    def wait(self, timeout: Optional[float] = None) -> bool:
        while not super().wait(0.2):
            pass
        return True


class _Signals:
    """SIGINT and SIGTERM while the agent is served: the server ends it in order."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self._before: Dict[int, Handler] = {}
        self._heard: List[int] = []

    def take(self) -> None:
        """Takes over the handlers, where that is possible and they are nobody's who needs them."""
        if current_thread() is not main_thread() or self._before:
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            # `None` was not set from Python, and could not be given back.
            if handler is not None and handler is not signal.SIG_IGN and not _is_of_a_debugger(handler):
                self._before[number] = handler
                signal.signal(number, self._told)

    def give_back(self) -> None:
        """Has signals mean what they did before."""
        if current_thread() is main_thread():
            for number, handler in self._before.items():
                if signal.getsignal(number) == self._told:
                    signal.signal(number, handler)

    def pass_on(self) -> None:
        """Has the agent's own handlers hear what came meanwhile."""
        for number in dict.fromkeys(self._heard):
            handler = self._before[number]
            if callable(handler) and handler is not signal.default_int_handler:
                signal.raise_signal(number)

    def _told(self, number: int, frame: object) -> None:
        again = number == signal.SIGINT and number in self._heard
        self._heard.append(number)
        # A server in the same terminal has heard it too: that is the same wish.
        self._process.order(KILL if again else STOP)
        if again:
            raise KeyboardInterrupt
