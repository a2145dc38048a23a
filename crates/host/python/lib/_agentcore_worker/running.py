"""A call on the connection of the event loop: what it may send, and how it is cancelled.

What keeps a stream back is its credit, and the bytes under way.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context

from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._handler import name_of
from bedrock_agentcore.runtime._invocation import current
from bedrock_agentcore.runtime._runner import Gone

from . import frames
from .calls import checked
from .frames import ProtocolError, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context
    from typing import Any, Deque, Optional

    from bedrock_agentcore.runtime._invocation import Invocation
    from bedrock_agentcore.runtime.app import BedrockAgentCoreApp

    from .multiplex import Multiplex

# What one stream may have under way, besides one item: credit counts items, and items can be large.
_MAX_UNDER_WAY = 8 * 1024 * 1024
# Items below this are not worth counting: credit alone keeps them under the limit.
_LARGE = _MAX_UNDER_WAY // frames.FIRST_CREDIT


class Running:
    """A call that is being answered."""

    __slots__ = (
        "_outlet",
        "_sizes",
        "_under_way",
        "_wait",
        "call",
        "context",
        "credit",
        "has_begun",
        "is_gone",
        "is_over",
        "is_stream",
        "link",
        "number",
        "rest",
        "sending",
        "task",
    )

    def __init__(self, link: Multiplex, number: int, call: Any) -> None:
        self.link = link
        self._outlet = link.outlet
        self.number = number
        self.call = call
        self.task: Optional[asyncio.Task[None]] = None
        # The task in which a response sends itself, beside the one that waits for that.
        self.sending: Optional[asyncio.Task[None]] = None
        # What a handler in a thread has returned, where it is async, and the context to go on in.
        self.rest: Any = None
        self.context: Optional[Context] = None
        self.has_begun = False
        self.is_stream = False
        # The caller has left; the call has run into its limit.
        self.is_gone = False
        self.is_over = False
        self.credit = frames.FIRST_CREDIT
        self._under_way = 0
        self._sizes: Optional[Deque[int]] = None
        self._wait: Optional[asyncio.Future[None]] = None

    @property
    def invocation(self) -> Invocation:
        """The request that is answered."""
        known: Invocation = self.call.invocation
        return known

    def name(self, app: BedrockAgentCoreApp) -> str:
        """Returns what to call the code that answers, in a line of the log."""
        return f"the handler `{name_of(app.handlers.get('main'))}`"

    def put(self, item: bytes) -> bool:
        """Sends an item of the stream if it may be sent; returns whether it was."""
        if self.credit <= 0 or self.is_gone or self._under_way > _MAX_UNDER_WAY or self._outlet.is_full:
            return False
        if len(item) > _LARGE or self._sizes is not None:
            self._count(checked(item))
        self.credit -= 1
        self._outlet.item(self.number, item)
        return True

    async def may_send(self) -> None:
        """Waits until an item may be sent; raises `Gone` when nobody is there to take it."""
        if self.is_gone:
            raise Gone
        while self.credit <= 0 or self._under_way > _MAX_UNDER_WAY:
            # Shared: what is no stream of events may be sent by several tasks.
            if self._wait is None or self._wait.done():
                self._wait = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._wait)
            if self.is_gone:
                raise Gone
        if self._outlet.is_full:
            await self._outlet.room()

    async def send(self, data: bytes, kind: int) -> None:
        """Sends something else that counts against the credit, as soon as it may be sent."""
        while self.credit <= 0 or self.is_gone or self._under_way > _MAX_UNDER_WAY or self._outlet.is_full:
            await self.may_send()
        if len(data) > _LARGE or self._sizes is not None:
            self._count(len(data))
        self.credit -= 1
        self._outlet.send(frame(kind, self.number, data))

    def stop_sending(self) -> None:
        """Nothing is sent any more; what waits for credit learns it."""
        self.is_gone = True
        self._wake()

    def take(self, kind: int, payload: memoryview) -> None:
        """Refuses what only a WebSocket connection is sent."""
        raise ProtocolError(f"a frame of kind {kind} for a call that is no WebSocket connection")

    def allow(self, more: int) -> None:
        """Takes credit: the oldest items have been taken by the client."""
        self.credit += more
        if self.task is None:
            self.link.begin(self)
        if self._sizes is not None:
            for _ in range(min(more, len(self._sizes))):
                self._under_way -= self._sizes.popleft()
        self._wake()

    def leave(self) -> None:
        """The caller has left. A stream is cancelled; a handler that has not answered yet is let finish."""
        if not self.is_gone:
            self.is_gone = True
            if self.task is None:
                self.link.begin(self)
            elif self.is_stream:
                self.task.cancel()

    def expire(self) -> None:
        """The call has run into its limit: it is cancelled whatever it does, as often as this is called."""
        self.is_gone = True
        self.tell_of_limit()
        if self.task is None:
            self.link.begin(self)
        elif self.has_begun:
            # A task that is cancelled before its first step never begins, and so would never answer.
            self.task.cancel()

    def tell_of_limit(self) -> None:
        """Writes the line about the limit, once, with the ids of the call."""
        if not self.is_over:
            self.is_over = True
            after = f" ({self.call.elapsed():.3f}s)" if self.call is not None else ""
            copy_context().run(tell, self.invocation, f"The invocation ran into its limit{after}")

    def _wake(self) -> None:
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)

    def _count(self, size: int) -> None:
        if self._sizes is None:
            from collections import deque

            # What came before was small: it counts as nothing, but its credit comes back first.
            self._sizes = deque([0] * (frames.FIRST_CREDIT - self.credit))
        self._sizes.append(size)
        self._under_way += size


def tell(invocation: Optional[Invocation], message: str) -> None:
    """Writes a warning with the ids of a request. To be run in a context of its own."""
    if invocation is not None:
        current.set(invocation)
    _log.emit(_log.WARNING, message)
