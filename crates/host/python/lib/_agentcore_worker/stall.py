"""Tells of handlers that block the event loop: while one does, no other call of the loop goes on.

Only tells of it. What takes too long is the server's to decide.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextvars import copy_context
from threading import Event
from time import perf_counter, sleep

from bedrock_agentcore.runtime import _log

from .running import tell
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Dict, Optional

    from .loop import EventLoop
    from .running import Running
    from .worker import Worker

# From when on it is told, in seconds, and what a process is given that was stopped as a whole until then.
_LONG = 1.0
_AFTERWARDS = 0.1
# How often the loop is asked, in seconds, and after how many times without a call no more.
_PERIOD = 0.25
_TIMES = 4
# What stands in a stack above the agent's code.
_ABOVE = tuple(os.path.dirname(os.path.abspath(file)) + os.sep for file in (__file__, _log.__file__, asyncio.__file__))


class Stalls:
    """Watches a loop while calls are open on it."""

    def __init__(self, worker: Worker, events: EventLoop, calls: Dict[int, Running]) -> None:
        self._worker = worker
        self._events = events
        self._calls = calls
        self._quiet = 0
        self.watch = Watch("agentcore-stalls", self._look)

    def _look(self) -> bool:
        sleep(_PERIOD)
        if not self._calls:
            self._quiet += 1
            return self._quiet < _TIMES
        self._quiet = 0
        answered, asked = Event(), perf_counter()
        self._events.loop.call_soon_threadsafe(answered.set)
        if answered.wait(_LONG) or answered.wait(_AFTERWARDS):
            return True
        task = self._task()
        calls = list(self._calls.values())
        running = next((it for it in calls if task is not None and task in (it.task, it.sending)), None)
        what, stack = self._name(running, task), _stack(sys._current_frames().get(self._events.ident()))
        # In contexts of their own, with the ids of the call.
        invocation = None if running is None else running.invocation
        copy_context().run(tell, invocation, f"The event loop is blocked by {what}: no other call goes on{stack}")
        answered.wait()
        took = perf_counter() - asked
        copy_context().run(tell, invocation, f"The event loop goes on, {what} has blocked it for {took:.1f}s")
        return True

    def _task(self) -> Optional[asyncio.Task[Any]]:
        try:
            return asyncio.current_task(self._events.loop)
        except RuntimeError:
            # Not to be had from another thread.
            return None

    def _name(self, running: Optional[Running], task: Optional[asyncio.Task[Any]]) -> str:
        if running is not None:
            return running.name(self._worker.app)
        if task is not None:
            return f"the task `{getattr(task.get_coro(), '__qualname__', task.get_name())}`"
        return "a callback"


def _stack(frame: Optional[FrameType]) -> str:
    """Returns the stack of the agent's code, as in a traceback."""
    if frame is None:
        return ""
    import traceback

    entries = traceback.extract_stack(frame)
    inner = [entry.filename.startswith(_ABOVE) for entry in entries]
    if True in inner:
        # The agent's code begins below the frames of the loop and of ours. Further down it may call both.
        first = inner.index(True)
        entries[: (inner + [False]).index(False, first)] = []
    return "\n" + "".join(traceback.format_list(entries)).rstrip()
