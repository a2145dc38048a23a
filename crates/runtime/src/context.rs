//! What an invocation carries besides its payload: session, request id, headers and tokens.
//!
//! This module reads headers and never judges them: no token is checked here.

use std::fmt;
use std::sync::Arc;

use agentcore_protocol::{SessionId, header};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Uri};
use uuid::Uuid;

use crate::health::Health;
use crate::sessions::Session;
use crate::tasks::Tasks;

/// The surroundings of one invocation.
///
/// Cloning is cheap. `Debug` shows header names only, because their values hold live tokens.
#[derive(Clone)]
#[non_exhaustive]
pub struct Context {
    request: Arc<RequestParts>,
    scope: Scope,
}

/// What came with the request, beside its body.
struct RequestParts {
    session_id: Option<SessionId>,
    request_id: Box<str>,
    headers: HeaderMap,
    uri: Uri,
    extensions: Extensions,
}

/// What an app lends to the code that answers an invocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) session: Option<Session>,
    pub(crate) tasks: Tasks,
    pub(crate) health: Health,
}

impl Context {
    /// Reads the contract's headers out of a request's.
    ///
    /// An empty session id counts as none, and a missing or empty request id is replaced by a fresh one.
    pub fn from_headers(headers: HeaderMap) -> Self {
        let mut request = http::Request::new(());
        *request.headers_mut() = headers;
        Self::from_parts(request.into_parts().0)
    }

    /// The same for the whole head of a request.
    pub fn from_parts(head: Parts) -> Self {
        let Parts {
            headers,
            uri,
            extensions,
            ..
        } = head;
        let session_id = headers
            .get(header::SESSION_ID)
            .and_then(|value| SessionId::try_from(value).ok());
        let request_id = match headers.get(header::REQUEST_ID) {
            Some(value) if !value.is_empty() => latin1(value).into(),
            _ => fresh_request_id(),
        };
        let request = RequestParts {
            session_id,
            request_id,
            headers,
            uri,
            extensions,
        };
        Self {
            request: Arc::new(request),
            scope: Scope::default(),
        }
    }

    /// Lends what the app has to the code that is called with this context.
    pub(crate) fn lend(&mut self, scope: Scope) {
        self.scope = scope;
    }

    /// Returns the session with its state; `None` if the caller named none, or if there is no [`App`](crate::App) around the call.
    pub fn session(&self) -> Option<&Session> {
        self.scope.session.as_ref()
    }

    /// Returns the app's background tasks; those that are started through it keep the session open.
    ///
    /// Without an [`App`](crate::App) around the call these are tasks of nobody's.
    pub fn tasks(&self) -> &Tasks {
        &self.scope.tasks
    }

    /// Returns the app's status, to read and to force.
    pub fn health(&self) -> &Health {
        &self.scope.health
    }

    /// Returns the path and query of the request.
    pub fn uri(&self) -> &Uri {
        &self.request.uri
    }

    /// Returns what a middleware attached to the request.
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.request.extensions.get()
    }

    /// Returns the session that the caller named, if it named one.
    pub fn session_id(&self) -> Option<&SessionId> {
        self.request.session_id.as_ref()
    }

    /// Returns the id of this request: the caller's, or one made for it.
    pub fn request_id(&self) -> &str {
        &self.request.request_id
    }

    /// Returns all headers of the request, tokens included: never log them.
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// Returns the headers that the contract shows to an agent's code, under the names it shows them.
    pub fn forwarded_headers(&self) -> Vec<(String, String)> {
        header::forwarded(&self.request.headers)
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
        let value = self.request.headers.get(name)?;
        (!value.is_empty()).then(|| latin1(value))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, scope: _ } = self;
        let RequestParts {
            session_id,
            request_id,
            headers,
            uri: _,
            extensions: _,
        } = &**request;
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Context")
            .field("session_id", session_id)
            .field("request_id", request_id)
            .field("headers", &names)
            .finish()
    }
}

fn fresh_request_id() -> Box<str> {
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
