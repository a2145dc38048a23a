//! An app called without a socket, for the tests of authors: [`TestAgent`], behind the feature `test-util`.
//!
//! Requests go through the same routes, layers and threads as in a server; only connections are missing, and with them what they
//! bound: slow callers and the drain. WebSockets need a connection.

#![expect(
    clippy::missing_panics_doc,
    reason = "`TestAgent` says it for all of them"
)]

use std::fmt;

use agentcore_protocol::header::SESSION_ID;
use agentcore_protocol::{Ping, PingStatus, SessionId, sse};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

use crate::app::App;

/// An app that a test calls: [`App::router`] without the ceremony.
///
/// Cloning it gives another caller of the same app. It has to be created and used within a tokio runtime.
///
/// ```
/// use agentcore_runtime::{App, TestAgent};
/// use serde_json::{Value, json};
///
/// async fn greet(payload: Value) -> Value {
///     json!({ "greeting": format!("Hello, {}!", payload["name"].as_str().unwrap_or("you")) })
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let agent = TestAgent::new(App::new(greet));
/// let answer = agent.session("a session").invoke(json!({ "name": "Ada" })).await;
/// assert_eq!(answer.status, 200);
/// assert_eq!(answer.json(), json!({ "greeting": "Hello, Ada!" }));
/// # });
/// ```
///
/// # Time
///
/// The agent's code runs on threads of its own, as in production, and their clock is the real one. In a test with
/// `#[tokio::test(start_paused = true)]` the test's clock would run ahead of them, and with it the server's own limits, as soon as
/// everything waits for them: there, give the app [`Threads::Shared`](crate::Threads::Shared), so that one paused clock is everybody's.
///
/// # Panics
///
/// What a test gets wrong, such as a header that cannot be one or an answer that is not what was asked of it, panics with a
/// sentence about it.
#[derive(Clone, Debug)]
#[must_use = "nothing is called until it is invoked"]
pub struct TestAgent {
    router: Router,
    headers: HeaderMap,
}

impl TestAgent {
    /// Starts an app for a test.
    pub fn new(app: App) -> Self {
        Self {
            router: app.router(),
            headers: HeaderMap::new(),
        }
    }

    /// Returns a caller of the same app within a session.
    pub fn session(&self, id: &str) -> Self {
        let id: SessionId = match id.parse() {
            Ok(id) => id,
            Err(error) => panic!("{id:?} cannot be a session id: {error}"),
        };
        let mut caller = self.clone();
        caller.headers.insert(SESSION_ID, id.to_header_value());
        caller
    }

    /// Returns a caller of the same app who sends a header with each request, instead of one of the same name.
    pub fn header(&self, name: &str, value: &str) -> Self {
        let key = HeaderName::try_from(name)
            .unwrap_or_else(|error| panic!("`{name}` cannot be the name of a header: {error}"));
        let value = HeaderValue::try_from(value)
            .unwrap_or_else(|error| panic!("`{name}` cannot have the value {value:?}: {error}"));
        let mut caller = self.clone();
        caller.headers.insert(key, value);
        caller
    }

    /// Invokes the agent with a payload, which is sent as JSON, and reads the whole answer.
    pub async fn invoke(&self, payload: impl Serialize) -> TestAnswer {
        self.raw(to_json(&payload)).await
    }

    /// The same with a body that may be anything.
    pub async fn raw(&self, body: impl Into<Bytes>) -> TestAnswer {
        self.send(invocation(body.into())).await.whole().await
    }

    /// Invokes the agent with a payload and reads the events of its answer as they come; dropping the stream is the caller who
    /// leaves.
    ///
    /// An answer that is no stream panics when an event is asked of it; [`TestStream::status`] tells it before.
    pub async fn stream(&self, payload: impl Serialize) -> TestStream {
        self.send(invocation(to_json(&payload))).await
    }

    /// Returns the status that `/ping` reports, and when it last changed, in seconds since the Unix epoch.
    pub async fn ping(&self) -> (PingStatus, u64) {
        let answer = self.request(
            Request::get("/ping")
                .body(Body::empty())
                .expect("a valid request"),
        );
        let Ping {
            status,
            time_of_last_update,
        } = answer.await.json_as();
        (status, time_of_last_update)
    }

    /// Sends any request to the app's routes and reads the whole answer.
    pub async fn request(&self, request: Request<Body>) -> TestAnswer {
        self.send(request).await.whole().await
    }

    /// Sends a request; its own headers go before those of this caller.
    async fn send(&self, mut request: Request<Body>) -> TestStream {
        for (name, value) in &self.headers {
            request
                .headers_mut()
                .entry(name)
                .or_insert_with(|| value.clone());
        }
        let answered = self.router.clone().oneshot(request).await;
        let (head, body) = match answered {
            Ok(response) => response.into_parts(),
            Err(never) => match never {},
        };
        TestStream {
            status: head.status,
            headers: head.headers,
            body,
            decoder: sse::Decoder::new(),
            _agent: self.router.clone(),
        }
    }
}

/// An answer that was read whole.
#[derive(Clone, PartialEq)]
pub struct TestAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers that the app set; a server adds its own.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl TestAnswer {
    /// Returns the content type, `None` if the answer has none.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(CONTENT_TYPE)?.to_str().ok()
    }

    /// Returns the body as text; panics if it is not UTF-8.
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body)
            .unwrap_or_else(|error| panic!("the body is not text: {error} in {self:?}"))
    }

    /// Returns the body as JSON; panics if it is not.
    pub fn json(&self) -> Value {
        self.json_as()
    }

    /// Reads the body's JSON as a type; panics if it does not fit.
    pub fn json_as<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("the body is not the expected JSON: {error} in {self:?}")
        })
    }

    /// Returns the events of a stream; panics if the answer is none, or if it ends within an event.
    pub fn events(&self) -> Vec<sse::Event> {
        assert!(
            is_stream(&self.headers),
            "the answer is no stream of events: {self:?}"
        );
        let mut decoder = sse::Decoder::new();
        decoder.push(&self.body);
        let events = std::iter::from_fn(|| decoder.next()).collect();
        assert_eq!(
            decoder.finish(),
            None,
            "the stream ends within an event: {self:?}"
        );
        events
    }
}

impl fmt::Debug for TestAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestAnswer")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish()
    }
}

/// An answer that is read as it comes.
#[derive(Debug)]
pub struct TestStream {
    /// The status.
    pub status: StatusCode,
    /// The headers that the app set; a server adds its own.
    pub headers: HeaderMap,
    body: Body,
    decoder: sse::Decoder,
    /// The agent's threads end with the last of these.
    _agent: Router,
}

impl TestStream {
    /// Waits for the next event; `None` at the end of the stream.
    ///
    /// Panics if the answer is no stream of events, ends within one, or was cut off.
    pub async fn next_event(&mut self) -> Option<sse::Event> {
        let (status, headers) = (self.status, &self.headers);
        assert!(
            is_stream(headers),
            "the answer is no stream of events: {status} {headers:?}"
        );
        loop {
            if let Some(event) = self.decoder.next() {
                return Some(event);
            }
            let Some(frame) = self.body.frame().await else {
                let decoder = std::mem::replace(&mut self.decoder, sse::Decoder::new());
                assert_eq!(decoder.finish(), None, "the stream ends within an event");
                return None;
            };
            let frame = frame.unwrap_or_else(|error| panic!("the stream was cut off: {error}"));
            if let Some(data) = frame.data_ref() {
                self.decoder.push(data);
            }
        }
    }

    /// Waits for the end of the answer and returns what was not read yet. Panics if it was cut off.
    pub async fn whole(self) -> TestAnswer {
        let body = match self.body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => panic!("the answer was cut off: {error}"),
        };
        TestAnswer {
            status: self.status,
            headers: self.headers,
            body,
        }
    }
}

fn invocation(body: Bytes) -> Request<Body> {
    Request::post("/invocations")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .expect("a valid request")
}

fn to_json(payload: &impl Serialize) -> Bytes {
    match serde_json::to_vec(payload) {
        Ok(text) => text.into(),
        Err(error) => panic!("the payload cannot be JSON: {error}"),
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
