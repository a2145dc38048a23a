"""The constants of the runtime's contract: ping status, header names, names of debug actions."""

from __future__ import annotations

from enum import Enum

SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
SHELL_ID_HEADER = "X-Amzn-Bedrock-AgentCore-Shell-Id"
REQUEST_ID_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Request-Id"
ACCESS_TOKEN_HEADER = "WorkloadAccessToken"
IDENTITY_WAT_HEADER = "X-Amz-Bedrock-AgentCore-Identity-WAT"
OAUTH2_CALLBACK_URL_HEADER = "OAuth2CallbackUrl"
AUTHORIZATION_HEADER = "Authorization"
CUSTOM_HEADER_PREFIX = "X-Amzn-Bedrock-AgentCore-Runtime-Custom-"
AGENTCORE_RUNTIME_URL_ENV = "AGENTCORE_RUNTIME_URL"

BAGGAGE_KEY_EXPERIMENT_ARN = "aws.agentcore.gateway.routing_experiment_arn"
BAGGAGE_KEY_EXPERIMENT_VARIANT = "aws.agentcore.gateway.routing_experiment_variant_name"

TASK_ACTION_PING_STATUS = "ping_status"
TASK_ACTION_JOB_STATUS = "job_status"
TASK_ACTION_FORCE_HEALTHY = "force_healthy"
TASK_ACTION_FORCE_BUSY = "force_busy"
TASK_ACTION_CLEAR_FORCED_STATUS = "clear_forced_status"

RESTRICTED_HEADERS = frozenset(
    """
    proxy-authorization www-authenticate
    accept accept-charset accept-encoding accept-language
    content-type content-length content-encoding content-language content-location content-range
    cache-control etag expires if-match if-modified-since if-none-match if-range if-unmodified-since last-modified
    pragma vary
    connection keep-alive proxy-connection upgrade
    host user-agent referer from
    range accept-ranges transfer-encoding te trailer
    server date location retry-after
    set-cookie cookie
    content-security-policy content-security-policy-report-only strict-transport-security x-content-type-options
    x-frame-options x-xss-protection referrer-policy permissions-policy cross-origin-embedder-policy
    cross-origin-opener-policy cross-origin-resource-policy
    access-control-allow-origin access-control-allow-methods access-control-allow-headers
    access-control-allow-credentials access-control-expose-headers access-control-max-age
    access-control-request-method access-control-request-headers origin
    accept-ch accept-ch-lifetime dpr width viewport-width downlink ect rtt save-data
    clear-site-data feature-policy expect-ct public-key-pins public-key-pins-report-only
    via forwarded x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-requested-with x-csrf-token
    true-client-ip x-client-ip x-cluster-client-ip x-originating-ip x-source-ip x-original-url x-original-host
    x-rewrite-url
    cf-ray cf-connecting-ip x-amz-cf-id x-cache x-served-by
    :method :path :scheme :authority :status
    link
    sec-websocket-key sec-websocket-accept sec-websocket-version sec-websocket-protocol sec-websocket-extensions
    """.split()
)

_IDENTITY_WAT = IDENTITY_WAT_HEADER.lower()
_CUSTOM_PREFIX = CUSTOM_HEADER_PREFIX.lower()


class PingStatus(str, Enum):
    """What `/ping` says about the agent."""

    HEALTHY = "Healthy"
    HEALTHY_BUSY = "HealthyBusy"


def is_forwardable_header(header_name: str) -> bool:
    """Returns whether a request header of this name reaches the agent, in any spelling of its case."""
    name = header_name.lower()
    if name in RESTRICTED_HEADERS:
        return False
    if name.startswith("x-amz-"):
        return name == _IDENTITY_WAT
    if name.startswith("x-amzn-"):
        return name.startswith(_CUSTOM_PREFIX)
    return True
