"""The request behind a `RequestContext`: headers, a place for state, and the URL. It has no body and no connection."""

from __future__ import annotations

from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, List, Optional, Sequence, Tuple, TypeVar

    from ._invocation import Invocation

    T = TypeVar("T")


class Headers:
    """All headers of a request: names in any case, and the first value of a repeated one."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Sequence[Sequence[str]]) -> None:
        self._pairs = pairs

    def __getitem__(self, name: str) -> str:
        name = name.lower()
        for key, value in self._pairs:
            if key == name:
                return value
        raise KeyError(name)

    def get(self, name: str, default: Optional[str] = None) -> Optional[str]:
        """Returns the first value, or `default`."""
        try:
            return self[name]
        except KeyError:
            return default

    def getlist(self, name: str) -> List[str]:
        """Returns every value."""
        name = name.lower()
        return [value for key, value in self._pairs if key == name]

    @property
    def raw(self) -> List[Tuple[bytes, bytes]]:
        """The pairs as bytes."""
        return [(key.encode("latin-1"), value.encode("latin-1")) for key, value in self._pairs]

    def keys(self) -> List[str]:
        """Returns the names, repeated ones as often as they came."""
        return [key for key, _ in self._pairs]

    def values(self) -> List[str]:
        """Returns the values."""
        return [value for _, value in self._pairs]

    def items(self) -> List[Tuple[str, str]]:
        """Returns the pairs."""
        return [(key, value) for key, value in self._pairs]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key == name.lower() for key, _ in self._pairs)

    def __repr__(self) -> str:
        # Values may be tokens.
        return f"Headers({self.keys()!r})"


class URL(str):
    """The URL of a request: a string with its parts."""

    __slots__ = ()

    scheme = "http"
    path = "/invocations"
    query = ""
    fragment = ""

    @property
    def netloc(self) -> str:
        """Host and port."""
        return self.split("/", 3)[2]

    @property
    def hostname(self) -> str:
        """The host without the port."""
        host, colon, port = self.netloc.rpartition(":")
        return (host if colon and port.isdigit() else self.netloc).strip("[]")

    @property
    def port(self) -> Optional[int]:
        """The port, if the URL names one."""
        _, colon, port = self.netloc.rpartition(":")
        return int(port) if colon and port.isdigit() else None


class Request:
    """The request that a handler answers."""

    __slots__ = ("headers", "state", "url")

    method = "POST"

    def __init__(self, invocation: Invocation) -> None:
        self.headers = Headers(invocation.headers)
        self.state = SimpleNamespace()
        self.url = URL(f"http://{self.headers.get('host', 'localhost')}{URL.path}")

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"
