"""Connections to the server: opened with the token, forgotten in forked children.

A child that kept them would hide the end of this process from the server.
"""

from __future__ import annotations

import os
from socket import AF_UNIX, SHUT_RDWR, SOCK_STREAM, socket
from threading import RLock

from . import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional, Set, Tuple

SOCKET_VARIABLE = "AGENTCORE_WORKER_SOCKET"
TOKEN_VARIABLE = "AGENTCORE_WORKER_TOKEN"

_RECEIVE = 4096


class Server:
    """Where the server listens, and what it wants to be shown."""

    def __init__(self, path: str, token: str) -> None:
        self._path = path
        self._token = token
        self._open: Set[socket] = set()
        self.is_forgotten = False

    @classmethod
    def from_environment(cls) -> Server:
        """Takes the address out of the environment, where the agent and its children must not find it."""
        try:
            return cls(os.environ.pop(SOCKET_VARIABLE), os.environ.pop(TOKEN_VARIABLE))
        except KeyError as missing:
            raise SystemExit(
                f"error: {missing.args[0]} is not set: this file is started by `agentcore serve`, not by hand"
            ) from None

    def connect(self, role: str, after: Optional[int] = None) -> socket:
        """Opens a connection for `control`, `thread` or `loop`.

        `after` is the call in which the server cut the connection that this one replaces.
        """
        if self.is_forgotten:
            raise OSError("a forked child has no server")
        link = _above_the_standard_streams(socket(AF_UNIX, SOCK_STREAM))
        try:
            link.connect(self._path)
            hello = f'{{"version":{frames.VERSION},"token":"{self._token}","role":"{role}","pid":{os.getpid()}'
            hello += "}" if after is None else f',"after":{after}}}'
            link.sendall(frames.frame(frames.HELLO, 0, hello.encode()))
        except BaseException:
            link.close()
            raise
        self._open.add(link)
        return link

    def close(self, link: socket) -> None:
        """Closes a connection."""
        self._open.discard(link)
        link.close()

    def forget(self) -> None:
        """Closes this process's hold on every connection, and leaves them open where they were opened."""
        self.is_forgotten = True
        while self._open:
            self._open.pop().close()


class Control:
    """The connection that lives as long as the worker."""

    def __init__(self, server: Server) -> None:
        self._link = server.connect("control")
        self._lock = RLock()

    def send(self, kind: int, payload: bytes) -> None:
        """Sends a frame, from any thread. A server that is gone is noticed by who receives."""
        with self._lock:
            try:
                self._link.sendall(frames.frame(kind, 0, payload))
            except OSError:
                pass

    def shut(self) -> None:
        """Ends the connection for both sides: the worker is over."""
        try:
            self._link.shutdown(SHUT_RDWR)
        except OSError:
            pass

    def receive(self, handle: Callable[[int, bytes], None]) -> None:
        """Hands every frame to `handle`, until the connection ends."""
        pending = bytearray()
        while True:
            try:
                received = self._link.recv(_RECEIVE)
            except OSError:
                return
            if not received:
                return
            pending += received
            while len(pending) >= frames.HEAD_SIZE:
                size = frames.size_at(pending, 0)
                if len(pending) < size:
                    break
                kind, payload = _taken(pending, size)
                handle(kind, payload)


def _above_the_standard_streams(link: socket) -> socket:
    """Returns a socket that nobody takes for stdin, stdout or stderr, where the agent has closed one of these."""
    if link.fileno() > 2:
        return link
    import fcntl

    with link:
        return socket(AF_UNIX, SOCK_STREAM, 0, fcntl.fcntl(link, fcntl.F_DUPFD_CLOEXEC, 3))


def _taken(pending: bytearray, size: int) -> Tuple[int, bytes]:
    _, kind, _ = frames.head_at(pending, 0)
    payload = bytes(pending[frames.HEAD_SIZE : size])
    del pending[:size]
    return kind, payload
