//! Values that are for use and not for show: tokens, and the headers that carry them.
//!
//! They are text in memory like any other. What this module prevents is that they are printed by accident.

use std::fmt;

use agentcore_protocol::header;

use crate::log::REDACTED;

/// A text that `Debug` does not show, such as a token.
///
/// It has no `Display` and no `Serialize`; whoever needs the text says so by [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The headers that the contract shows to an agent's code, as names and values.
///
/// `Authorization` comes under that name, every other name is lower-case. `Debug` shows no credentials: it prints
/// `[redacted]` for the values of `Authorization`, workload access tokens and the `OAuth2` callback URL. They are there all the same:
/// what is taken out with [`get`](Self::get) or [`iter`](Self::iter) is a plain text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ForwardedHeaders(Vec<(String, String)>);

impl ForwardedHeaders {
    pub(super) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Returns the value of a header, whose name may be in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.iter();
        pairs.find_map(|(it, value)| it.eq_ignore_ascii_case(name).then_some(value))
    }

    /// Returns all names with their values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns how many headers there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All names with their values, to collect them into a map, say.
impl IntoIterator for ForwardedHeaders {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for ForwardedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| {
            let is_secret = header::is_secret(name);
            (name, if is_secret { REDACTED } else { value })
        });
        f.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_only_to_those_who_ask() {
        let secret = Secret::new("token".to_owned());
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "[redacted] Some([redacted])"
        );
        assert_eq!(secret.expose(), "token");
    }

    #[test]
    fn forwarded_headers_are_found_in_any_case_and_shown_without_credentials() {
        let pairs = [
            ("Authorization", "Bearer secret"),
            ("workloadaccesstoken", "secret"),
            ("x-amz-bedrock-agentcore-identity-wat", "secret"),
            ("oauth2callbackurl", "https://secret"),
            ("x-team", "blue"),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = ForwardedHeaders::new(pairs.to_vec());
        let shown = format!("{headers:?} {headers:#?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(
            shown.contains(r#""Authorization": "[redacted]""#),
            "{shown}"
        );
        assert!(shown.contains(r#""x-team": "blue""#), "{shown}");
        assert_eq!(headers.get("authorization"), Some("Bearer secret"));
        assert_eq!(headers.get("X-Team"), Some("blue"));
        assert_eq!(headers.get("x-other"), None);
        assert_eq!((headers.len(), headers.is_empty()), (5, false));
        assert_eq!(headers.into_iter().collect::<Vec<_>>(), pairs);
    }
}
