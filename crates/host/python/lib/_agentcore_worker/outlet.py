"""What leaves over the connection of the event loop: frames of all calls, and items of streams.

What comes now and then goes out at once. What comes faster goes out together: a system call and a wake-up of the
server for each item would cost more than the item. Nothing stays here while the loop waits, and what a handler that
blocks the loop would keep back, a thread sends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from threading import Lock
from time import perf_counter, sleep

from bedrock_agentcore.runtime import _log

from .frames import ITEM, ITEMS, frame, head, u32, u32_at
from .watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Callable, Deque, Dict, List, Optional, Tuple

    from .loop import EventLoop

# How long things may wait for company, in seconds, and how many must have come so closely before one has to.
_HOLD = 0.000_25
_ALONE = 4
# An item of so many bytes needs no company, and several would not fit into a frame.
_LARGE = 64 * 1024
# What may wait for the server to read, over all calls, before streams are held back: bytes, and things after them.
_MAX_UNSENT = 256 * 1024
_MAX_WAITING = 512
# Stands in place of the number of a call for what is a frame already.
_FRAME = -1
# How long a loop that is blocked may keep something back, in seconds, and after how many such times the thread that
# looks after that goes to sleep.
_BLOCKED = 0.005
_TIMES = 20


class Outlet:
    """The way out. Used on the loop only."""

    def __init__(self, events: EventLoop, link: socket, lost: Callable[[], None]) -> None:
        self._loop = events.loop
        self._link = link
        self._fd = link.fileno()
        self._lost = lost
        self.start_again()
        # What waits for company: items, with the number of their call, and frames. Anybody may add to it; who takes
        # from it holds the lock.
        self._waiting: Deque[Tuple[int, bytes]] = deque()
        # When something was sent last, and how many things came in quick succession.
        self._last = 0.0
        self._row = 0
        # What the connection has not taken, and whether streams have to wait for it.
        self._unsent = bytearray()
        self.is_full = False
        self._room: Optional[asyncio.Future[None]] = None
        self._quiet = 0
        self._watch = Watch("agentcore-outlet", self._look_after)
        # On a loop that does not say when it waits, everything goes out at once.
        self._hold = _HOLD if events.tell_of_waits(self._before_a_wait) else 0.0

    def start_again(self) -> None:
        """Forgets who is at it, in a forked child: a thread that held the lock is not there."""
        self._lock = Lock()

    def send(self, data: bytes) -> None:
        """Sends a frame."""
        self.item(_FRAME, data)

    def end(self, data: bytes, is_last: bool) -> bool:
        """Sends the frame that ends a call, at once if no other call is open: who would keep it company?

        Returns whether it waits for the next wait of the loop.
        """
        if is_last:
            self._waiting.append((_FRAME, data))
            self._row = 0
            self._flush()
        else:
            self.send(data)
        return bool(self._waiting) and self._hold > 0.0

    def item(self, number: int, data: bytes) -> None:
        """Sends an item of a stream."""
        self._waiting.append((number, data))
        if perf_counter() - self._last >= self._hold:
            if len(self._waiting) == 1:
                self._row = 0
            self._flush()
        elif self._row < _ALONE:
            self._row += 1
            self._flush()
        elif not self._watch.is_awake:
            self._watch.wake()

    async def room(self) -> None:
        """Waits until less is unsent."""
        while self.is_full:
            if self._room is None:
                self._room = self._loop.create_future()
            await asyncio.shield(self._room)

    def _look_after(self) -> bool:
        """Sends what a blocked loop keeps back, from a thread of its own, while things come in quick succession."""
        sleep(_BLOCKED)
        since = perf_counter() - self._last
        waits = bool(self._waiting) and not self._unsent
        if waits and since >= _BLOCKED:
            self._flush(True)
        if _log.is_holding():
            waits = True
            if since >= _BLOCKED:
                _log.release()
        self._quiet = 0 if waits or since < _BLOCKED else self._quiet + 1
        return self._quiet < _TIMES

    def _before_a_wait(self, is_short: bool) -> None:
        if (self._waiting or _log.is_holding()) and not (is_short and perf_counter() - self._last < _HOLD):
            self._flush()
            # The lines about what has just gone out.
            _log.release()

    def _flush(self, from_outside: bool = False) -> None:
        with self._lock:
            if self._unsent:
                # The connection is full; what waits for it gets company meanwhile.
                self.is_full = self.is_full or len(self._waiting) > _MAX_WAITING
                return
            if not self._waiting:
                return
            data = self._taken()
            self._last = perf_counter()
            try:
                sent = self._link.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                # If it is the server's end, the control connection ends the worker.
                self._lost()
                return
            if sent < len(data):
                self.is_full = len(data) - sent > _MAX_UNSENT
                self._unsent += memoryview(data)[sent:]
                if from_outside:
                    self._loop.call_soon_threadsafe(self._loop.add_writer, self._fd, self._on_writable)
                else:
                    # Not by `call_soon`: just before a wait, the loop has settled already how long it will be.
                    self._loop.add_writer(self._fd, self._on_writable)

    def _taken(self) -> bytes:
        """Takes what waits, as frames: of the items of a call one, as long as nothing else of it comes between."""
        waiting = self._waiting
        if len(waiting) == 1:
            number, data = waiting.popleft()
            return data if number == _FRAME else frame(ITEM, number, data)
        taken: List[bytes] = []
        items: Dict[int, List[bytes]] = {}
        for _ in range(len(waiting)):
            number, data = waiting.popleft()
            if number != _FRAME and len(data) < _LARGE:
                if number in items:
                    items[number].append(data)
                else:
                    items[number] = [data]
                continue
            if items:
                # What comes after items of its call must not overtake them.
                call = u32_at(data, 5)[0] if number == _FRAME else number
                before = items.pop(call, None)
                if before is not None:
                    taken.append(_packed(call, before))
            taken.append(data if number == _FRAME else frame(ITEM, number, data))
        for number, rest in items.items():
            taken.append(_packed(number, rest))
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _on_writable(self) -> None:
        with self._lock:
            try:
                sent = self._link.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._loop.remove_writer(self._fd)
                return
            del self._unsent[:sent]
            if self._unsent:
                return
            self._loop.remove_writer(self._fd)
        if self._waiting:
            self._flush()
        self.is_full = len(self._unsent) > _MAX_UNSENT
        if self._room is not None and not self.is_full:
            self._room.set_result(None)
            self._room = None


def _packed(number: int, items: List[bytes]) -> bytes:
    if len(items) == 1:
        return frame(ITEM, number, items[0])
    parts = [part for item in items for part in (u32(len(item)), item)]
    parts.insert(0, head(ITEMS, number, sum(map(len, parts))))
    return b"".join(parts)
