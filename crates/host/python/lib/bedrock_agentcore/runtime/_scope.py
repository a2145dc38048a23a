"""Between the server's description of a request, the scope of an ASGI application, and an `Invocation`."""

from __future__ import annotations

from ._invocation import Invocation
from .models import REQUEST_ID_HEADER, SESSION_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    Scope = Dict[str, Any]

# The request as the server has described it: it also has an id for one that brought none.
DESCRIBED = "agentcore.invocation"
_REQUEST_ID_HEADER = REQUEST_ID_HEADER.lower()
_SESSION_HEADER = SESSION_HEADER.lower()
_HOST = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_~%!$&'()*+,;=:[]")

# What every scope that is made here has: in a worker, the app it serves and the state that its lifespan has yielded.
common: Scope = {}


def scope_of(invocation: Invocation, kind: str = "http") -> Scope:
    """Returns the scope of a request that the server described."""
    meta = invocation.meta or {}
    path, _, query = meta.get("target", "/invocations").partition("?")
    client = meta.get("client")
    scope: Scope = {
        **common,
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": _decoded(path),
        "raw_path": path.encode("latin-1", "replace"),
        "query_string": query.encode("latin-1", "replace"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in invocation.headers],
        "client": (client[0], client[1]) if client else None,
        "server": None,
        # Of its own for each request: what one sets, the next does not see.
        "state": dict(common.get("state", ())),
        DESCRIBED: invocation,
    }
    if kind == "http":
        scope["method"] = meta.get("method", "POST")
    return scope


def invocation_of(scope: Scope) -> Invocation:
    """Returns the request that a scope describes. Of a repeated header the first value counts."""
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    invocation = Invocation("", None, headers)
    # Headers first: a middleware may have changed them.
    described: Optional[Invocation] = scope.get(DESCRIBED)
    session = invocation.header(_SESSION_HEADER)
    if session is None and described is not None:
        session = described.session_id
    invocation.session_id = session
    request_id = invocation.header(_REQUEST_ID_HEADER) or (described and described.request_id)
    invocation.request_id = request_id or _fresh_id()
    return invocation


def path_in(scope: Scope) -> str:
    """Returns the path below the place where the app is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        return path[len(root) :]
    return path


def url_of(scope: Scope) -> str:
    """Returns the URL of a request."""
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{_origin(scope)}{_escaped(scope['path'])}{'?' if query else ''}{query}"


def base_url_of(scope: Scope) -> str:
    """Returns the URL of the place where the app is mounted, with a slash at its end."""
    root: str = scope.get("app_root_path") or scope.get("root_path") or ""
    return f"{_origin(scope)}{_escaped(root.rstrip('/'))}/"


def _origin(scope: Scope) -> str:
    scheme = scope.get("scheme", "http")
    return f"{scheme}://{_host(scope, scheme)}"


def _escaped(path: str) -> str:
    return path.replace("?", "%3F").replace("#", "%23")


def _host(scope: Scope, scheme: str) -> str:
    for name, value in scope["headers"]:
        # What could move the path or hide another host is no host.
        if name == b"host" and value and _HOST.issuperset(value):
            host: str = value.decode("latin-1")
            return host
    server = scope.get("server")
    if not server:
        return "localhost"
    host, port = server
    usual = {"http": 80, "https": 443, "ws": 80, "wss": 443}.get(scheme)
    return host if port in (None, usual) else f"{host}:{port}"


def _decoded(path: str) -> str:
    if "%" not in path and path.isascii():
        return path
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path.encode("latin-1", "replace")).decode("utf-8", "replace")


def _fresh_id() -> str:
    # The random bits are the system's: a generator in this process could be a copy of one in a snapshot.
    from uuid import uuid4

    return str(uuid4())
