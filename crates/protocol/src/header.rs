//! Header names of the AgentCore contract, and which request headers an agent gets to see.
//!
//! This module names and filters headers; it never interprets a token and never decides whether a
//! caller is allowed.

mod restricted;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use self::restricted::RESTRICTED;

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
/// The trace of a request as W3C Trace Context has it.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The trace of a request as AWS X-Ray has it.
pub const AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
/// Key-value pairs that travel with a trace (W3C Baggage); the header may be repeated.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
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

/// Tells whether the values of a header of this name, in any case, are credentials, or lead to some: they belong into no log.
///
/// These are `Authorization`, `Proxy-Authorization`, `Cookie`, [`IDENTITY_WAT`], [`WORKLOAD_ACCESS_TOKEN`],
/// [`OAUTH2_CALLBACK_URL`] and `X-Amz-Security-Token`. What an author's own headers hold is not known here.
pub fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|it| it.eq_ignore_ascii_case(name))
}

/// Names of headers whose values are credentials, or lead to some.
const SECRET: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "workloadaccesstoken",
    "x-amz-bedrock-agentcore-identity-wat",
    "oauth2callbackurl",
    "x-amz-security-token",
];

/// Decodes a header value byte by byte: every byte is one character, so nothing is lost and nothing
/// fails.
pub fn latin1(value: &HeaderValue) -> String {
    value
        .as_bytes()
        .iter()
        .map(|&byte| char::from(byte))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

    #[test]
    fn credentials_are_secret_and_ids_are_not() {
        for (name, expected) in [
            ("Authorization", true),
            ("PROXY-AUTHORIZATION", true),
            ("Cookie", true),
            ("WorkloadAccessToken", true),
            ("X-Amz-Bedrock-AgentCore-Identity-WAT", true),
            ("OAuth2CallbackUrl", true),
            ("X-Amz-Security-Token", true),
            ("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", false),
            ("traceparent", false),
            ("content-type", false),
        ] {
            assert_eq!(is_secret(name), expected, "{name}");
        }
        for name in [IDENTITY_WAT, WORKLOAD_ACCESS_TOKEN, OAUTH2_CALLBACK_URL] {
            assert!(is_secret(name.as_str()), "{name}");
        }
    }

    /// Names of every kind: restricted ones, those that a prefix decides, and any others.
    fn names() -> impl Strategy<Value = String> {
        let prefix = proptest::sample::select(vec![
            "x-amz-",
            "x-amzn-",
            "x-amzn-bedrock-agentcore-runtime-",
            CUSTOM_PREFIX,
            "x-amz-bedrock-agentcore-identity-wat",
            "x-",
            "",
        ]);
        prop_oneof![
            proptest::sample::select(RESTRICTED).prop_map(ToOwned::to_owned),
            (prefix, "[a-z0-9_-]{0,12}").prop_map(|(prefix, rest)| format!("{prefix}{rest}")),
        ]
    }

    /// The same name with the letters in upper case that `upper` says.
    fn in_mixed_case(name: &str, upper: &[bool]) -> String {
        name.chars()
            .zip(upper.iter().cycle())
            .map(|(letter, &upper)| {
                if upper {
                    letter.to_ascii_uppercase()
                } else {
                    letter
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn the_case_of_a_name_changes_nothing(
            name in names(),
            upper in proptest::collection::vec(any::<bool>(), 1..40),
        ) {
            let mixed = in_mixed_case(&name, &upper);
            prop_assert_eq!(is_forwardable(&mixed), is_forwardable(&name), "{}", mixed);
        }

        #[test]
        fn every_name_is_judged_by_the_list_then_by_its_prefix(name in names()) {
            let expected = if RESTRICTED.contains(&name.as_str()) {
                false
            } else if name.starts_with("x-amz-") {
                name == IDENTITY_WAT.as_str()
            } else if name.starts_with("x-amzn-") {
                name.starts_with(CUSTOM_PREFIX)
            } else {
                true
            };
            prop_assert_eq!(is_forwardable(&name), expected);
        }

        #[test]
        fn what_is_shown_is_what_came(
            pairs in proptest::collection::vec(
                (names(), proptest::collection::vec(0x20_u8..=0xff, 0..20)),
                0..12,
            ),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &pairs {
                let value = HeaderValue::from_bytes(value);
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value) {
                    headers.append(name, value);
                }
            }
            let shown = forwarded(&headers);
            for (name, text) in &shown {
                prop_assert!(is_forwardable(name), "{}", name);
                let last = headers.get_all(name).iter().next_back().unwrap();
                let bytes: Vec<u8> = text.chars().map(|it| u8::try_from(it).unwrap()).collect();
                prop_assert_eq!(last.as_bytes(), &bytes[..], "nothing is lost");
            }
            let expected = headers.keys().filter(|name| is_forwardable(name.as_str())).count();
            prop_assert_eq!(shown.len(), expected, "each once, and none is missing");
        }
    }
}
