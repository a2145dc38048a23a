"""What an agent is told about a request: `context`, `context.request`, and what holds in its threads and tasks."""

import json

import reasons
from rows import Differs, ask

AGENT = "request.py"
OVER_TCP = True

PREFIX = "X-Amzn-Bedrock-AgentCore-Runtime-"
HEADERS = [
    f"{PREFIX}Session-Id: s-1",
    f"{PREFIX}Request-Id: r-1",
    "WorkloadAccessToken: t-1",
    "OAuth2CallbackUrl: https://a.example/cb",
    "Authorization: Bearer b",
    "X-One: é",
    "X-Many: 1",
    "X-Many: 2",
    f"{PREFIX}Custom-A: 1",
    f"{PREFIX}User-Id: u",
    'Cookie: a=1; b="q"; c; =d; e=f=g',
    "X-Amz-Date: no",
    "Accept: */*",
    "User-Agent: peers",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "baggage: a=1,b=2;c",
    "baggage: aws.agentcore.gateway.routing_experiment_arn=arn%3Aaws,d=%20e",
]
QUERY = "?a=1&a=2&b=%20x&c=&d&%C3%A9=%E4%B8%96"
REQUEST = """
    method url url-in-parts url-port url-equals url-replaced base-url query query-as-a-dict query-text query-get
    query-many headers headers-get headers-many headers-in headers-raw headers-missing cookies client path-params
    app scope scope-root scope-raw item state user auth session unknown class
""".split()
CONTEXT = """
    context context-class context-dumped context-dumped-in-part context-copied context-made context-empty
    context-unknown current thread thread-with-the-context pool changes stream
""".split()
LATER = "body json is-disconnected to-thread executor task gathered stream-later read-in-parts".split()

TARGETS = (
    "/invocations",
    "/invocations?qualifier=DEFAULT",
    "/%69nvocations?x=%",
    "/invocations?a=b+c%2Bd;e",
    "/invocations?%FF=%FE",
    "/invocations?",
    "/invocations?a&a=&=a&&b",
)
# Heads in which something is odd, and what is asked then.
HEADS = {
    "no-headers": ([], "headers"),
    "a-session-with-blanks": ([f"{PREFIX}Session-Id:   a b  "], "current"),
    "a-session-in-latin-1": ([f"{PREFIX}Session-Id: é"], "current"),
    "a-long-session": ([f"{PREFIX}Session-Id: {'s' * 300}"], "current"),
    "a-session-with-commas": ([f'{PREFIX}Session-Id: "a",b'], "current"),
    "two-sessions": ([f"{PREFIX}Session-Id: a", f"{PREFIX}session-id: b"], "current"),
    "a-request-id-in-latin-1": ([f"{PREFIX}Request-Id: é"], "current"),
    "a-request-id-of-markup": ([f"{PREFIX}Request-Id: <b>"], "current"),
    "a-long-request-id": ([f"{PREFIX}Request-Id: {'r' * 500}"], "current"),
    "two-request-ids": ([f"{PREFIX}Request-Id: a", f"{PREFIX}Request-Id: b"], "current"),
    "two-tokens": (["WorkloadAccessToken: a", "WorkloadAccessToken: b"], "current"),
    "two-kinds-of-tokens": (["X-Amz-Bedrock-AgentCore-Identity-WAT: w", "WorkloadAccessToken: b"], "current"),
    "two-authorizations": (["Authorization: a", "authorization: b"], "current"),
    "an-empty-authorization": (["Authorization:"], "current"),
    "two-callbacks": (["OAuth2CallbackUrl: a", "OAuth2CallbackUrl: b"], "current"),
    "many-custom-headers": ([f"{PREFIX}Custom-{number}: {number}" for number in range(30)], "current"),
    "a-custom-header-without-a-name": ([f"{PREFIX}Custom-: 1"], "current"),
    "other-headers-of-the-service": ([f"{PREFIX}User-Id: u", f"{PREFIX}Other: o"], "current"),
    "trace-headers": (["traceparent: a", "tracestate: b", "X-Amzn-Trace-Id: c", "x-ray: d"], "current"),
    "two-cookies": (["Cookie: a=1", "Cookie: b=2"], "cookies"),
    "odd-cookies": (['Cookie: a=1;b=2 ;  c = 3 ; d="x\\"y"; é=1; a=4; "z"=1;;e'], "cookies"),
    "a-host-in-capitals": (["Host: A.Example:80"], "url-in-parts"),
    "a-host-of-version-6": (["Host: [::1]:8080"], "url-in-parts"),
    "a-host-of-version-6-and-its-url": (["Host: [::1]:8080"], "url"),
    "baggage-twice": (["baggage: aws.agentcore.gateway.routing_experiment_arn=a", "baggage: b=c"], "current"),
    "baggage-that-is-none": (["baggage: ,,=;%%%"], "current"),
    "baggage-with-properties": (
        ["baggage: aws.agentcore.gateway.routing_experiment_variant_name=v%20w;p=q"],
        "current",
    ),
}
NO_HOSTS = ("a b", "a.example/x?y", "user@a.example")
NAMES = """
    X-A Authorization authorization Cookie Host X-Amz-Date x-amz-bedrock-agentcore-identity-wat x-amzn-x traceparent
    baggage :path X-Forwarded-Port X-Forwarded-For Sec-WebSocket-Protocol Sec-Fetch-Mode Content-Type content-length
    TE Priority Accept Accept-Encoding Origin User-Agent X-Api-Key Idempotency-Key X-Request-Id Forwarded Via
""".split()
NAMES += [f"{PREFIX}{rest}" for rest in ("Custom-", "Custom", "Session-Id", "Custom-a.b", "CUSTOM-A")] + [""]

_MISSED = {
    name: f"the request has no `{name}`: the middleware that sets it is not installed"
    for name in ("user", "auth", "session")
}
_FIRST = Differs(reasons.CONTEXT_OF_ITS_OWN, body=lambda body: body.replace('data: "unset"', 'data: "first"'))
DIFFERENT = {
    "headers-missing": reasons.with_type("KeyError"),
    "unknown": reasons.with_type("AttributeError"),
    "context-unknown": reasons.with_type("AttributeError"),
    "stream": _FIRST,
    "body": Differs(reasons.LEAF, body='"eyJkbyI6ICJib2R5In0="'),
}
# Where the agent has not imported Starlette, the request is the package's own.
OWN = {
    **{
        name: Differs(reasons.OWN_REQUEST, body=f'{{"error":"{told}","error_type":"AttributeError"}}')
        for name, told in _MISSED.items()
    },
    "url-replaced": reasons.json_instead(
        reasons.OWN_REQUEST, '{"error":"str.replace() takes no keyword arguments","error_type":"TypeError"}', 500
    ),
}
STARLETTES = {name: reasons.with_type("AssertionError") for name in _MISSED}
# What is known in the handler, and with the native engine also in threads of the event loop.
KNOWN = json.dumps(
    {
        "session": "s-1",
        "request": "r-1",
        "token": "t-1",
        "callback": "https://a.example/cb",
        "headers": {
            "workloadaccesstoken": "t-1",
            "oauth2callbackurl": "https://a.example/cb",
            "Authorization": "Bearer b",
            "x-one": "Ã©",
            "x-many": "2",
            f"{PREFIX.lower()}custom-a": "1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "baggage": "aws.agentcore.gateway.routing_experiment_arn=arn%3Aaws,d=%20e",
        },
        "experiment": ["arn:aws", None],
        "bundle": None,
        "own": "unset",
    },
    ensure_ascii=False,
)
_EXECUTOR = Differs(reasons.EXECUTOR, body=lambda _: KNOWN)


def rows(different, names, without_host="/invocations"):
    """What is asked with the same head, of everything; then with odd heads, of one thing each."""
    line = f"POST /invocations{QUERY}"
    for name in names:
        yield ask(name, line, body={"do": name}, headers=HEADERS, differs=different.get(name))
    for target in TARGETS:
        for name in ("url", "url-in-parts", "query", "scope-raw"):
            yield ask(f"{name} of {target}", f"POST {target}", body={"do": name})
    for name, (lines, do) in HEADS.items():
        own = f"{PREFIX}Request-Id: r"
        has_one = any(line.lower().startswith(own[:-3].lower()) for line in lines)
        yield ask(name, body={"do": do}, headers=lines if has_one else [*lines, own])
    yield ask("forwardable", body={"do": "forwardable", "names": NAMES})
    for host in NO_HOSTS:
        nowhere = Differs(reasons.HOST, body=f'"{without_host}"')
        yield ask(f"no-host {host}", body={"do": "url"}, headers=[f"Host: {host}"], differs=nowhere)
    local = Differs(reasons.FORWARDED, body='"http://agent.example:8080/invocations"')
    yield ask("a-scheme-that-was-forwarded", body={"do": "url"}, headers=["X-Forwarded-Proto: https"], differs=local)
    client, lines = Differs(reasons.FORWARDED, body='["127.0.0.1", "int"]'), ["X-Forwarded-For: 9.9.9.9"]
    yield ask("a-client-that-was-forwarded", body={"do": "client"}, headers=lines, differs=client)


def later(different, *options):
    """The same of an asynchronous agent, and what only it can be asked."""
    return rows({**different, "executor": _EXECUTOR}, [*REQUEST, *CONTEXT, *LATER], *options)


LOCAL = "http://localhost/invocations"
ROWS = {
    "sync": [*rows({**DIFFERENT, **OWN}, REQUEST + CONTEXT, LOCAL)],
    "async": [*later({**DIFFERENT, **OWN}, LOCAL)],
    "sync-starlette": [*rows({**DIFFERENT, **STARLETTES}, REQUEST + CONTEXT)],
    "async-starlette": [*later({**DIFFERENT, **STARLETTES})],
}
