"""The agent's own ping handler: a thread that runs it and tells the server what it decided.

Only there for agents that have one. However long the handler takes, nothing else waits for it.
"""

from __future__ import annotations

from threading import Event, Thread, current_thread

from bedrock_agentcore.runtime import _log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from .worker import Worker

_NAME = "agentcore-ping"


class Pinger:
    """Runs the agent's ping handler, in a thread of its own: it may take its time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._asked = Event()
        self._answered = Event()
        self._number: Optional[int] = None
        Thread(target=self._run, name=_NAME, daemon=True).start()

    def ask(self, number: Optional[int] = None, wait: float = 0) -> None:
        """Has the handler asked soon; the answer names `number`. Questions that come meanwhile are one.

        Waits up to `wait` seconds for the answer, except in the handler itself.
        """
        if number is not None:
            self._number = number
        self._answered.clear()
        self._asked.set()
        if wait and current_thread().name != _NAME:
            self._answered.wait(wait)

    def _run(self) -> None:
        worker = self._worker
        while True:
            self._asked.wait()
            self._asked.clear()
            number, self._number = self._number, None
            try:
                status, source = worker.context.copy().run(worker.app._decided)
            except BaseException as error:
                _log.emit(_log.ERROR, "Ping endpoint failed", error)
                status, source = worker.app._automatic(), "automatic"
            worker.report(status, source, number)
            self._answered.set()
