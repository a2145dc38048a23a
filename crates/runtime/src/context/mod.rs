//! What an invocation carries besides its payload: session, request id, trace, headers and tokens.
//!
//! This module reads headers and never judges them: no token is checked here.

mod gateway;
mod secret;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use agentcore_protocol::SessionId;
use agentcore_protocol::baggage::Baggage;
use agentcore_protocol::header::{self, AMZN_TRACE_ID, TRACEPARENT, latin1};
use agentcore_protocol::trace::TraceContext;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, Method, Uri};
use uuid::Uuid;

pub use self::secret::{ForwardedHeaders, Secret};

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
    /// `None` if there is no app around the call.
    lent: Option<Arc<Scope>>,
}

/// What came with the request, beside its body.
struct RequestParts {
    session_id: Option<SessionId>,
    request_id: Box<str>,
    trace: Option<TraceContext>,
    headers: HeaderMap,
    /// Read when it is asked for.
    baggage: OnceLock<Baggage>,
    method: Method,
    uri: Uri,
    extensions: Extensions,
    client: Option<SocketAddr>,
    /// What stands in for an app's, made when it is asked for.
    nobodys: OnceLock<Scope>,
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
    /// An empty session id counts as none, and a missing or empty request id is replaced by a fresh one. The values of
    /// headers that carry credentials are marked as sensitive, which keeps them out of `Debug`.
    pub fn from_headers(headers: HeaderMap) -> Self {
        let mut request = http::Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/invocations");
        *request.headers_mut() = headers;
        Self::from_parts(request.into_parts().0)
    }

    /// The same for the whole head of a request.
    pub fn from_parts(head: Parts) -> Self {
        let Parts {
            mut headers,
            method,
            uri,
            extensions,
            ..
        } = head;
        let mut is_traced = false;
        for (name, value) in &mut headers {
            if header::is_secret(name.as_str()) {
                value.set_sensitive(true);
            }
            is_traced |= *name == TRACEPARENT || *name == AMZN_TRACE_ID;
        }
        let session_id = headers
            .get(header::SESSION_ID)
            .and_then(|value| SessionId::try_from(value).ok());
        let request_id = match headers.get(header::REQUEST_ID) {
            Some(value) if !value.is_empty() => latin1(value).into(),
            _ => fresh_request_id(),
        };
        let trace = is_traced.then(|| TraceContext::from_headers(&headers));
        let request = RequestParts {
            session_id,
            request_id,
            trace: trace.flatten(),
            headers,
            baggage: OnceLock::new(),
            method,
            uri,
            extensions,
            client: None,
            nobodys: OnceLock::new(),
        };
        Self {
            request: Arc::new(request),
            lent: None,
        }
    }

    /// Lends what the app has to the code that is called with this context.
    pub(crate) fn lend(&mut self, scope: Arc<Scope>) {
        self.lent = Some(scope);
    }

    fn scope(&self) -> &Scope {
        match &self.lent {
            Some(lent) => lent,
            None => self.request.nobodys.get_or_init(Scope::default),
        }
    }

    /// Returns the session with its state; `None` if the caller named none, or if there is no [`App`](crate::App) around the call.
    pub fn session(&self) -> Option<&Session> {
        self.scope().session.as_ref()
    }

    /// Returns the app's background tasks; those that are started through it keep the session open.
    ///
    /// Without an [`App`](crate::App) around the call these are tasks of nobody's.
    pub fn tasks(&self) -> &Tasks {
        &self.scope().tasks
    }

    /// Returns the app's status, to read and to force.
    pub fn health(&self) -> &Health {
        &self.scope().health
    }

    /// Notes where the request comes from, before anybody shares the context.
    pub(crate) fn came_from(&mut self, client: Option<SocketAddr>) {
        if let Some(request) = Arc::get_mut(&mut self.request) {
            request.client = client;
        }
    }

    /// Returns the address at the other end of the connection; `None` if it has none, as on a Unix-domain socket.
    ///
    /// Behind the platform's proxy, and behind any other, it is the proxy's.
    pub fn client(&self) -> Option<SocketAddr> {
        self.request.client
    }

    /// Returns the method of the request: `POST` for an invocation, `GET` for a WebSocket.
    pub fn method(&self) -> &Method {
        &self.request.method
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

    /// Returns the trace that the request belongs to, if the caller says so: by `traceparent` (W3C Trace Context), or else by
    /// `X-Amzn-Trace-Id`.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.request.trace.as_ref()
    }

    /// Returns all headers of the request, tokens included; `Debug` shows `Sensitive` for values that are credentials.
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// Returns the headers that the contract shows to an agent's code, under the names it shows them.
    pub fn forwarded_headers(&self) -> ForwardedHeaders {
        ForwardedHeaders::new(header::forwarded(&self.request.headers))
    }

    /// Returns the workload access token that the platform sent along, if it did.
    pub fn workload_access_token(&self) -> Option<Secret> {
        self.secret(&header::IDENTITY_WAT)
            .or_else(|| self.secret(&header::WORKLOAD_ACCESS_TOKEN))
    }

    /// Returns where an `OAuth2` authorization server sends the user back to, if the caller said so.
    pub fn oauth2_callback_url(&self) -> Option<Secret> {
        self.secret(&header::OAUTH2_CALLBACK_URL)
    }

    /// Returns the value of `Authorization`, scheme included, if the platform lets it through.
    pub fn authorization(&self) -> Option<Secret> {
        self.secret(&AUTHORIZATION)
    }

    fn secret(&self, name: &HeaderName) -> Option<Secret> {
        let value = self.request.headers.get(name)?;
        (!value.is_empty()).then(|| Secret::new(latin1(value)))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, lent: _ } = self;
        let RequestParts {
            session_id,
            request_id,
            trace,
            headers,
            baggage: _,
            method: _,
            uri: _,
            extensions: _,
            client: _,
            nobodys: _,
        } = &**request;
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("Context")
            .field("session_id", session_id)
            .field("request_id", request_id)
            .field("trace", trace)
            .field("headers", &names)
            .finish()
    }
}

fn fresh_request_id() -> Box<str> {
    let mut buffer = Uuid::encode_buffer();
    // From the system, for each one: sandboxes may be copies of one snapshot, and would share a generator of this process.
    let text: &str = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    text.into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
        let token = |context: &Context| {
            let token = context.workload_access_token();
            token.map(|token| token.expose().to_owned())
        };
        assert_eq!(token(&both).as_deref(), Some("new"));
        let empty = context(&[
            ("workloadaccesstoken", "old"),
            ("x-amz-bedrock-agentcore-identity-wat", ""),
        ]);
        assert_eq!(token(&empty).as_deref(), Some("old"));
        assert_eq!(token(&context(&[])), None);
    }

    #[test]
    fn no_credentials_are_shown_by_debug() {
        let context = context(&[
            ("authorization", "Bearer secret-1"),
            ("workloadaccesstoken", "secret-2"),
            ("x-amz-bedrock-agentcore-identity-wat", "secret-3"),
            ("oauth2callbackurl", "secret-4"),
            ("cookie", "secret-5"),
            ("proxy-authorization", "secret-6"),
            ("x-amz-security-token", "secret-7"),
            ("x-team", "blue"),
        ]);
        let headers = format!("{:?}", context.headers());
        assert_eq!(headers.matches("Sensitive").count(), 7, "{headers}");
        assert!(headers.contains("blue"), "{headers}");
        let all = format!(
            "{context:?} {headers} {:?} {:?} {:?} {:?}",
            context.forwarded_headers(),
            context.authorization(),
            context.workload_access_token(),
            context.oauth2_callback_url(),
        );
        assert!(all.contains("authorization"), "{all}");
        assert!(!all.contains("secret"), "{all}");
        assert_eq!(context.authorization().unwrap().expose(), "Bearer secret-1");
    }

    #[test]
    fn the_trace_is_known_before_it_is_asked_for() {
        let w3c = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = *context(&[("traceparent", w3c)]).trace().unwrap();
        assert_eq!(trace.to_traceparent().as_deref(), Some(w3c));
        assert_eq!(context(&[]).trace(), None);
    }
}
