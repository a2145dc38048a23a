//! The names of request headers that never reach an agent's code: the service's list, which the reference SDK repeats.
//!
//! Only names that are listed one by one are here; what is judged by its prefix is judged in `header.rs`.

/// Names that never reach the agent's code: lower-case and sorted, for the binary search.
pub(super) const RESTRICTED: &[&str] = &[
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
    use crate::header::is_forwardable;

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
}
