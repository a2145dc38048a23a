"""Where the lines of several writers come together, in one pipe or on one terminal.

A writer is a stream, a session and a thread. Its unfinished line is ended before another one begins, so that no line is
a mixture. Bytes come in and bytes go out; what a stream is for Python is in `output`.
"""

from __future__ import annotations

import os
import sys
from threading import RLock
from time import monotonic, sleep

from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    # A stream, a session and a thread.
    Writer = Tuple[str, Optional[str], int]
    # Since when it is held back, and what `write` was given.
    Held = Tuple[float, int, Writer, bytes, bytes]

# Lines of the runtime name their session, and are to stay JSON.
_OF_THE_RUNTIME = b'{"timestamp": '
# How long a text may wait for the end of its line, in seconds, and how long it may be, in bytes.
_PATIENCE = 0.03
_LONGEST = 4096
# Of what is remembered about writers that may never come back, so much is kept.
_MOST = 1024

# One for all, which may share a terminal. Whoever has it can take it again: a signal handler may print.
_lock = RLock()


class Lines:
    """Lines for a program: each begins with a mark."""

    def __init__(self) -> None:
        # Whose line has no end yet, and what was written of it last.
        self._open: Optional[Writer] = None
        self._rest = b""
        # Whose line was ended for them: the line break that they write next is that one.
        self._ended: Dict[Writer, bool] = {}

    def write(self, to: int, writer: Writer, mark: bytes, data: bytes) -> None:
        """Writes `data` to the file descriptor `to`, with `mark` before each line that begins in it."""
        lock = _acquire()
        try:
            goes_on = self._open == writer
            if not goes_on and self._ended.pop(writer, False) and data.startswith(b"\n"):
                data = data[1:]
            if data:
                _write_all(to, self._arranged(goes_on, writer, mark, data))
        finally:
            if lock is not None:
                lock.release()

    def flush(self, thread: Optional[int] = None) -> None:
        """Writes what is held back of a thread, or of all."""

    def _arranged(self, goes_on: bool, writer: Writer, mark: bytes, data: bytes) -> bytes:
        text = b""
        if not goes_on and self._open is not None and not self._is_blank():
            if len(self._ended) >= _MOST:
                self._ended.clear()
            self._ended[self._open] = True
            text = b"\n"
        begins = not goes_on or self._begins_again(data)
        *lines, rest = data.split(b"\n")
        for line in lines:
            text += (self._marked(mark, line) if begins else line) + b"\n"
            begins = True
        if rest:
            text += self._marked(mark, rest) if begins else rest
        self._open, self._rest = writer if rest else None, rest
        return text

    def _marked(self, mark: bytes, line: bytes) -> bytes:
        return mark + line

    def _is_blank(self) -> bool:
        """Returns whether there is nothing to be seen of the open line."""
        return False

    def _begins_again(self, data: bytes) -> bool:
        """Returns whether `data`, which goes on with the open line, writes over its beginning."""
        return False


class TerminalLines(Lines):
    """Lines for people.

    A text without a line break at its end is held back for a moment, because `print` writes one argument after another:
    until the rest is there, for a flush, or until the moment is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self._held: Dict[int, Held] = {}
        self._watch = Watch("agentcore-output", self._look)
        _terminals.append(self)

    def write(self, to: int, writer: Writer, mark: bytes, data: bytes) -> None:
        """As any lines; `data` may be held back."""
        thread, since = writer[2], 0.0
        held = self._held.pop(thread, None)
        if held is not None and held[2] == writer:
            since, data = held[0], held[4] + data
        elif held is not None:
            super().write(*held[1:])
        if data.endswith(b"\n") or len(data) > _LONGEST:
            super().write(to, writer, mark, data)
            return
        self._held[thread] = (since or monotonic(), to, writer, mark, data)
        try:
            self._watch.wake()
        except RuntimeError:
            # No thread can be started any more.
            self._watch = Watch("agentcore-output", self._look)
            self.flush(thread)

    def flush(self, thread: Optional[int] = None) -> None:
        """Writes what is held back of a thread, or of all."""
        # At its end the interpreter flushes once, also for threads that are no more.
        self._release(monotonic(), None if sys.is_finalizing() else thread)

    def start_again(self) -> None:
        """In a forked child: what is held back is the parent's to write, and so is the thread."""
        self._held = {}
        self._watch = Watch("agentcore-output", self._look)

    def _look(self) -> bool:
        sleep(_PATIENCE)
        try:
            self._release(monotonic() - _PATIENCE)
        except OSError:
            # The terminal is gone. Whoever writes next is told.
            pass
        return bool(self._held)

    def _release(self, until: float, thread: Optional[int] = None) -> None:
        for owner in list(self._held) if thread is None else (thread,):
            held = self._held.get(owner)
            if held is None or held[0] > until:
                continue
            lock = _acquire()
            try:
                # Only now: what its thread writes next must not come before it.
                held = self._held.pop(owner, None)
                if held is not None:
                    super().write(*held[1:])
            finally:
                if lock is not None:
                    lock.release()

    def _marked(self, mark: bytes, line: bytes) -> bytes:
        # A bar of progress goes back to the beginning of its line, and knows how wide the terminal is.
        if line.startswith((b"\r", _OF_THE_RUNTIME)):
            return line
        return mark + line[:-1].replace(b"\r", b"\r" + mark) + line[-1:]

    def _is_blank(self) -> bool:
        return self._rest.endswith(b"\r") and not self._rest.strip()

    def _begins_again(self, data: bytes) -> bool:
        return self._rest.endswith(b"\r") and not data.startswith(b"\n")


_terminals: List[TerminalLines] = []


def flush_all() -> None:
    """Writes what is held back, of every thread."""
    for terminal in _terminals:
        terminal.flush()


def _acquire() -> Optional[Any]:
    lock = _lock
    while not lock.acquire(timeout=1):
        if sys.is_finalizing():
            # A thread that was writing has been stopped, and will never let go.
            return None
    return lock


def _write_all(to: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(to, rest) :]
        except BlockingIOError:
            # Somebody who shares it wants it so.
            import select

            writable = select.poll()
            writable.register(to, select.POLLOUT)
            writable.poll()


def _start_again() -> None:
    # In a forked child: the thread that held the lock is not here.
    global _lock
    _lock = RLock()
    for terminal in _terminals:
        terminal.start_again()


os.register_at_fork(after_in_child=_start_again)
