"""The worker as a whole: its connections, its app, its status, and its end."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextvars import copy_context
from threading import Event, RLock, Thread, current_thread, main_thread

from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime import app as app_module
from bedrock_agentcore.runtime._values import encode
from bedrock_agentcore.runtime.app import BedrockAgentCoreApp
from bedrock_agentcore.runtime.models import PingStatus

from . import frames, output
from .calls import prepared, sound
from .threads import ThreadPool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any, Optional, Tuple

    from .lifespan import Lifespan
    from .link import Control, Server
    from .loop import EventLoop
    from .multiplex import Multiplex
    from .pinger import Pinger

# What is there before the server asks for more.
_FIRST_THREADS = 4
# How long READY waits for the agent's own ping handler, in seconds.
_FIRST_PING = 1.0
# What is kept of the time to end for the `finally` blocks of what is cut off, in seconds.
_CLEAN_UP = 1.0
# How long the output of an ending worker may take, in seconds.
_FLUSH = 0.5


class Worker:
    """This process. `app` is what it serves, from READY on."""

    app: BedrockAgentCoreApp

    def __init__(self, server: Server, control: Control, max_threads: int) -> None:
        self.server = server
        self._control = control
        self._max_threads = max_threads
        self._lock = RLock()
        self._wanted: Optional[str] = None
        self._deferred: Optional[BedrockAgentCoreApp] = None
        self._serving = False
        self._stopping = False
        self._is_ready = False
        self._stopped = Event()
        self._lifespan: Optional[Lifespan] = None
        self._status: Optional[Tuple[PingStatus, str]] = None
        self._pinger: Optional[Pinger] = None
        self._event_loop: Optional[EventLoop] = None
        self._multiplex: Optional[Multiplex] = None
        self.threads = ThreadPool(self, max_threads)
        # What the agent's file sets in its context while it loads, its handlers see.
        self.context = copy_context()

    def begin(self, wanted: Optional[str]) -> None:
        """Listens to the server, and makes `app.run()` mean this worker. `wanted` names the app to serve."""
        self._wanted = wanted
        app_module._worker = self
        os.register_at_fork(after_in_child=self._forked)
        Thread(target=self._listen, name="agentcore-control", daemon=True).start()

    def run(self, app: BedrockAgentCoreApp) -> None:
        """What `app.run()` does: serves, unless the file has to be read to its end first."""
        if self._wanted is not None and vars(sys.modules["__main__"]).get(self._wanted) is not app:
            return
        if "main" not in app.handlers:
            self._deferred = app
            return
        self.serve(app)

    def deferred(self) -> Optional[BedrockAgentCoreApp]:
        """Returns the app whose `run()` came before its entrypoint."""
        return self._deferred

    def serve(self, app: BedrockAgentCoreApp) -> None:
        """Answers calls until the server stops the agent."""
        interrupt = _leave_interrupts_to_the_server()
        with self._lock:
            is_first = not self._serving
            self._serving = True
        if is_first:
            # Without the lock: a lifespan takes its time, and the server may ask for the status meanwhile.
            self._start(app)
        self._wait_for_the_end(interrupt)

    def go_on_serving(self) -> None:
        """Waits for the same where another thread serves, or is about to: its `app` may not be there yet."""
        self._wait_for_the_end(_leave_interrupts_to_the_server())

    def is_serving(self) -> bool:
        """Returns whether some `app.run()` has begun."""
        return self._serving

    def event_loop(self) -> EventLoop:
        """Returns the event loop, and starts it the first time."""
        with self._lock:
            if self._event_loop is None:
                from .loop import EventLoop

                self._event_loop = EventLoop(self.context, self._max_threads)
                if hasattr(self, "app"):
                    self.app._worker_loop = self._event_loop.loop
                if self._is_ready:
                    self._event_loop.loop.call_soon_threadsafe(self._event_loop.set_default_executor)
            return self._event_loop

    def multiplex(self) -> Multiplex:
        """Returns the connection of the event loop, and opens it the first time."""
        with self._lock:
            if self._multiplex is None:
                from .multiplex import Multiplex

                self._multiplex = Multiplex(self, self.event_loop(), self.server.connect("loop"))
            return self._multiplex

    def report(self, status: PingStatus, source: str, asked: Optional[int] = None) -> None:
        """Tells the server the status and who decided it, if that is new or was asked for."""
        with self._lock:
            if (status, source) != self._status or asked is not None:
                self._status = (status, source)
                told = {"status": status.value, "source": source, "asked": asked}
                self._control.send(frames.STATUS, encode(told))

    def report_without_handler(self, asked: Optional[int] = None) -> None:
        """The same for a status that needs no handler."""
        with self._lock:
            source = "automatic" if self.app._forced_ping_status is None else "forced"
            self.report(self.app._without_handler(), source, asked)

    def load_failed(self, error: str, error_type: str) -> None:
        """Tells the server that there is no agent."""
        self._control.send(frames.LOAD_FAILED, encode({"error": sound(error), "error_type": error_type}))

    def end(self) -> None:
        """Ends the process at once: the server is gone, and nobody else needs it."""
        _exit(0)

    def fail(self, reason: str) -> None:
        """Ends the process because the server cannot be understood."""
        _log.emit(_log.ERROR, f"The worker ends: {reason}")
        _exit(1)

    def unwritable(self, link: socket) -> None:
        """Ends this process if it was not the server that closed a connection to it."""
        if self.server.is_forgotten:
            # A forked child that has come back from the handler. The call is its parent's.
            os._exit(0)
        try:
            os.fstat(link.fileno())
        except OSError:
            # What is opened from now on could get the number of a connection that is still in use.
            self.fail("the agent has closed the connections to the server")

    def _wait_for_the_end(self, interrupt: Any) -> None:
        self._stopped.wait()
        if interrupt is not None:
            signal.signal(signal.SIGINT, interrupt)

    def _start(self, app: BedrockAgentCoreApp) -> None:
        self.context = copy_context()
        self._begin_lifespan(app)
        self.app = app
        function = app.handlers.get("main")
        handler = None if function is None else prepared(function)
        if handler is None:
            _log.emit(_log.WARNING, "No entrypoint defined: register a function with `@app.entrypoint`")
        is_async = handler is not None and handler.is_async
        has_socket, is_asgi = app._websocket_handler is not None, app._answers_itself()
        if is_async or has_socket or is_asgi:
            self.multiplex()
        if has_socket or is_asgi:
            from .asgi import LoopRunner

            app._runner = LoopRunner(self.event_loop())
        if not is_async:
            self.threads.grow(_FIRST_THREADS)
            if sys.version_info < (3, 10) and "asyncio" in sys.modules:
                # What the file made with asyncio belongs to the loop of this thread there: the one to be run.
                self.event_loop()
        app._has_started = not is_asgi
        self._watch_status(app)
        ready = {
            "dispatch": "loop" if is_async else "thread",
            "max_threads": self._max_threads,
            "entrypoint": None if handler is None else handler.name,
            "debug": bool(app.debug),
            "ping": app._ping_handler is not None,
            "websocket": has_socket,
            "asgi": is_asgi,
        }
        self._control.send(frames.READY, encode(ready))
        self._is_ready = True
        if self._multiplex is not None:
            self._multiplex.prepare()

    def _begin_lifespan(self, app: BedrockAgentCoreApp) -> None:
        from bedrock_agentcore.runtime import _scope

        _scope.common["app"] = app
        if not app._has_lifespan():
            return
        from .lifespan import Lifespan, print_failure

        lifespan = Lifespan(app, self.event_loop())
        try:
            _scope.common["state"] = lifespan.begin()
        except BaseException as error:
            if not self._stopping:
                print_failure(error)
                self.load_failed(str(error), type(error).__name__)
            _exit(0 if self._stopping else 1)
        self._lifespan = lifespan

    def _watch_status(self, app: BedrockAgentCoreApp) -> None:
        app._run_coroutine = lambda coroutine: self.event_loop().run(coroutine)
        app._start_loop = lambda: self.event_loop().loop
        app._status_listener = self._status_changed
        if app._ping_handler is not None:
            # The first `/ping` should have the agent's own answer, but a slow one must not hold up the start.
            self._ping().ask(wait=_FIRST_PING)
        else:
            self.report_without_handler()

    def _status_changed(self) -> None:
        if self.app._asks_a_handler():
            self._ping().ask()
        else:
            self.report_without_handler()

    def _ping(self) -> Pinger:
        with self._lock:
            if self._pinger is None:
                from .pinger import Pinger

                self._pinger = Pinger(self)
            return self._pinger

    def _listen(self) -> None:
        try:
            self._control.receive(self._handle)
        except frames.ProtocolError as error:
            self.fail(str(error))
        self.end()

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind in (frames.GROW, frames.REFRESH, frames.STOP) and len(payload) != 4:
            raise frames.ProtocolError(f"a frame of kind {kind} with {len(payload)} bytes")
        if kind == frames.GROW:
            try:
                self.threads.grow(frames.u32_at(payload)[0])
            except (OSError, RuntimeError) as error:
                # Out of threads or file descriptors: those that are there go on.
                _log.emit(_log.WARNING, f"No more threads for handlers: {error}")
        elif kind == frames.REFRESH:
            self._refresh(frames.u32_at(payload)[0])
        elif kind == frames.STOP:
            grace = frames.u32_at(payload)[0] / 1000
            Thread(target=self._stop, args=(grace,), name="agentcore-stop", daemon=True).start()
        else:
            raise frames.ProtocolError(f"a frame of kind {kind} on the control connection")

    def _refresh(self, asked: int) -> None:
        if not hasattr(self, "app"):
            self.report(PingStatus.HEALTHY, "automatic", asked)
        elif self.app._asks_a_handler():
            self._ping().ask(asked)
        else:
            self.report_without_handler(asked)

    def _stop(self, grace: float) -> None:
        self._stopping = True
        deadline = time.monotonic() + grace
        # What has to be cut off cleans up before the time is over: the server ends the process then.
        clean_up = 0 if self._event_loop is None else min(_CLEAN_UP, grace / 3)
        last = deadline - clean_up * (1 if self._lifespan is None else 2)
        while self._is_busy() and time.monotonic() < last:
            time.sleep(0.01)
        if self._lifespan is not None:
            self._lifespan.end(deadline - clean_up - time.monotonic())
        if self._event_loop is not None:
            self._event_loop.cancel_tasks()
        # The thread in `serve` goes on, and with it the rest of the agent's file and the exit handlers.
        self._stopped.set()
        self._end_by(deadline)

    def _end_by(self, deadline: float) -> None:
        if not self._serving:
            _exit(0)
        time.sleep(max(deadline - time.monotonic(), 0.1))
        _exit(0)

    def _is_busy(self) -> bool:
        return self.threads.is_busy() or (self._multiplex is not None and bool(self._multiplex.calls))

    def _forked(self) -> None:
        app_module._worker = None
        self.server.forget()
        if self._multiplex is not None:
            self._multiplex.outlet.start_again()
        if hasattr(self, "app"):
            self.app._status_listener = None


def _leave_interrupts_to_the_server() -> Any:
    """Has Ctrl-C do nothing here: it reaches the server too. Returns the handler that was there, if it was replaced."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler or current_thread() is not main_thread():
        return None
    # No `SIG_IGN`, which the agent's children would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    return handler


def _exit(status: int) -> None:
    """Ends the process whatever its threads do, after the output that can still be written."""
    writer = Thread(target=output.flush, daemon=True)
    try:
        writer.start()
        writer.join(_FLUSH)
    except RuntimeError:
        # No thread can be started any more.
        pass
    os._exit(status)
