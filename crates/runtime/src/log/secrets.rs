//! The last line of defence against credentials in the log: what one invocation brought as such, it cannot log.
//!
//! Only verbatim copies are found. A secret that is encoded anew, cut in pieces, or logged outside its invocation's span
//! is not.

use std::borrow::Cow;
use std::cmp::Reverse;

use agentcore_protocol::header;
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What stands in a secret's place.
pub(crate) const REDACTED: &str = "[redacted]";
/// Shorter ones are words that any line may contain.
const SHORTEST: usize = 8;

/// The secrets of one invocation: never empty, the longest first.
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Finds the secrets among the headers that are marked as sensitive.
    pub(super) fn among(headers: &HeaderMap) -> Option<Self> {
        let mut secrets: Vec<String> = headers
            .iter()
            .filter(|(_, value)| value.is_sensitive())
            .filter_map(|(name, value)| secret_of(name, value))
            .collect();
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        secrets.dedup();
        (!secrets.is_empty()).then_some(Self(secrets))
    }

    /// Returns the text with every secret blacked out.
    pub(super) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        text
    }
}

/// Returns what must not be logged of a header's value: of `Bearer <token>` the token, so that this is found alone too.
fn secret_of(name: &HeaderName, value: &HeaderValue) -> Option<String> {
    let whole = header::latin1(value);
    let has_scheme = name == AUTHORIZATION || name == PROXY_AUTHORIZATION;
    let credentials = whole.split_once(' ').map(|(_, rest)| rest.trim_start());
    [credentials.filter(|_| has_scheme), Some(whole.as_str())]
        .into_iter()
        .flatten()
        .find(|secret| secret.len() >= SHORTEST)
        .map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(headers: &[(&str, &str)], text: &str) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let mut value = HeaderValue::from_str(value).unwrap();
            value.set_sensitive(header::is_secret(name));
            map.append(name.parse::<HeaderName>().unwrap(), value);
        }
        Some(Secrets::among(&map)?.redact(text).into_owned())
    }

    #[test]
    fn a_secret_is_blacked_out_wherever_it_stands() {
        for (headers, text, expected) in [
            (
                &[("authorization", "Bearer eyJhbGciOi")][..],
                "got Bearer eyJhbGciOi and eyJhbGciOi",
                Some("got Bearer [redacted] and [redacted]"),
            ),
            (
                &[("authorization", "opaque-token")],
                "opaque-token",
                Some("[redacted]"),
            ),
            (
                &[("authorization", "Bearer abc")],
                "Bearer abc, abc",
                Some("[redacted], abc"),
            ),
            (
                &[
                    ("workloadaccesstoken", "token-1"),
                    ("oauth2callbackurl", "https://back/?s=1"),
                ],
                "token-1 https://back/?s=1",
                Some("token-1 [redacted]"),
            ),
            (
                &[
                    ("cookie", "12345678"),
                    ("workloadaccesstoken", "1234567890"),
                ],
                "1234567890 12345678",
                Some("[redacted] [redacted]"),
            ),
            (&[("cookie", "short")], "short", None),
            (&[("x-anything", "not a secret")], "not a secret", None),
            (&[], "", None),
        ] {
            assert_eq!(redacted(headers, text).as_deref(), expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_secret_is_left(
            secrets in proptest::collection::vec("[ab=]{8,12}", 1..4),
            words in proptest::collection::vec("[ab=]{0,12}", 0..8),
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let picked = order.iter().map(|index| index.get(&secrets).as_str());
            let text: String = words.iter().map(String::as_str).chain(picked).collect();
            let headers: Vec<(&str, &str)> =
                secrets.iter().map(|secret| ("cookie", secret.as_str())).collect();
            let redacted = redacted(&headers, &text).unwrap();
            for secret in &secrets {
                prop_assert!(!redacted.contains(secret), "{} in {}", secret, redacted);
            }
            let is_untouched = !secrets.iter().any(|secret| text.contains(secret));
            prop_assert_eq!(redacted == text, is_untouched);
        }
    }
}
