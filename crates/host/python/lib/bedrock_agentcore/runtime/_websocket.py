"""A WebSocket connection in the shape of Starlette's class, for handlers of agents that do not use Starlette."""

from __future__ import annotations

import enum
import json
import sys

from ._request import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Dict, Iterable, Optional, Tuple

    from ._scope import Scope


class WebSocketState(enum.Enum):
    """How far a connection has come, on one of its sides."""

    CONNECTING = 0
    CONNECTED = 1
    DISCONNECTED = 2
    RESPONSE = 3


class WebSocketDisconnect(Exception):
    """The client has closed the connection."""

    def __init__(self, code: int = 1000, reason: Optional[str] = None) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason or ""


# Whether the agent has asked for the exception above, and so waits for it and not for Starlette's.
_is_ours_wanted = False


def wanted_disconnect() -> Any:
    """Returns the exception that the handlers of this agent will see: Starlette's, if that is in use here."""
    global _is_ours_wanted
    starlette = sys.modules.get("starlette.websockets")
    if starlette is not None:
        return starlette.WebSocketDisconnect
    _is_ours_wanted = True
    return WebSocketDisconnect


def connect(scope: Scope, receive: Any, send: Any) -> Any:
    """Returns the object that a handler is given: Starlette's, if the agent has imported it."""
    starlette = sys.modules.get("starlette.websockets")
    if starlette is not None and not _is_ours_wanted:
        return starlette.WebSocket(scope, receive, send)
    return WebSocket(scope, receive, send)


def is_disconnect(error: BaseException) -> bool:
    """Returns whether an exception says that the client has closed the connection."""
    return any(kind.__name__ == "WebSocketDisconnect" for kind in type(error).__mro__)


def is_open(websocket: Any) -> bool:
    """Returns whether the connection was accepted, and nobody has closed it."""
    states = (websocket.client_state, websocket.application_state)
    return all(state.name == "CONNECTED" for state in states)


class WebSocket(Connection):
    """A connection: `accept` it, then send and receive until either side closes it."""

    def __init__(self, scope: Scope, receive: Any, send: Any) -> None:
        super().__init__(scope)
        self._receive = receive
        self._send = send
        self.client_state = WebSocketState.CONNECTING
        self.application_state = WebSocketState.CONNECTING

    async def receive(self) -> Dict[str, Any]:
        """Returns the next message of ASGI."""
        if self.client_state is WebSocketState.DISCONNECTED:
            raise RuntimeError('Cannot call "receive" once a disconnect message has been received.')
        message: Dict[str, Any] = await self._receive()
        if message["type"] == "websocket.connect":
            self.client_state = WebSocketState.CONNECTED
        elif message["type"] == "websocket.disconnect":
            self.client_state = WebSocketState.DISCONNECTED
        return message

    async def send(self, message: Dict[str, Any]) -> None:
        """Sends a message of ASGI."""
        state = self.application_state
        allowed = _ALLOWED.get(state)
        if allowed is None:
            raise RuntimeError('Cannot call "send" once a close message has been sent.')
        kind = message["type"]
        if kind not in allowed:
            raise RuntimeError(f"Expected ASGI message {' or '.join(map(repr, allowed))}, but got {kind!r}")
        if kind == "websocket.close" or (state is WebSocketState.RESPONSE and not message.get("more_body", False)):
            self.application_state = WebSocketState.DISCONNECTED
        elif kind == "websocket.accept":
            self.application_state = WebSocketState.CONNECTED
        elif kind == "websocket.http.response.start":
            self.application_state = WebSocketState.RESPONSE
        try:
            await self._send(message)
        except OSError:
            self.application_state = WebSocketState.DISCONNECTED
            raise WebSocketDisconnect(1006) from None

    async def accept(
        self, subprotocol: Optional[str] = None, headers: Optional[Iterable[Tuple[bytes, bytes]]] = None
    ) -> None:
        """Accepts the connection."""
        if self.client_state is WebSocketState.CONNECTING:
            await self.receive()
        await self.send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": list(headers or ())})

    async def receive_text(self) -> str:
        """Returns the next message, a text."""
        text: str = await self._receive_data("text")
        return text

    async def receive_bytes(self) -> bytes:
        """Returns the next message, of bytes."""
        data: bytes = await self._receive_data("bytes")
        return data

    async def receive_json(self, mode: str = "text") -> Any:
        """Returns the value of the next message, which is JSON as a text or, with mode `binary`, as bytes."""
        return json.loads(await self._receive_data(_key(mode)))

    async def iter_text(self) -> AsyncIterator[str]:
        """Yields texts until the connection is closed."""
        try:
            while True:
                yield await self.receive_text()
        except WebSocketDisconnect:
            pass

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yields bytes until the connection is closed."""
        try:
            while True:
                yield await self.receive_bytes()
        except WebSocketDisconnect:
            pass

    async def iter_json(self) -> AsyncIterator[Any]:
        """Yields values until the connection is closed."""
        try:
            while True:
                yield await self.receive_json()
        except WebSocketDisconnect:
            pass

    async def send_text(self, data: str) -> None:
        """Sends a text."""
        await self.send({"type": "websocket.send", "text": data})

    async def send_bytes(self, data: bytes) -> None:
        """Sends bytes."""
        await self.send({"type": "websocket.send", "bytes": data})

    async def send_json(self, data: Any, mode: str = "text") -> None:
        """Sends a value as JSON, as a text or, with mode `binary`, as bytes."""
        key = _key(mode)
        text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
        await self.send({"type": "websocket.send", key: text if key == "text" else text.encode()})

    async def close(self, code: int = 1000, reason: Optional[str] = None) -> None:
        """Closes the connection; before `accept`, refuses it."""
        await self.send({"type": "websocket.close", "code": code, "reason": reason or ""})

    async def send_denial_response(self, response: Any) -> None:
        """Refuses the connection with an HTTP answer."""
        if "websocket.http.response" not in self.scope.get("extensions", {}):
            raise RuntimeError("The server doesn't support the Websocket Denial Response extension.")
        await response(self.scope, self.receive, self.send)

    async def _receive_data(self, key: str) -> Any:
        if self.application_state is not WebSocketState.CONNECTED:
            raise RuntimeError('WebSocket is not connected. Need to call "accept" first.')
        message = await self.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or 1005, message.get("reason"))
        return message[key]


_ALLOWED = {
    WebSocketState.CONNECTING: ("websocket.accept", "websocket.close", "websocket.http.response.start"),
    WebSocketState.CONNECTED: ("websocket.send", "websocket.close"),
    WebSocketState.RESPONSE: ("websocket.http.response.body",),
}


def _key(mode: str) -> str:
    if mode not in ("text", "binary"):
        raise RuntimeError('The "mode" argument should be "text" or "binary".')
    return "text" if mode == "text" else "bytes"
