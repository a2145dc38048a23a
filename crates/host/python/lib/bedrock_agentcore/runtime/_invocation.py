"""One request as the server describes it: its ids and its headers.

What is derived from the headers is worked out when it is asked for: most handlers never ask.
"""

from __future__ import annotations

from contextvars import ContextVar

from .models import (
    ACCESS_TOKEN_HEADER,
    AUTHORIZATION_HEADER,
    IDENTITY_WAT_HEADER,
    OAUTH2_CALLBACK_URL_HEADER,
    is_forwardable_header,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Mapping, Optional, Sequence


class Invocation:
    """A request: `headers` are pairs of lower-case name and value, in the order of the wire.

    `meta` is what else the server tells: method, target and client, each unless it is the usual one.
    """

    __slots__ = ("request_id", "session_id", "headers", "meta", "_request_headers")

    def __init__(
        self,
        request_id: str,
        session_id: Optional[str],
        headers: Sequence[Sequence[str]],
        meta: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.request_id = request_id
        self.session_id = session_id
        self.headers = headers
        self.meta = meta

    def header(self, name: str) -> Optional[str]:
        """Returns the first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def request_headers(self) -> Optional[Dict[str, str]]:
        """The headers that reach the agent; `None` if there are none. Of a repeated header the last value wins."""
        try:
            return self._request_headers
        except AttributeError:
            forwarded = {
                AUTHORIZATION_HEADER if key == "authorization" else key: value
                for key, value in self.headers
                if is_forwardable_header(key)
            }
            self._request_headers: Optional[Dict[str, str]] = forwarded or None
            return self._request_headers

    @property
    def workload_access_token(self) -> Optional[str]:
        return self.header(IDENTITY_WAT_HEADER.lower()) or self.header(ACCESS_TOKEN_HEADER.lower()) or None

    @property
    def oauth2_callback_url(self) -> Optional[str]:
        return self.header(OAUTH2_CALLBACK_URL_HEADER.lower()) or None

    def baggage(self, key: str) -> List[str]:
        """Returns the values that the `baggage` headers give to a key (W3C: percent-encoded, properties dropped)."""
        values = []
        for name, line in self.headers:
            if name != "baggage":
                continue
            for entry in line.split(","):
                found, _, value = entry.partition(";")[0].partition("=")
                value = value.strip()
                if value and _percent_decoded(found.strip()) == key:
                    values.append(_percent_decoded(value))
        return values


current: ContextVar[Invocation] = ContextVar("bedrock_agentcore_invocation")


def _percent_decoded(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)
