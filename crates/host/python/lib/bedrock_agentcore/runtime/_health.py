"""Background tasks and the status of the agent.

The status is, in this order: forced, what the agent's own ping handler says, busy while a task runs. It is worked out
here and handed to whoever listens; who asks for it over the network never waits for this process.
"""

from __future__ import annotations

import os
import time
from functools import wraps
from threading import Lock

from . import _log
from ._handler import is_async, is_coroutine_function, name_of
from ._private import Private
from .models import PingStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Awaitable, Callable, Dict, Optional, Tuple, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])
    A = TypeVar("A", bound=Callable[..., Awaitable[Any]])


class Health(Private):
    """The part of an app that knows how the agent is."""

    def __init__(self) -> None:
        self._active_tasks: Dict[int, Dict[str, Any]] = {}
        self._task_counter_lock = Lock()
        self._forced_ping_status: Optional[PingStatus] = None
        self._ping_handler: Optional[Callable[[], Any]] = None
        self._last_known_status: Optional[PingStatus] = None
        self._last_status_update_time: float = time.time()
        # Set by the worker: called when the status may have changed, from whatever thread changed it.
        self._status_listener: Optional[Callable[[], None]] = None
        # Set by the worker: runs a coroutine on its event loop and returns the result.
        self._run_coroutine: Optional[Callable[[Any], Any]] = None

    def ping(self, func: F) -> F:
        """Makes a function, plain or async, say the status of the agent."""
        self._ping_handler = func
        self._changed()
        return func

    def async_task(self, func: A) -> A:
        """Makes the agent busy while a call of this coroutine function runs."""
        if not is_coroutine_function(func):
            raise ValueError("@async_task can only be applied to async functions")
        name = name_of(func)

        @wraps(func)
        async def tracked(*args: Any, **kwargs: Any) -> Any:
            task_id = self.add_async_task(name)
            started = time.perf_counter()
            try:
                if _log.is_enabled(_log.DEBUG):
                    _log.emit(_log.DEBUG, f"Starting async task: {name}")
                result = await func(*args, **kwargs)
            except Exception as error:
                _log.emit(_log.ERROR, f"Async task failed: {name} ({time.perf_counter() - started:.3f}s)", error)
                raise
            else:
                _log.emit(_log.INFO, f"Async task completed: {name} ({time.perf_counter() - started:.3f}s)")
                return result
            finally:
                self.complete_async_task(task_id)

        tracked.__name__ = name
        return tracked  # type: ignore[return-value]

    def add_async_task(self, name: str, metadata: Optional[Dict[str, Any]] = None) -> int:
        """Begins a task: the agent is busy until `complete_async_task` is called with the number returned."""
        # From the system, not from a generator that was seeded before a snapshot. Positive, and exact in any JSON.
        task_id = int.from_bytes(os.urandom(8), "big") >> 11
        task: Dict[str, Any] = {"name": name, "start_time": time.time()}
        if metadata:
            task["metadata"] = metadata
        with self._task_counter_lock:
            self._active_tasks[task_id] = task
        self._changed()
        _log.emit(_log.INFO, f"Async task started: {name} (ID: {task_id})")
        return task_id

    def complete_async_task(self, task_id: int) -> bool:
        """Ends a task; returns whether there was one."""
        with self._task_counter_lock:
            task = self._active_tasks.pop(task_id, None)
        if task is None:
            _log.emit(_log.WARNING, f"Attempted to complete unknown task ID: {task_id}")
            return False
        self._changed()
        duration = time.time() - task["start_time"]
        _log.emit(_log.INFO, f"Async task completed: {task['name']} (ID: {task_id}, Duration: {duration:.2f}s)")
        return True

    def get_async_task_info(self) -> Dict[str, Any]:
        """Returns the number of running tasks, and of each its name and its duration in seconds."""
        with self._task_counter_lock:
            tasks = list(self._active_tasks.values())
        now = time.time()
        jobs = []
        for task in tasks:
            try:
                jobs.append({"name": task["name"], "duration": now - task["start_time"]})
            except (KeyError, TypeError) as error:
                _log.emit(_log.WARNING, f"Caught exception, continuing...: {error}")
        return {"active_count": len(tasks), "running_jobs": jobs}

    def force_ping_status(self, status: PingStatus) -> None:
        """Makes the agent have this status until `clear_forced_ping_status`."""
        self._forced_ping_status = PingStatus(status)
        self._changed()

    def clear_forced_ping_status(self) -> None:
        """Ends `force_ping_status`."""
        self._forced_ping_status = None
        self._changed()

    def get_current_ping_status(self) -> PingStatus:
        """Returns the status of the agent; asks its ping handler if it has one."""
        return self._decided()[0]

    def _decided(self) -> Tuple[PingStatus, str]:
        forced = self._forced_ping_status
        asked = None if forced else self._asked()
        source = "forced" if forced else "custom" if asked else "automatic"
        return self._note(forced or asked or self._automatic()), source

    def _asks_a_handler(self) -> bool:
        return self._ping_handler is not None and self._forced_ping_status is None

    def _without_handler(self) -> PingStatus:
        return self._note(self._forced_ping_status or self._automatic())

    def _automatic(self) -> PingStatus:
        return PingStatus.HEALTHY_BUSY if self._active_tasks else PingStatus.HEALTHY

    def _asked(self) -> Optional[PingStatus]:
        handler = self._ping_handler
        if handler is None:
            return None
        try:
            if is_async(handler):
                return self._asked_async(handler)
            answer = handler()
            return None if answer is None else PingStatus(answer)
        except Exception as error:
            _log.emit(
                _log.WARNING,
                f"Custom ping handler failed, falling back to automatic: {type(error).__name__}: {error}",
            )
            return None

    def _asked_async(self, handler: Callable[[], Any]) -> Optional[PingStatus]:
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            run = self._run_coroutine or asyncio.run
            answer = run(handler())
            return None if answer is None else PingStatus(answer)
        # On an event loop nothing can be waited for: what the handler said last still stands.
        return self._last_known_status

    def _note(self, status: PingStatus) -> PingStatus:
        if status != self._last_known_status:
            self._last_known_status = status
            self._last_status_update_time = time.time()
        return status

    def _changed(self) -> None:
        listener = self._status_listener
        if listener is not None:
            listener()
