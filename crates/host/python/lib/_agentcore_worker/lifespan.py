"""The agent's start and end on the worker's event loop: its app is asked for them as an ASGI server asks."""

from __future__ import annotations

import asyncio
import sys

from bedrock_agentcore.runtime import _log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    from .loop import EventLoop


class Lifespan:
    """One task, in which the agent's lifespan is entered and left."""

    def __init__(self, app: Any, events: EventLoop) -> None:
        self._app = app
        self._events = events
        self._state: Dict[str, Any] = {}
        self._task: Optional[asyncio.Task[None]] = None
        self._started: asyncio.Event
        self._stopping: asyncio.Event
        self._failure: Optional[str] = None

    def begin(self) -> Dict[str, Any]:
        """Starts the agent; returns the state for its requests, or raises what has failed."""
        self._events.run(self._begin())
        return self._state

    def end(self, patience: float) -> None:
        """Ends the agent, within some seconds. What fails goes to the log."""
        if self._task is None:
            return
        try:
            # On a loop that a handler blocks nothing would ever end.
            self._events.run(self._end(patience), patience + 0.5)
        except BaseException as error:
            _log.emit(_log.ERROR, "The end of the agent's lifespan failed", error)

    async def _begin(self) -> None:
        self._started, self._stopping = asyncio.Event(), asyncio.Event()
        # The agent may set one of its own at its start.
        self._events.set_default_executor()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        self._task = asyncio.get_running_loop().create_task(self._run(scope))
        started = asyncio.get_running_loop().create_task(self._started.wait())
        await asyncio.wait((self._task, started), return_when=asyncio.FIRST_COMPLETED)
        if started.done() and self._failure is None:
            return
        started.cancel()
        task, self._task = self._task, None
        if self._failure is None and task.done():
            # Middleware that knows requests only. Servers go on then, and say so.
            reason = "" if task.exception() is None else f": {type(task.exception()).__name__}"
            _log.emit(_log.INFO, f"The agent's app does not take part in start and end{reason}")
            return
        # Raises what the app has raised.
        await task
        raise RuntimeError(self._failure)

    async def _end(self, patience: float) -> None:
        self._stopping.set()
        task = self._task
        assert task is not None
        done, _ = await asyncio.wait((task,), timeout=patience)
        if not done:
            _log.emit(_log.WARNING, "The end of the agent's lifespan took too long and was cut off")
            task.cancel()
            return
        await task
        if self._failure is not None:
            raise RuntimeError(self._failure)

    async def _run(self, scope: Dict[str, Any]) -> None:
        try:
            await self._app(scope, self._receive, self._send)
        except (SystemExit, KeyboardInterrupt) as error:
            # Not through the loop, which such an exception would stop.
            self._failure = f"{type(error).__name__}: {error}"
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    async def _receive(self) -> Dict[str, Any]:
        if not self._started.is_set():
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Dict[str, Any]) -> None:
        if message["type"].endswith(".failed"):
            self._failure = message.get("message") or "the agent's app says that it has failed"
        self._started.set()


def print_failure(error: BaseException) -> None:
    """Prints the traceback of what has failed at the start, without our frames above the agent's."""
    from . import agent_file

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("_agentcore_worker", "bedrock_agentcore", "contextlib"):
            agent_file.hide(getattr(module, "__file__", None) or "")
    agent_file.print_failure(error)
