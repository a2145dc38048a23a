//! Which request gets which answer: `POST /invocations`, `GET /ping`, WebSockets on `/ws`, and what everything else is told.
//!
//! The texts and headers are the contract's. Three paths need no routing table, so there is none; what an invocation does is
//! in `invocations.rs`, what a WebSocket does in `websocket/`, and what waits to know whose it is in `undecided.rs`.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::PingStatus;
use crate::agent::{Agent, AgentStatus, Wants};
use crate::body::AnswerBody;
use crate::debug_actions;
use crate::invocations::{self, Arrived, RequestBody};
use crate::limits::{Gate, after};
use crate::ping::Pings;
use crate::server::Peer;
use crate::settings::ServerSettings;
use crate::undecided::Undecided;
use crate::websocket;

/// `application/json` without a charset: AWS's documented client compares it by equality.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// In how many seconds a caller may try again that was answered 503.
const SOON: HeaderValue = HeaderValue::from_static("1");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The routes of one server.
pub(crate) struct Routes {
    pub(crate) agent: Arc<dyn Agent>,
    pings: Pings,
    /// What invocations and WebSockets pass, and `/ping` does not.
    pub(crate) gate: Gate,
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
            gate: Gate::new(&settings.limits, cut.clone()),
            settings,
            cut,
            upgraded: TaskTracker::new(),
        }
    }

    /// Answers one request of the caller at `peer`; whoever cannot be served now is told to come again.
    pub(crate) async fn answer<B: RequestBody>(
        &self,
        asked: Asked<B>,
        peer: &Peer,
    ) -> Response<AnswerBody> {
        let mut response = self.route(asked, peer).await;
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.entry(RETRY_AFTER).or_insert(SOON);
        }
        response
    }

    async fn route<B: RequestBody>(&self, asked: Asked<B>, peer: &Peer) -> Response<AnswerBody> {
        match asked {
            Asked::Invocation(arrived) => {
                let response = invocations::answer(self, arrived, peer).await;
                if debug_actions::asks_for_ping(&response) {
                    // The question is not among what runs.
                    drop(response);
                    return self.ping().await;
                }
                response
            }
            Asked::Ping => self.ping().await,
            Asked::PingHead => without_body(self.ping().await),
            Asked::WebSocket(request) => {
                let client = peer.address();
                Box::pin(self.websocket(*request, client)).await
            }
            Asked::Undecided(undecided) => Box::pin(undecided.answer(self, peer)).await,
            Asked::Else(response) => *response,
        }
    }

    async fn websocket<B>(
        &self,
        request: Request<B>,
        client: Option<SocketAddr>,
    ) -> Response<AnswerBody> {
        let deadline = after(self.settings.limits.invocation);
        match self.gate.enter(deadline).await {
            Ok(hold) => websocket::answer(self, request, hold, deadline, client).await,
            Err(failure) => json(failure.status(), failure.body()),
        }
    }

    async fn ping(&self) -> Response<AnswerBody> {
        if let Some(refreshed) = self.agent.refresh() {
            refreshed.await;
        }
        match self.agent.status() {
            AgentStatus::Ready(_)
                if self.settings.busy_while_invoking && self.gate.running() > 0 =>
            {
                json(StatusCode::OK, self.pings.body(PingStatus::HealthyBusy))
            }
            AgentStatus::Ready(status) | AgentStatus::Decided(status) => {
                json(StatusCode::OK, self.pings.body(status))
            }
            AgentStatus::Starting => json(
                StatusCode::SERVICE_UNAVAILABLE,
                Bytes::from_static(br#"{"status":"Starting"}"#),
            ),
        }
    }
}

/// What a request asks for: a fraction of the request's own size, which matters where it is awaited.
pub(crate) enum Asked<B> {
    Invocation(Arrived<B>),
    Ping,
    PingHead,
    WebSocket(Box<Request<B>>),
    /// Something of which an agent that still loads has not said yet whether it wants it.
    Undecided(Box<Undecided<B>>),
    /// Something that the agent is not asked about.
    Else(Box<Response<AnswerBody>>),
}

impl<B> Asked<B> {
    /// Says what a request asks for of an agent that wants these.
    pub(crate) fn of(request: Request<B>, wants: Wants) -> Self {
        match (Place::of(request.uri().path()), request.method()) {
            (Place::Invocations, &Method::POST) => Self::Invocation(Arrived::now(request)),
            (Place::Ping, &Method::GET) => Self::Ping,
            (Place::Ping, &Method::HEAD) => Self::PingHead,
            (Place::WebSocket, &Method::GET) if websocket::is_asked_for(request.headers()) => {
                Self::WebSocket(Box::new(request))
            }
            _ => match wants {
                Wants::Invocations => Self::Else(Box::new(not_here(&request))),
                Wants::EveryRequest if is_for_a_websocket(&request) => {
                    Self::WebSocket(Box::new(request))
                }
                Wants::EveryRequest => Self::Invocation(Arrived::now(request)),
                Wants::NotKnownYet(known) => {
                    Self::Undecided(Box::new(Undecided::now(request, known)))
                }
            },
        }
    }
}

/// Says whether a request of any path asks for a WebSocket.
pub(crate) fn is_for_a_websocket<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET && websocket::is_asked_for(request.headers())
}

/// Answers a request that is none of the contract's.
pub(crate) fn not_here<B>(request: &Request<B>) -> Response<AnswerBody> {
    match Place::of(request.uri().path()) {
        Place::Invocations => not_allowed(HeaderValue::from_static("POST")),
        Place::Ping => not_allowed(HeaderValue::from_static("HEAD, GET")),
        Place::Slashed(to) => redirect(request, to),
        Place::WebSocket | Place::Nowhere => text(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// Where a request goes.
enum Place {
    Invocations,
    Ping,
    WebSocket,
    /// The path of an agent's route, with slashes at its end that do not belong there; without them.
    Slashed(&'static str),
    Nowhere,
}

impl Place {
    fn of(path: &str) -> Self {
        match path {
            "/invocations" => Self::Invocations,
            "/ping" => Self::Ping,
            "/ws" => Self::WebSocket,
            _ => Self::of_unusual(path),
        }
    }

    /// The reference compares paths when they are decoded, and takes off every slash at the end.
    fn of_unusual(path: &str) -> Self {
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        match &*decoded {
            "/invocations" => Self::Invocations,
            "/ping" => Self::Ping,
            "/ws" => Self::WebSocket,
            slashed => match slashed.trim_end_matches('/') {
                "/invocations" => Self::Slashed("/invocations"),
                "/ping" => Self::Slashed("/ping"),
                _ => Self::Nowhere,
            },
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

/// Returns an answer that is one line of text.
pub(crate) fn text(status: StatusCode, body: &'static str) -> Response<AnswerBody> {
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

/// Sends the caller to the path without the slash, by an absolute address as the reference does; a `Host` that is none is
/// not repeated.
fn redirect<B>(request: &Request<B>, path: &str) -> Response<AnswerBody> {
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    let host = host.and_then(|host| Authority::try_from(host).ok());
    let host = host.filter(|host| !host.as_str().contains('@'));
    let mut target = host.map_or_else(String::new, |host| format!("http://{host}"));
    target.push_str(path);
    if let Some(query) = request.uri().query().filter(|query| !query.is_empty()) {
        target.push('?');
        // Raw bytes beyond ASCII would be no text in a header.
        target.extend(utf8_percent_encode(query, &AsciiSet::EMPTY));
    }
    let mut response = Response::new(AnswerBody::Full(None));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    // Said outright, so that HEAD says it too.
    headers.insert(CONTENT_LENGTH, 0.into());
    if let Ok(target) = HeaderValue::try_from(target) {
        headers.insert(LOCATION, target);
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
