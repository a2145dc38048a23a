"""The request behind a `RequestContext`, in the shape of Starlette's: what an agent reads of a request, and no more."""

from __future__ import annotations

import sys

from ._scope import base_url_of, url_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Iterable, Iterator, List
    from typing import NamedTuple, Optional, Sequence, Tuple

    from ._scope import Scope

    class Address(NamedTuple):
        """Where a request came from."""

        host: str
        port: int


def received(scope: Scope, body: Optional[bytes]) -> Any:
    """Returns the object that a handler is given: Starlette's, if the agent has imported it."""
    starlette = sys.modules.get("starlette.requests")
    if starlette is None:
        return Request(scope, body)
    return starlette.Request(scope, _receive(body or b""))


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


class QueryParams(dict):  # type: ignore[type-arg]
    """The parameters behind the `?`: a dictionary with the last value of each."""

    def __init__(self, pairs: Iterable[Tuple[str, str]]) -> None:
        self._pairs = list(pairs)
        super().__init__(self._pairs)

    def getlist(self, name: str) -> List[str]:
        """Returns every value."""
        return [value for key, value in self._pairs if key == name]

    def multi_items(self) -> List[Tuple[str, str]]:
        """Returns the pairs, repeated names as often as they came."""
        return list(self._pairs)

    def __str__(self) -> str:
        from urllib.parse import urlencode

        return urlencode(self._pairs)


class URL(str):
    """The URL of a request: a string with its parts."""

    __slots__ = ()

    fragment = ""

    @property
    def scheme(self) -> str:
        """`http`, or what the server says it is."""
        return self.partition("://")[0]

    @property
    def netloc(self) -> str:
        """Host and port."""
        return self.partition("://")[2].partition("/")[0]

    @property
    def path(self) -> str:
        """The path, decoded."""
        _, slash, rest = self.partition("://")[2].partition("/")
        return (slash + rest).partition("?")[0]

    @property
    def query(self) -> str:
        """What stands behind the `?`."""
        return self.partition("?")[2]

    @property
    def hostname(self) -> str:
        """The host without the port, in lower case."""
        host, colon, port = self.netloc.rpartition(":")
        return (host if colon and port.isdigit() else self.netloc).strip("[]").lower()

    @property
    def port(self) -> Optional[int]:
        """The port, if the URL names one."""
        _, colon, port = self.netloc.rpartition(":")
        return int(port) if colon and port.isdigit() else None


class State:
    """Whatever a program keeps there, by attribute or by key."""

    _state: Dict[str, Any]

    def __init__(self, state: Optional[Dict[str, Any]] = None) -> None:
        object.__setattr__(self, "_state", {} if state is None else state)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._state[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._state[name] = value

    def __delattr__(self, name: str) -> None:
        del self._state[name]

    def __getitem__(self, name: str) -> Any:
        return self._state[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._state[name] = value

    def __delitem__(self, name: str) -> None:
        del self._state[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)

    def __copy__(self) -> State:
        return State(dict(self._state))

    def __reduce__(self) -> Tuple[Any, ...]:
        return (State, (self._state,))


class Connection:
    """What requests and WebSocket connections have in common. Its parts are made when they are asked for."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __getitem__(self, key: str) -> Any:
        return self.scope[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Returns an entry of the scope, or `default`."""
        return self.scope.get(key, default)

    def __getattr__(self, name: str) -> Any:
        make = _PARTS.get(name)
        if make is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        part = self.__dict__[name] = make(self.scope)
        return part

    if TYPE_CHECKING:
        app: Any
        auth: Any
        base_url: URL
        client: Optional[Address]
        cookies: Dict[str, str]
        headers: Headers
        path_params: Dict[str, Any]
        query_params: QueryParams
        session: Dict[str, Any]
        state: State
        url: URL
        user: Any


class Request(Connection):
    """The request that a handler answers. Its body has been read."""

    def __init__(self, scope: Scope, body: Optional[bytes]) -> None:
        super().__init__(scope)
        self._body = body or b""

    @property
    def method(self) -> str:
        """`POST`, unless the agent serves other requests too."""
        method: str = self.scope["method"]
        return method

    async def body(self) -> bytes:
        """Returns the body as it came."""
        return self._body

    async def json(self) -> Any:
        """Returns the value of the body."""
        from json import loads

        return loads(self._body)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yields the body."""
        if self._body:
            yield self._body
        yield b""

    async def is_disconnected(self) -> bool:
        """Returns `False`: a caller who leaves ends a stream without its asking, and nothing else."""
        return False

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"


def _receive(body: bytes) -> Callable[[], Awaitable[Dict[str, Any]]]:
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Dict[str, Any]:
        if left:
            return left.pop()
        from asyncio import Event

        await Event().wait()
        return {"type": "http.disconnect"}

    return receive


def _headers(scope: Scope) -> Headers:
    return Headers([(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]])


def _query_params(scope: Scope) -> QueryParams:
    from urllib.parse import parse_qsl

    return QueryParams(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))


def _cookies(scope: Scope) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for name, value in scope["headers"]:
        if name != b"cookie":
            continue
        for entry in value.decode("latin-1").split(";"):
            key, is_pair, text = entry.partition("=")
            key, text = (key.strip(), text.strip()) if is_pair else ("", entry.strip())
            if key or text:
                found[key] = _unquoted(text) if len(text) > 1 and text[0] == text[-1] == '"' else text
    return found


def _unquoted(text: str) -> str:
    text = text[1:-1]
    if "\\" not in text:
        return text
    from re import sub

    return sub(r"\\([0-3][0-7][0-7]|.)", lambda found: chr(int(found[1], 8)) if len(found[1]) > 1 else found[1], text)


def _client(scope: Scope) -> Any:
    from collections import namedtuple

    client = scope.get("client")
    Address: Any = namedtuple("Address", ("host", "port"))
    return None if client is None else Address(*client)


def _of_middleware(name: str) -> Any:
    def find(scope: Scope) -> Any:
        if name not in scope:
            raise AttributeError(f"the request has no `{name}`: the middleware that sets it is not installed")
        return scope[name]

    return find


_PARTS = {
    "app": lambda scope: scope.get("app"),
    "auth": _of_middleware("auth"),
    "base_url": lambda scope: URL(base_url_of(scope)),
    "client": _client,
    "cookies": _cookies,
    "headers": _headers,
    "path_params": lambda scope: scope.get("path_params", {}),
    "query_params": _query_params,
    "session": _of_middleware("session"),
    "state": lambda scope: State(scope.setdefault("state", {})),
    "url": lambda scope: URL(url_of(scope)),
    "user": _of_middleware("user"),
}
