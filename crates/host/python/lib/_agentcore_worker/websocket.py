"""A WebSocket connection of the agent's app, over frames: OPEN, ACCEPT, MESSAGE both ways, DISCONNECT, CLOSE."""

from __future__ import annotations

import asyncio
from collections import deque

from bedrock_agentcore.runtime import _log
from bedrock_agentcore.runtime._answer import said
from bedrock_agentcore.runtime._invocation import current
from bedrock_agentcore.runtime._runner import Gone
from bedrock_agentcore.runtime._scope import scope_of
from bedrock_agentcore.runtime._values import encode

from . import frames
from .asgi import Answer
from .calls import error_reply, sound
from .frames import ACCEPT, CHUNK, CLOSE, DISCONNECT, MAX_PAYLOAD, MESSAGE_IN, MESSAGE_OUT, TAKEN, ProtocolError, frame
from .running import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Deque, Dict, List, Optional

    from bedrock_agentcore.runtime._invocation import Invocation

    from .multiplex import Multiplex

    Message = Dict[str, Any]

_TEXT, _BINARY = 0, 1
# Messages that are reported together, while more of them wait.
_REPORT = 16
# What the frame of a close has room for.
_MAX_REASON = 123


class Connection(Running):
    """A connection that the agent's app has."""

    def __init__(self, link: Multiplex, number: int, invocation: Invocation) -> None:
        super().__init__(link, number, None)
        self._invocation = invocation
        self._incoming: Deque[Message] = deque(({"type": "websocket.connect"},))
        self._arrived = asyncio.Event()
        self._arrived.set()
        self._taken = 0
        self._left: Optional[Message] = None
        self._is_accepted = False
        self._is_over = False
        self._refusal = Answer(self._refuse, self._end)

    @property
    def invocation(self) -> Invocation:
        """The request that asked for the connection."""
        return self._invocation

    def name(self, app: Any) -> str:
        """Returns what to call the code that has the connection, in a line of the log."""
        return "the handler of a WebSocket connection"

    async def serve(self, app: Any) -> None:
        """Has the app handle the connection, and closes what it leaves open."""
        current.set(self._invocation)
        scope = scope_of(self._invocation, "websocket")
        scope["subprotocols"] = _subprotocols(self._invocation)
        scope["extensions"] = {"websocket.http.response": {}}
        error: Optional[BaseException] = None
        try:
            await app(scope, self._receive, self._send)
        except BaseException as raised:
            # Also SystemExit and its like: they end the connection, not the loop.
            error = raised
        self.finish(error)

    def take(self, kind: int, payload: memoryview) -> None:
        """Takes a frame from the client."""
        if kind == MESSAGE_IN and len(payload) and payload[0] in (_TEXT, _BINARY):
            data = bytes(payload[1:])
            content = {"text": str(data, "utf-8", "replace")} if payload[0] == _TEXT else {"bytes": data}
            self._incoming.append({"type": "websocket.receive", **content})
            self._arrived.set()
        elif kind == DISCONNECT and len(payload) >= 2:
            self._disconnect(int.from_bytes(payload[:2], "big"), str(payload[2:], "utf-8", "replace"))
        else:
            raise ProtocolError(f"a frame of kind {kind} that a WebSocket connection cannot read")

    def leave(self) -> None:
        """The client is gone without a word. A handler may have something to save then."""
        self._disconnect(1006, "")

    def expire(self) -> None:
        """The connection has run into its limit: the handler has had its time."""
        self._disconnect(1006, "")
        if self.task is not None:
            self.task.cancel()

    async def _receive(self) -> Message:
        while not self._incoming:
            if self._left is not None:
                return self._left
            self._arrived.clear()
            await self._arrived.wait()
        message = self._incoming.popleft()
        if message["type"] == "websocket.receive":
            self._taken += 1
            if self._taken >= _REPORT or not self._incoming:
                if self._left is None and not self._is_over:
                    self.link.send(frame(TAKEN, self.number, frames.u32(self._taken)))
                self._taken = 0
        return message

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind.startswith("websocket.http.response.") and not self._is_accepted:
            await self._refusal.send({**message, "type": kind[len("websocket.") :]})
            return
        if self._is_over:
            raise RuntimeError(f"`{kind}` comes after the connection was closed")
        if self._left is not None and kind == "websocket.send":
            raise OSError("the client has closed the connection")
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.send":
            await self._send_message(message)
        elif kind == "websocket.close":
            code = message.get("code")
            self._close(1000 if code is None else code, message.get("reason") or "")
        else:
            raise RuntimeError(f"`{kind}` is no message of a WebSocket connection")

    def _accept(self, message: Message) -> None:
        if self._is_accepted:
            raise RuntimeError("the connection was accepted before")
        self._is_accepted = True
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in message.get("headers") or ()]
        answer = {"subprotocol": sound(message.get("subprotocol")), "headers": headers}
        self.link.send(frame(ACCEPT, self.number, encode(answer)))

    async def _send_message(self, message: Message) -> None:
        if not self._is_accepted:
            raise RuntimeError("a message comes before `accept()`")
        text = message.get("text")
        if text is not None:
            data = b"\0" + text.encode("utf-8")
        else:
            data = b"\1" + bytes(message["bytes"])
        if len(data) > MAX_PAYLOAD:
            raise ValueError(f"a message has {len(data)} bytes, more than the {MAX_PAYLOAD} that fit")
        await self._put(data, MESSAGE_OUT)

    async def _put(self, data: bytes, kind: int) -> None:
        try:
            await self.send(data, kind)
        except Gone:
            raise OSError("the client has closed the connection") from None

    def _close(self, code: int, reason: str) -> None:
        if not _may_be_sent(code):
            _log.emit(_log.ERROR, f"A WebSocket connection cannot be closed with code {code}: it is closed with 1011")
            code = 1011
        cut = reason.encode("utf-8", "replace")[:_MAX_REASON].decode("utf-8", "ignore")
        self._disconnect(code, cut)
        self._end(CLOSE, code.to_bytes(2, "big") + cut.encode())

    def _disconnect(self, code: int, reason: str) -> None:
        if self._left is None:
            self._left = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._arrived.set()
            self.stop_sending()

    async def _refuse(self, kind: int, payload: bytes) -> None:
        if kind == CHUNK:
            await self._put(payload, CHUNK)
        else:
            self.link.send(frame(kind, self.number, payload))

    def _end(self, kind: int, payload: bytes) -> None:
        self._is_over = True
        self._refusal.stop_waiting()
        self._disconnect(1006, "")
        if self.link.calls.pop(self.number, None) is not None:
            self.link.send(frame(kind, self.number, payload))

    def finish(self, error: Optional[BaseException]) -> None:
        """Closes the connection, if the app has not."""
        is_cut = isinstance(error, (asyncio.CancelledError, OSError)) and self._left is not None
        if error is not None and not is_cut:
            _log.emit(_log.ERROR, "WebSocket handler failed", error)
        if self._is_over:
            return
        if self._left is not None or self._is_accepted:
            self._close(1000 if error is None or is_cut else 1011, "")
            return
        if error is None:
            error = RuntimeError("the WebSocket handler returned without `accept()`")
            _log.emit(_log.ERROR, str(error))
        self._end(*error_reply(500, said(error), type(error).__name__))


def _may_be_sent(code: int) -> bool:
    # The others are kept for what is not in a frame, or for nobody yet.
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


def _subprotocols(invocation: Invocation) -> List[str]:
    listed = [value for name, value in invocation.headers if name == "sec-websocket-protocol"]
    return [name.strip() for line in listed for name in line.split(",") if name.strip()]
