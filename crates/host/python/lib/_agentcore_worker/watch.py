"""A thread that looks after something while there is something to look after, and costs nothing otherwise."""

from __future__ import annotations

from threading import Event, Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional


class Watch:
    """Calls `look` again and again: it waits as long as it sees fit, and returns whether it wants another call."""

    def __init__(self, name: str, look: Callable[[], bool]) -> None:
        self._name = name
        self._look = look
        self._wanted = Event()
        self._thread: Optional[Thread] = None
        self.is_awake = False

    def wake(self) -> None:
        """Has the thread look, if it does not."""
        if self.is_awake:
            return
        self.is_awake = True
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        else:
            self._wanted.set()

    def _run(self) -> None:
        while True:
            while self._look():
                pass
            self._wanted.clear()
            self.is_awake = False
            # Who has found this thread awake in between has left something; who finds it asleep wakes it.
            if not self._look():
                self._wanted.wait()
            self.is_awake = True
