//! What an invocation carries besides its payload: session, request id, headers and tokens.
//!
//! This module reads headers and never judges them: no token is checked here.

use std::fmt;
use std::sync::Arc;

use agentcore_protocol::{SessionId, header};
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The surroundings of one invocation.
///
/// Cloning is cheap. `Debug` shows header names only, because their values hold live tokens.
#[derive(Clone)]
#[non_exhaustive]
pub struct Context {
    session_id: Option<SessionId>,
    request_id: Arc<str>,
    headers: Arc<HeaderMap>,
}

impl Context {
    /// Reads the contract's headers out of a request's.
    ///
    /// An empty session id counts as none, and a missing or empty request id is replaced by a fresh one.
    pub fn from_headers(headers: HeaderMap) -> Self {
        let session_id = headers
            .get(header::SESSION_ID)
            .and_then(|value| SessionId::try_from(value).ok());
        let request_id = match headers.get(header::REQUEST_ID) {
            Some(value) if !value.is_empty() => latin1(value).into(),
            _ => fresh_request_id(),
        };
        Self {
            session_id,
            request_id,
            headers: Arc::new(headers),
        }
    }

    /// Returns the session that the caller named, if it named one.
    pub fn session_id(&self) -> Option<&SessionId> {
        self.session_id.as_ref()
    }

    /// Returns the id of this request: the caller's, or one made for it.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Returns all headers of the request, tokens included: never log them.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the headers that the contract shows to an agent's code, under the names it shows them.
    pub fn forwarded_headers(&self) -> Vec<(String, String)> {
        header::forwarded(&self.headers)
    }

    /// Returns the workload access token that the platform sent along, if it did.
    pub fn workload_access_token(&self) -> Option<String> {
        self.non_empty(&header::IDENTITY_WAT)
            .or_else(|| self.non_empty(&header::WORKLOAD_ACCESS_TOKEN))
    }

    /// Returns where an `OAuth2` authorization server sends the user back to, if the caller said so.
    pub fn oauth2_callback_url(&self) -> Option<String> {
        self.non_empty(&header::OAUTH2_CALLBACK_URL)
    }

    fn non_empty(&self, name: &HeaderName) -> Option<String> {
        let value = self.headers.get(name)?;
        (!value.is_empty()).then(|| latin1(value))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            session_id,
            request_id,
            headers,
        } = self;
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Context")
            .field("session_id", session_id)
            .field("request_id", request_id)
            .field("headers", &names)
            .finish()
    }
}

fn fresh_request_id() -> Arc<str> {
    let mut buffer = Uuid::encode_buffer();
    let text: &str = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    text.into()
}

/// Decodes byte by byte, as the reference does: nothing is lost and nothing fails.
fn latin1(value: &HeaderValue) -> String {
    value
        .as_bytes()
        .iter()
        .map(|&byte| char::from(byte))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(headers: &[(&'static str, &'static str)]) -> Context {
        let pairs = headers.iter().map(|&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value);
        }
        Context::from_headers(map)
    }

    #[test]
    fn the_first_session_header_counts_and_an_empty_one_is_none() {
        const NAME: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
        let session = |headers: &[(&'static str, &'static str)]| {
            context(headers)
                .session_id()
                .map(|id| id.as_str().to_owned())
        };
        assert_eq!(session(&[]), None);
        assert_eq!(session(&[(NAME, "")]), None);
        assert_eq!(
            session(&[(NAME, "one"), (NAME, "two")]).as_deref(),
            Some("one")
        );
    }

    #[test]
    fn a_missing_or_empty_request_id_is_made() {
        const NAME: &str = "x-amzn-bedrock-agentcore-runtime-request-id";
        assert_eq!(context(&[(NAME, "r-1")]).request_id(), "r-1");
        let made = context(&[(NAME, "")]);
        assert_eq!(made.request_id().len(), 36);
        assert_ne!(made.request_id(), context(&[]).request_id());
    }

    #[test]
    fn the_identity_token_is_preferred_to_the_older_one() {
        let both = context(&[
            ("workloadaccesstoken", "old"),
            ("x-amz-bedrock-agentcore-identity-wat", "new"),
        ]);
        assert_eq!(both.workload_access_token().as_deref(), Some("new"));
        let empty = context(&[
            ("workloadaccesstoken", "old"),
            ("x-amz-bedrock-agentcore-identity-wat", ""),
        ]);
        assert_eq!(empty.workload_access_token().as_deref(), Some("old"));
        assert_eq!(context(&[]).workload_access_token(), None);
    }

    #[test]
    fn debug_shows_no_header_value() {
        let text = format!(
            "{:?}",
            context(&[
                ("authorization", "Bearer secret-1"),
                ("oauth2callbackurl", "secret-2")
            ])
        );
        assert!(text.contains("authorization"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
