//! The front door's routes, and the plain ones among them: `/invocations`, `/ws`, `/ping`, and its own status.
//!
//! Here an agent's answer passes as it is, errors included; the managed service's view of the same agent is in `service`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use agentcore_protocol::error::ErrorBody;
use agentcore_protocol::header::SESSION_ID;
use agentcore_protocol::json::to_compact_vec;
use agentcore_protocol::{InvalidSessionId, Ping, PingStatus, SessionId};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{any, get, post};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use super::guard::Foreign;
use super::proxy::{self, Trouble, WithEvidence};
use super::socket::{self, Handshake};
use super::{Door, head, service};
use crate::sandbox::hints::Setting;
use crate::sessions::Refusal;
use crate::status::{INSTANCE_HEADER, STATUS_PATH, StatusReport};

pub(crate) fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/invocations", post(invoke))
        .route("/ws", get(web_socket))
        .route("/ping", get(ping))
        .route(STATUS_PATH, get(status))
        .route("/runtimes/{*operation}", any(service::serve))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(door)
}

async fn invoke(State(door): State<Arc<Door>>, mut request: Request<Body>) -> Response<Body> {
    let session = match session_id(request.headers()) {
        Ok(session) => session,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &ErrorBody::new(error.to_string())),
    };
    head::request_id(request.headers_mut());
    *request.uri_mut() = head::uri("/invocations", request.uri().query());
    let mut response = match proxy::forward(&door.sessions, &session, request).await {
        Ok(response) => response.map(Body::new),
        Err(trouble) => troubled(&trouble, door.sessions.setting()),
    };
    let headers = response.headers_mut();
    headers.insert(SESSION_ID, session.to_header_value());
    response
}

async fn web_socket(State(door): State<Arc<Door>>, mut request: Request<Body>) -> Response<Body> {
    let session = match session_id(request.headers()) {
        Ok(session) => session,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &ErrorBody::new(error.to_string())),
    };
    head::request_id(request.headers_mut());
    *request.uri_mut() = head::uri("/ws", request.uri().query());
    let answer = if socket::is_asked_for(&request) {
        socket::open(&door, &session, request, None).await
    } else {
        // What the agent says to a request that is no handshake is its own matter too.
        let answer = proxy::forward(&door.sessions, &session, request).await;
        answer.map(Handshake::Refused)
    };
    let mut response = match answer {
        Ok(Handshake::Accepted(response)) => response,
        Ok(Handshake::Refused(response)) => response.map(Body::new),
        Err(trouble) => troubled(&trouble, door.sessions.setting()),
    };
    let headers = response.headers_mut();
    headers.insert(SESSION_ID, session.to_header_value());
    response
}

async fn ping(State(door): State<Arc<Door>>) -> Response<Body> {
    let ping = Ping {
        status: PingStatus::Healthy,
        time_of_last_update: door.started,
    };
    let mut response = json(StatusCode::OK, ping.to_json());
    response
        .headers_mut()
        .insert(INSTANCE_HEADER, door.instance.clone());
    response
}

/// The query `log` adds each agent's last lines.
async fn status(State(door): State<Arc<Door>>, request: Request<Body>) -> Response<Body> {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    let with_log = parameters.any(|it| it == "log" || it.starts_with("log="));
    let report = StatusReport {
        instance: String::from_utf8_lossy(door.instance.as_bytes()).into_owned(),
        agent: door.agent.clone(),
        arn: door.arn.clone(),
        pid: std::process::id(),
        started: door.started,
        max_sandboxes: door.sessions.limits().max_sandboxes,
        sandboxes: door.sessions.report(with_log),
    };
    let body = serde_json::to_vec(&report).expect("a report has text keys only");
    let mut response = json(StatusCode::OK, body);
    response
        .headers_mut()
        .insert(INSTANCE_HEADER, door.instance.clone());
    response
}

async fn no_such_route(request: Request<Body>) -> Response<Body> {
    let error = format!("there is no `{}` here", request.uri().path());
    failure(StatusCode::NOT_FOUND, &ErrorBody::new(error))
}

async fn no_such_method(request: Request<Body>) -> Response<Body> {
    let error = format!(
        "`{}` does not take `{}`",
        request.uri().path(),
        request.method()
    );
    failure(StatusCode::METHOD_NOT_ALLOWED, &ErrorBody::new(error))
}

/// Returns the session id that the caller sent, or a new one.
fn session_id(headers: &HeaderMap) -> Result<SessionId, InvalidSessionId> {
    match headers.get(SESSION_ID).filter(|id| !id.is_empty()) {
        Some(id) => id.try_into(),
        None => Ok(service::new_session()),
    }
}

/// The answer to a call that has none of the agent.
fn troubled(trouble: &Trouble, setting: Setting) -> Response<Body> {
    let status = match trouble {
        Trouble::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Trouble::BrokenOff => StatusCode::BAD_REQUEST,
        Trouble::Refused(Refusal::Full { .. }) => StatusCode::TOO_MANY_REQUESTS,
        Trouble::Refused(Refusal::Closed) => StatusCode::SERVICE_UNAVAILABLE,
        // It may be back in a moment, and the agent has no part in it.
        Trouble::NotStarted(failure) if failure.cause.is_engine() => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Trouble::NotStarted(_) => StatusCode::FAILED_DEPENDENCY,
        // A container is what the service would run, and its end is told as the service tells it.
        Trouble::Died(_) if setting != Setting::Process => StatusCode::FAILED_DEPENDENCY,
        Trouble::Refused(Refusal::Folder(_)) | Trouble::Died(_) | Trouble::NoAnswer => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let body = WithEvidence {
        error: ErrorBody::new(trouble.to_string()).error_type(trouble.error_type()),
        evidence: trouble.evidence(setting),
    };
    let body = to_compact_vec(&body).expect("texts and numbers make JSON");
    json(status, body)
}

impl IntoResponse for Foreign {
    fn into_response(self) -> Response<Body> {
        failure(StatusCode::FORBIDDEN, &ErrorBody::new(self.to_string()))
    }
}

fn failure(status: StatusCode, body: &ErrorBody) -> Response<Body> {
    json(status, body.to_json())
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Returns the seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
