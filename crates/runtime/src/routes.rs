//! Which request gets which answer: `POST /invocations`, `GET /ping`, and what everything else is told.
//!
//! The texts and headers are the contract's. Two paths need no routing table, so there is none; what an invocation does is
//! in `invocations.rs`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::{Agent, AgentStatus};
use crate::body::AnswerBody;
use crate::debug_actions;
use crate::invocations::{self, RequestBody};
use crate::ping::Pings;
use crate::settings::ServerSettings;

/// `application/json` without a charset: AWS's documented client compares it by equality.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The routes of one server.
pub(crate) struct Routes {
    agent: Arc<dyn Agent>,
    pings: Pings,
    pub(crate) settings: ServerSettings,
    /// Cancelled when the server can wait no longer.
    pub(crate) cut: CancellationToken,
    /// Connections that became WebSockets; the server waits for them when it drains.
    pub(crate) upgraded: TaskTracker,
}

impl Routes {
    /// Creates the routes; streams that are still open when `cut` is cancelled end then.
    pub(crate) fn new(
        agent: Arc<dyn Agent>,
        settings: ServerSettings,
        cut: CancellationToken,
    ) -> Self {
        Self {
            agent,
            pings: Pings::new(),
            settings,
            cut,
            upgraded: TaskTracker::new(),
        }
    }

    /// Answers one request.
    pub(crate) async fn answer<B: RequestBody>(&self, request: Request<B>) -> Response<AnswerBody> {
        match (request.uri().path(), request.method()) {
            ("/invocations", &Method::POST) => {
                let response = invocations::answer(&*self.agent, request, &self.cut).await;
                if debug_actions::asks_for_ping(&response) {
                    return self.ping().await;
                }
                response
            }
            ("/ping", &Method::GET) => self.ping().await,
            ("/ping", &Method::HEAD) => without_body(self.ping().await),
            ("/invocations", _) => not_allowed(HeaderValue::from_static("POST")),
            ("/ping", _) => not_allowed(HeaderValue::from_static("HEAD, GET")),
            ("/invocations/" | "/ping/", _) => redirect(&request),
            _ => text(StatusCode::NOT_FOUND, "Not Found"),
        }
    }

    async fn ping(&self) -> Response<AnswerBody> {
        if let Some(refreshed) = self.agent.refresh() {
            refreshed.await;
        }
        match self.agent.status() {
            AgentStatus::Ready(status) => json(StatusCode::OK, self.pings.body(status)),
            AgentStatus::Starting => json(
                StatusCode::SERVICE_UNAVAILABLE,
                Bytes::from_static(br#"{"status":"Starting"}"#),
            ),
        }
    }
}

/// Returns an answer that is one JSON text.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

fn not_allowed(allow: HeaderValue) -> Response<AnswerBody> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response.headers_mut().insert(ALLOW, allow);
    response
}

/// Sends the caller to the same place without the slash, by an absolute address as the reference does.
fn redirect<B>(request: &Request<B>) -> Response<AnswerBody> {
    let mut target = Vec::new();
    if let Some(host) = request.headers().get(HOST) {
        target.extend_from_slice(b"http://");
        target.extend_from_slice(host.as_bytes());
    }
    let uri = request.uri();
    target.extend_from_slice(uri.path().trim_end_matches('/').as_bytes());
    if let Some(query) = uri.query() {
        target.push(b'?');
        target.extend_from_slice(query.as_bytes());
    }
    let mut response = Response::new(AnswerBody::Full(None));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(target) = HeaderValue::from_bytes(&target) {
        response.headers_mut().insert(LOCATION, target);
    }
    response
}

/// Keeps the headers of an answer, its length included, and drops the body.
fn without_body(response: Response<AnswerBody>) -> Response<AnswerBody> {
    let (mut head, body) = response.into_parts();
    let length = http_body::Body::size_hint(&body).exact().unwrap_or(0);
    head.headers.insert(CONTENT_LENGTH, length.into());
    Response::from_parts(head, AnswerBody::Full(None))
}
