//! Header names of the AgentCore contract, and which request headers an agent gets to see.
//!
//! This module names and filters headers; it never interprets a token and never decides whether a
//! caller is allowed.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The session of an invocation; the service always returns it too.
pub const SESSION_ID: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-session-id");
/// The id of one request; an agent's server makes one where it is missing or empty.
pub const REQUEST_ID: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-request-id");
/// The workload access token; preferred over [`WORKLOAD_ACCESS_TOKEN`].
pub const IDENTITY_WAT: HeaderName =
    HeaderName::from_static("x-amz-bedrock-agentcore-identity-wat");
/// The workload access token under its older name.
pub const WORKLOAD_ACCESS_TOKEN: HeaderName = HeaderName::from_static("workloadaccesstoken");
/// Where an `OAuth2` authorization server sends the user back to.
pub const OAUTH2_CALLBACK_URL: HeaderName = HeaderName::from_static("oauth2callbackurl");
/// The user on whose behalf the caller invokes; read by the service, not by agents.
pub const USER_ID: HeaderName = HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-user-id");
/// The exception name in an error answer of the service.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// How every custom header starts that the service lets through to the agent.
pub const CUSTOM_PREFIX: &str = "x-amzn-bedrock-agentcore-runtime-custom-";

/// Tells whether a request header of this name, in any case, is shown to the agent's code.
///
/// Hop-by-hop, content, caching, cookie, browser-policy and proxy headers are not, nor are
/// `x-amz-*` and `x-amzn-*` headers other than [`IDENTITY_WAT`] and those that start with
/// [`CUSTOM_PREFIX`].
///
/// ```
/// use agentcore_protocol::header::is_forwardable;
///
/// assert!(is_forwardable("X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team"));
/// assert!(!is_forwardable("Cookie"));
/// ```
pub fn is_forwardable(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if RESTRICTED.binary_search(&name.as_str()).is_ok() {
        return false;
    }
    if name.starts_with("x-amz-") {
        return name == IDENTITY_WAT.as_str();
    }
    !name.starts_with("x-amzn-") || name.starts_with(CUSTOM_PREFIX)
}

/// Returns the headers shown to the agent's code, as the reference SDK presents them.
///
/// `Authorization` comes first and under its canonical name, every other name is lower-case. Of a
/// repeated header the last value counts, values are decoded as Latin-1, and empty values are kept.
pub fn forwarded(headers: &HeaderMap) -> Vec<(String, String)> {
    let last = |name| headers.get_all(name).iter().next_back().map(latin1);
    let authorization = last(&AUTHORIZATION).map(|value| ("Authorization".to_owned(), value));
    let others = headers
        .keys()
        .filter(|name| *name != AUTHORIZATION && is_forwardable(name.as_str()))
        .filter_map(|name| Some((name.as_str().to_owned(), last(name)?)));
    authorization.into_iter().chain(others).collect()
}

/// Decodes a header value byte by byte: every byte is one character, so nothing is lost and nothing
/// fails.
pub(crate) fn latin1(value: &HeaderValue) -> String {
    value
        .as_bytes()
        .iter()
        .map(|&byte| char::from(byte))
        .collect()
}

/// Names that never reach the agent's code: lower-case and sorted, for the binary search.
const RESTRICTED: &[&str] = &[
    ":authority",
    ":method",
    ":path",
    ":scheme",
    ":status",
    "accept",
    "accept-ch",
    "accept-ch-lifetime",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-request-headers",
    "access-control-request-method",
    "cache-control",
    "cf-connecting-ip",
    "cf-ray",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "cookie",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "downlink",
    "dpr",
    "ect",
    "etag",
    "expect-ct",
    "expires",
    "feature-policy",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "origin",
    "permissions-policy",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "public-key-pins",
    "public-key-pins-report-only",
    "range",
    "referer",
    "referrer-policy",
    "retry-after",
    "rtt",
    "save-data",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "viewport-width",
    "width",
    "www-authenticate",
    "x-amz-cf-id",
    "x-cache",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-content-type-options",
    "x-csrf-token",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-frame-options",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-real-ip",
    "x-requested-with",
    "x-rewrite-url",
    "x-served-by",
    "x-source-ip",
    "x-xss-protection",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_restricted_names_are_sorted_lower_case_and_all_there() {
        assert!(RESTRICTED.is_sorted_by(|a, b| a < b));
        assert!(
            RESTRICTED
                .iter()
                .all(|name| *name == name.to_ascii_lowercase())
        );
        assert_eq!(RESTRICTED.len(), 108);
    }

    /// The restricted names of the contract, by what they are about.
    const CLASSES: &[(&str, &str)] = &[
        ("authentication", "Proxy-Authorization WWW-Authenticate"),
        (
            "negotiation",
            "Accept Accept-Charset Accept-Encoding Accept-Language",
        ),
        (
            "content",
            "Content-Type Content-Length Content-Encoding Content-Language",
        ),
        ("content parts", "Content-Location Content-Range"),
        (
            "caching",
            "Cache-Control ETag Expires Last-Modified Pragma Vary",
        ),
        (
            "conditions",
            "If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since",
        ),
        (
            "connection",
            "Connection Keep-Alive Proxy-Connection Upgrade",
        ),
        ("request", "Host User-Agent Referer From"),
        (
            "transfer",
            "Range Accept-Ranges Transfer-Encoding TE Trailer",
        ),
        ("response", "Server Date Location Retry-After Link"),
        ("cookies", "Set-Cookie Cookie"),
        (
            "content policy",
            "Content-Security-Policy Content-Security-Policy-Report-Only",
        ),
        (
            "page security",
            "Strict-Transport-Security X-Content-Type-Options X-Frame-Options",
        ),
        (
            "more page security",
            "X-XSS-Protection Referrer-Policy Permissions-Policy",
        ),
        (
            "isolation",
            "Cross-Origin-Embedder-Policy Cross-Origin-Opener-Policy",
        ),
        (
            "more isolation",
            "Cross-Origin-Resource-Policy Clear-Site-Data Feature-Policy",
        ),
        (
            "CORS answers",
            "Access-Control-Allow-Origin Access-Control-Allow-Methods",
        ),
        (
            "more CORS answers",
            "Access-Control-Allow-Headers Access-Control-Allow-Credentials",
        ),
        (
            "exposed by CORS",
            "Access-Control-Expose-Headers Access-Control-Max-Age",
        ),
        (
            "CORS",
            "Access-Control-Request-Method Access-Control-Request-Headers Origin",
        ),
        (
            "client hints",
            "Accept-CH Accept-CH-Lifetime DPR Width Viewport-Width",
        ),
        ("network hints", "Downlink ECT RTT Save-Data"),
        (
            "certificates",
            "Expect-CT Public-Key-Pins Public-Key-Pins-Report-Only",
        ),
        (
            "proxies",
            "Via Forwarded X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto",
        ),
        ("scripts", "X-Requested-With X-CSRF-Token"),
        (
            "addresses",
            "X-Real-IP True-Client-IP X-Client-IP X-Cluster-Client-IP",
        ),
        ("claimed addresses", "X-Originating-IP X-Source-IP"),
        ("rewrites", "X-Original-URL X-Original-Host X-Rewrite-URL"),
        (
            "edges",
            "CF-Ray CF-Connecting-IP X-Amz-Cf-Id X-Cache X-Served-By",
        ),
        ("HTTP/2", ":method :path :scheme :authority :status"),
        (
            "WebSocket",
            "Sec-WebSocket-Key Sec-WebSocket-Accept Sec-WebSocket-Version",
        ),
        (
            "WebSocket choices",
            "Sec-WebSocket-Protocol Sec-WebSocket-Extensions",
        ),
    ];

    #[test]
    fn restricted_names_of_every_class_stay_outside_in_any_case() {
        let mut named = 0;
        for (class, names) in CLASSES {
            for name in names.split(' ') {
                named += 1;
                for spelling in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
                    assert!(!is_forwardable(&spelling), "{class}: {spelling}");
                }
            }
        }
        assert_eq!(named, RESTRICTED.len());
    }

    #[test]
    fn names_that_are_not_restricted_are_judged_by_their_prefix() {
        for (name, expected) in [
            ("Authorization", true),
            ("WorkloadAccessToken", true),
            ("OAuth2CallbackUrl", true),
            ("baggage", true),
            ("traceparent", true),
            ("Mcp-Session-Id", true),
            ("X-Forwarded-Port", true),
            ("X-Anything", true),
            ("", true),
            ("x-am", true),
            ("x-amz", true),
            ("x-amznfoo", true),
            ("X-Amz-Bedrock-AgentCore-Identity-WAT", true),
            ("x-amz-bedrock-agentcore-identity-wat2", false),
            ("X-Amz-Date", false),
            ("X-Amz-Security-Token", false),
            ("X-Amzn-Trace-Id", false),
            ("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", false),
            ("X-Amzn-Bedrock-AgentCore-Runtime-Request-Id", false),
            ("X-Amzn-Bedrock-AgentCore-Runtime-User-Id", false),
            ("X-Amzn-Bedrock-AgentCore-Runtime-Custom", false),
            ("X-Amzn-Bedrock-AgentCore-Runtime-Custom-", true),
            ("X-AMZN-BEDROCK-AGENTCORE-RUNTIME-CUSTOM-TEAM", true),
        ] {
            assert_eq!(is_forwardable(name), expected, "{name}");
        }
    }

    #[test]
    fn forwarded_headers_look_as_the_reference_shows_them() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (
                "x-amzn-bedrock-agentcore-runtime-custom-team",
                &b"first"[..],
            ),
            ("x-amzn-bedrock-agentcore-runtime-session-id", b"s1"),
            ("x-amzn-bedrock-agentcore-runtime-custom-team", b"last"),
            ("cookie", b"secret"),
            ("authorization", b"Bearer a"),
            ("authorization", b"Bearer b"),
            ("x-latin", b"caf\xe9"),
            ("x-utf8", "é".as_bytes()),
            ("x-empty", b""),
        ] {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let expected = [
            ("Authorization", "Bearer b"),
            ("x-amzn-bedrock-agentcore-runtime-custom-team", "last"),
            ("x-latin", "café"),
            ("x-utf8", "Ã©"),
            ("x-empty", ""),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(forwarded(&headers), expected);
        assert_eq!(forwarded(&HeaderMap::new()), []);
    }
}
