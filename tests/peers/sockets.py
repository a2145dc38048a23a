"""A WebSocket client that says what it is told to say, and tells what it has heard, frame by frame."""

import base64
import hashlib
import os
import struct

from exchange import Connection

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
HANDSHAKE = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]


class Socket:
    """A connection whose upgrade was accepted."""

    def __init__(self, connection, headers):
        self.connection = connection
        accept = dict(headers).get("sec-websocket-accept")
        if accept != _ACCEPT:
            raise OSError(f"the handshake was answered with {accept}")

    def send(self, opcode, payload=b"", final=True, masked=True, reserved=0):
        """Sends a frame; all that a client must not do can be asked for."""
        mask = os.urandom(4)
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 1 << 16:
            length = b"\x7e" + struct.pack(">H", size)
        else:
            length = b"\x7f" + struct.pack(">Q", size)
        head = bytes([(final << 7) | (reserved << 4) | opcode, length[0] | (masked << 7)]) + length[1:]
        body = _masked(payload, mask) if masked else payload
        self.connection.send(head + (mask if masked else b"") + body)

    def receive(self):
        """Returns opcode and payload of a whole message, or of a control frame; `None` where the connection ends."""
        opcode, message = None, b""
        try:
            while True:
                first, second = self.connection.take(2)
                size = second & 127
                if size == 126:
                    (size,) = struct.unpack(">H", self.connection.take(2))
                elif size == 127:
                    (size,) = struct.unpack(">Q", self.connection.take(8))
                payload = self.connection.take(size)
                if first & 15 >= CLOSE:
                    return first & 15, payload
                opcode = opcode or first & 15
                message += payload
                if first & 128:
                    return opcode, message
        except TimeoutError:
            return PONG, b"(nothing came)"
        except ConnectionError:
            return None


def connect(place, head):
    """Asks for an upgrade; returns the connection and the socket, or the answer that refused it."""
    connection = Connection(place)
    connection.send(head)
    answer = connection.answer("GET")
    return connection, answer, Socket(connection, answer.headers) if answer.status == 101 else None


def _masked(payload, mask):
    whole = int.from_bytes(payload, "big")
    mask = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (whole ^ mask).to_bytes(len(payload), "big")
