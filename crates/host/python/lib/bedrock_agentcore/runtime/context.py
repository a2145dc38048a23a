"""What a handler can know about the request that it answers.

Values live in context variables. Each request runs in a context of its own, so what one request sets or receives is
gone when the next one begins, also on a thread that serves many.
"""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from functools import wraps

from ._invocation import Invocation, current
from .models import BAGGAGE_KEY_EXPERIMENT_ARN, BAGGAGE_KEY_EXPERIMENT_VARIANT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Container, Dict, Mapping, Optional, Tuple, TypeVar

    T = TypeVar("T")
    F = TypeVar("F", bound=Callable[..., Any])

_BUNDLE_ARN = "aws.agentcore.configbundle_arn"
_BUNDLE_VERSION = "aws.agentcore.configbundle_version"
_SECRETS = frozenset(
    ("authorization", "workloadaccesstoken", "oauth2callbackurl", "x-amz-bedrock-agentcore-identity-wat", "cookie")
)
_FIELDS = ("session_id", "request_headers", "request")


class RequestContext:
    """The request that a handler answers, as its parameter `context`.

    `session_id` is the caller's session; `request_headers` the headers that reach the agent, or `None`;
    `request` the request itself, with `headers`, `state`, `url` and the like.
    """

    __slots__ = ("session_id", "request_headers", "request", "_invocation", "_body")

    session_id: Optional[str]
    request_headers: Optional[Dict[str, str]]
    request: Any
    _invocation: Invocation
    _body: Optional[bytes]

    def __init__(
        self,
        session_id: Optional[str] = None,
        request_headers: Optional[Dict[str, str]] = None,
        request: Any = None,
    ) -> None:
        self.session_id = session_id
        self.request_headers = request_headers
        self.request = request

    @classmethod
    def _of(cls, invocation: Invocation, body: Optional[bytes] = None) -> RequestContext:
        # The other fields are filled in when a handler reads them.
        context = cls.__new__(cls)
        context.session_id = invocation.session_id
        context._invocation = invocation
        context._body = body
        return context

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            if name == "request_headers":
                self.request_headers = self._invocation.request_headers
                return self.request_headers
            if name == "request":
                from ._request import received
                from ._scope import scope_of

                self.request = received(scope_of(self._invocation), self._body)
                return self.request
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def model_dump(
        self,
        *,
        include: Optional[Container[str]] = None,
        exclude: Optional[Container[str]] = None,
        exclude_none: bool = False,
        **_: Any,
    ) -> Dict[str, Any]:
        """Returns the fields as a dictionary, or some of them."""
        names = [name for name in _FIELDS if (include is None or name in include) and name not in (exclude or ())]
        fields = {name: getattr(self, name) for name in names}
        return {name: value for name, value in fields.items() if not (exclude_none and value is None)}

    def model_copy(self, *, update: Optional[Mapping[str, Any]] = None, deep: bool = False) -> RequestContext:
        """Returns another context with these fields, but for those that `update` names."""
        return RequestContext(**{**self.model_dump(), **(update or {})})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RequestContext):
            return NotImplemented
        return self.session_id == other.session_id and self.request_headers == other.request_headers

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Tuple[Any, ...]:
        # The request itself stays behind: it belongs to this process.
        return (RequestContext, (self.session_id, self.request_headers))

    def __repr__(self) -> str:
        # A context is printed into logs; tokens do not belong there.
        headers = self.request_headers and {
            name: "<hidden>" if name.lower() in _SECRETS else value for name, value in self.request_headers.items()
        }
        return f"RequestContext(session_id={self.session_id!r}, request_headers={headers!r})"


class ConfigBundleRef:
    """A configuration bundle that a request names."""

    __slots__ = ("bundle_arn", "bundle_version")

    def __init__(self, bundle_arn: str, bundle_version: str) -> None:
        self.bundle_arn = bundle_arn
        self.bundle_version = bundle_version

    @property
    def bundle_id(self) -> str:
        """The last part of the ARN."""
        return self.bundle_arn.rsplit("/", 1)[-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfigBundleRef):
            return NotImplemented
        return (self.bundle_arn, self.bundle_version) == (other.bundle_arn, other.bundle_version)

    def __hash__(self) -> int:
        return hash((self.bundle_arn, self.bundle_version))

    def __repr__(self) -> str:
        return f"ConfigBundleRef(bundle_arn={self.bundle_arn!r}, bundle_version={self.bundle_version!r})"


class BedrockAgentCoreContext:
    """The values of the current request, for code that is not handed a `RequestContext`.

    A getter returns what was set in this context, otherwise what the request brought, otherwise `None`.
    """

    _workload_access_token: ContextVar[Optional[str]] = ContextVar("workload_access_token")
    _oauth2_callback_url: ContextVar[Optional[str]] = ContextVar("oauth2_callback_url")
    _request_id: ContextVar[Optional[str]] = ContextVar("request_id")
    _session_id: ContextVar[Optional[str]] = ContextVar("session_id")
    _request_headers: ContextVar[Optional[Dict[str, str]]] = ContextVar("request_headers")
    _routing_experiment_arn: ContextVar[Optional[str]] = ContextVar("routing_experiment_arn")
    _routing_experiment_variant: ContextVar[Optional[str]] = ContextVar("routing_experiment_variant")
    _config_bundle_ref: ContextVar[Optional[ConfigBundleRef]] = ContextVar("config_bundle_ref")
    _bundle_fetcher: ContextVar[Optional[Callable[[], Dict[str, Any]]]] = ContextVar("bundle_fetcher")

    @classmethod
    def set_workload_access_token(cls, token: str) -> None:
        """Sets the workload access token."""
        cls._workload_access_token.set(token)

    @classmethod
    def get_workload_access_token(cls) -> Optional[str]:
        """Returns the workload access token."""
        return _value(cls._workload_access_token, lambda invocation: invocation.workload_access_token)

    @classmethod
    def set_oauth2_callback_url(cls, workload_callback_url: str) -> None:
        """Sets the OAuth2 callback URL."""
        cls._oauth2_callback_url.set(workload_callback_url)

    @classmethod
    def get_oauth2_callback_url(cls) -> Optional[str]:
        """Returns the OAuth2 callback URL."""
        return _value(cls._oauth2_callback_url, lambda invocation: invocation.oauth2_callback_url)

    @classmethod
    def set_request_context(cls, request_id: str, session_id: Optional[str] = None) -> None:
        """Sets the ids of the request and of its session."""
        cls._request_id.set(request_id)
        cls._session_id.set(session_id)

    @classmethod
    def get_request_id(cls) -> Optional[str]:
        """Returns the id of the request."""
        return _value(cls._request_id, lambda invocation: invocation.request_id)

    @classmethod
    def get_session_id(cls) -> Optional[str]:
        """Returns the id of the session."""
        return _value(cls._session_id, lambda invocation: invocation.session_id)

    @classmethod
    def set_request_headers(cls, headers: Dict[str, str]) -> None:
        """Sets the headers that reach the agent."""
        cls._request_headers.set(headers)

    @classmethod
    def get_request_headers(cls) -> Optional[Dict[str, str]]:
        """Returns the headers that reach the agent."""
        return _value(cls._request_headers, lambda invocation: invocation.request_headers)

    @classmethod
    def set_routing_experiment(cls, arn: Optional[str], variant: Optional[str]) -> None:
        """Sets the routing experiment and its variant."""
        cls._routing_experiment_arn.set(arn)
        cls._routing_experiment_variant.set(variant)

    @classmethod
    def get_routing_experiment_arn(cls) -> Optional[str]:
        """Returns the ARN of the gateway's routing experiment."""
        return _value(cls._routing_experiment_arn, lambda invocation: _first(invocation, BAGGAGE_KEY_EXPERIMENT_ARN))

    @classmethod
    def get_routing_experiment_variant(cls) -> Optional[str]:
        """Returns the variant of the gateway's routing experiment."""
        return _value(
            cls._routing_experiment_variant, lambda invocation: _first(invocation, BAGGAGE_KEY_EXPERIMENT_VARIANT)
        )

    @classmethod
    def set_config_bundle_ref(cls, ref: Optional[ConfigBundleRef]) -> None:
        """Sets the configuration bundle."""
        cls._config_bundle_ref.set(ref)

    @classmethod
    def get_config_bundle_ref(cls) -> Optional[ConfigBundleRef]:
        """Returns the configuration bundle that the request names."""
        return _value(cls._config_bundle_ref, _bundle)

    @classmethod
    def get_config_bundle(cls) -> Dict[str, Any]:
        """Returns the configuration that the loader gives; without a loader `{}`."""
        fetcher = cls._bundle_fetcher.get(None)
        if fetcher is not None:
            return fetcher()
        if cls.get_config_bundle_ref() is not None:
            from . import _log

            _log.emit(
                _log.WARNING,
                "The request names a configuration bundle, which the native engine does not load: use `engine: sdk`",
            )
        return {}

    @staticmethod
    def wrap(function: F) -> F:
        """Returns a function that runs in a copy of the current context, in whatever thread it is called.

        For threads of the agent's own, which know of no request otherwise:
        `Thread(target=BedrockAgentCoreContext.wrap(work))`, `pool.submit(BedrockAgentCoreContext.wrap(work))`.
        """
        context = copy_context()

        @wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            # A copy for each call: two threads cannot be in one context, and what one sets the other does not see.
            return context.copy().run(function, *args, **kwargs)

        return within  # type: ignore[return-value]

    @classmethod
    def _set_bundle_loader(cls, fetcher: Callable[[], Dict[str, Any]]) -> None:
        cls._bundle_fetcher.set(fetcher)

    @classmethod
    def _clear_bundle_loader(cls) -> None:
        cls._bundle_fetcher.set(None)


_UNSET: Any = object()


def _value(variable: ContextVar[Optional[T]], of_request: Callable[[Invocation], Optional[T]]) -> Optional[T]:
    value = variable.get(_UNSET)
    if value is not _UNSET:
        return value
    invocation = current.get(None)
    return None if invocation is None else of_request(invocation)


def _first(invocation: Invocation, key: str) -> Optional[str]:
    values = invocation.baggage(key)
    return values[0] if values else None


def _bundle(invocation: Invocation) -> Optional[ConfigBundleRef]:
    arn, version = _first(invocation, _BUNDLE_ARN), _first(invocation, _BUNDLE_VERSION)
    if arn is None or version is None or not arn.rpartition("/")[2] or "/" not in arn:
        return None
    return ConfigBundleRef(arn, version)
