"""Frames of the worker protocol: `u32 length · u8 kind · u32 call · payload`, big endian.

Makes and measures them; sends and receives nothing.
"""

from __future__ import annotations

from struct import Struct

VERSION = 2

INVOKE, CANCEL, CREDIT, GROW, REFRESH, STOP = 1, 2, 3, 4, 5, 6
REQUEST, OPEN, MESSAGE_IN, DISCONNECT, PROBE = 7, 8, 9, 10, 11
HELLO, READY, LOAD_FAILED, STATUS = 64, 65, 66, 67
RESULT, ERROR, STREAM, ITEM, ITEMS, END, RESPONSE = 70, 71, 72, 73, 74, 75, 76
HEAD, CHUNK, MOVED = 77, 78, 79
ACCEPT, MESSAGE_OUT, CLOSE, TAKEN, ALIVE = 80, 81, 82, 83, 84

# The bytes before a payload: length, kind, call.
HEAD_SIZE = 9
MAX_LENGTH = 128 * 1024 * 1024
# The length counts kind and call too.
MAX_PAYLOAD = MAX_LENGTH - 5
FIRST_CREDIT = 256

_HEAD = Struct(">IBI")
_U32 = Struct(">I")

head_at = _HEAD.unpack_from
u32_at = _U32.unpack_from
u32 = _U32.pack
_head = _HEAD.pack


class ProtocolError(Exception):
    """The server sent what this protocol does not have."""


def head(kind: int, call: int, length: int) -> bytes:
    """Returns what stands before a payload of this length."""
    return _head(length + 5, kind, call)


def frame(kind: int, call: int, payload: bytes = b"") -> bytes:
    """Returns a frame."""
    return _head(len(payload) + 5, kind, call) + payload


def size_at(buffer: bytearray, start: int) -> int:
    """Returns how many bytes the frame at `start` takes, its head being there."""
    length: int = u32_at(buffer, start)[0]
    if not 5 <= length <= MAX_LENGTH:
        raise ProtocolError(f"a frame states a length of {length} bytes")
    return length + 4
