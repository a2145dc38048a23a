//! The managed service's data plane, as AWS SDKs and `invoke` speak it: `/runtimes/{arn}/…`.
//!
//! Its rules on ARNs and session ids, its errors, and its way to hide an agent's error behind a 424; here the agent's own
//! answer is added to that. Signatures are not checked.

use std::sync::Arc;

use agentcore_protocol::error::ServiceError;
use agentcore_protocol::header::{ERROR_TYPE, SESSION_ID};
use agentcore_protocol::{InvalidServiceSessionId, ServiceSessionId, SessionId};
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::frames::FrameLimits;
use super::proxy::{self, Streamed, Trouble};
use super::socket::{self, Handshake};
use super::target::{Operation, Target};
use super::{Door, browsers, head};
use crate::sandbox::hints::{self, Setting};
use crate::sessions::Refusal;

/// The service's own name for a request.
const AWS_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Of an agent's error answer this much is shown, in bytes.
const LARGEST_ERROR: usize = 1024 * 1024;

/// Answers every request below `/runtimes/`.
pub(crate) async fn serve(State(door): State<Arc<Door>>, request: Request<Body>) -> Response<Body> {
    let mut request = request;
    let request_id = head::request_id(request.headers_mut());
    let mut response = match answer(&door, request).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    };
    response.headers_mut().insert(AWS_REQUEST_ID, request_id);
    response
}

async fn answer(door: &Arc<Door>, request: Request<Body>) -> Result<Response<Body>, Refused> {
    let target = Target::read(request.uri().path(), request.uri().query())?;
    target.check(&door.agent)?;
    let method = match target.operation {
        Operation::Connect => Method::GET,
        Operation::Invoke | Operation::StopSession => Method::POST,
    };
    if request.method() != method {
        return Err(ServiceError {
            status: 405,
            error_type: "UnknownOperationException",
            message: format!(
                "`{}` is not how this operation is asked for",
                request.method()
            ),
        }
        .into());
    }
    match target.operation {
        Operation::Invoke => invoke(door, request).await,
        Operation::Connect => connect(door, request).await,
        Operation::StopSession => stop(door, request.headers()).await,
    }
}

async fn invoke(door: &Arc<Door>, mut request: Request<Body>) -> Result<Response<Body>, Refused> {
    let session = session_id(request.headers())?.unwrap_or_else(new_session);
    remove_signature(request.headers_mut());
    *request.uri_mut() = head::uri("/invocations", None);
    let setting = door.sessions.setting();
    let answer = proxy::forward(&door.sessions, &session, request).await;
    let mut response = match answer {
        Ok(response) if is_error(response.status()) => {
            hidden(response, setting).await.into_response()
        }
        Ok(response) => response.map(Body::new),
        Err(trouble) => Refused::of_trouble(&trouble, setting).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(SESSION_ID, session.to_header_value());
    Ok(response)
}

/// Opens a WebSocket.
async fn connect(door: &Arc<Door>, mut request: Request<Body>) -> Result<Response<Body>, Refused> {
    if !socket::is_asked_for(&request) {
        let message = "this operation is a WebSocket: the request must ask for the upgrade";
        return Err(ServiceError::validation(message).into());
    }
    let query = request.uri().query().map(ToOwned::to_owned);
    let headers = request.headers_mut();
    browsers::take_headers(query.as_deref().unwrap_or_default(), headers)?;
    let token = browsers::take_token(headers)?;
    let session = session_id(headers)?.unwrap_or_else(new_session);
    remove_signature(headers);
    *request.uri_mut() = head::uri("/ws", None);
    let setting = door.sessions.setting();
    let limits = Some(FrameLimits::SERVICE);
    let mut response = match socket::open(door, &session, request, limits).await {
        Ok(Handshake::Accepted(mut response)) => {
            token.answer(response.headers_mut());
            response
        }
        Ok(Handshake::Refused(response)) => hidden(response, setting).await.into_response(),
        Err(trouble) => Refused::of_trouble(&trouble, setting).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(SESSION_ID, session.to_header_value());
    Ok(response)
}

async fn stop(door: &Door, headers: &HeaderMap) -> Result<Response<Body>, Refused> {
    let session = session_id(headers)?
        .ok_or_else(|| ServiceError::validation(format!("the header `{SESSION_ID}` is missing")))?;
    if !door.sessions.stop(&session).await {
        let message = format!("there is no session `{session}`");
        return Err(ServiceError::resource_not_found(message).into());
    }
    let mut response = json_response(StatusCode::OK, &json!({}));
    let headers = response.headers_mut();
    headers.insert(SESSION_ID, session.to_header_value());
    Ok(response)
}

/// Returns the session id that the caller sent, checked as the service does.
fn session_id(headers: &HeaderMap) -> Result<Option<SessionId>, ServiceError> {
    let Some(value) = headers.get(SESSION_ID) else {
        return Ok(None);
    };
    let id: Result<ServiceSessionId, InvalidServiceSessionId> = value.try_into();
    id.map(|id| Some(id.into()))
        .map_err(|error| ServiceError::validation(error.to_string()))
}

/// Makes a session id as long as the service's own.
pub(crate) fn new_session() -> SessionId {
    let id = Uuid::new_v4().to_string();
    id.parse().expect("a UUID is a session id")
}

/// The service takes the signature off a request: an agent sees neither it nor the credentials' session token.
fn remove_signature(headers: &mut HeaderMap) {
    let signed = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|it| it.as_bytes().starts_with(b"AWS4-"));
    if signed {
        headers.remove(header::AUTHORIZATION);
    }
    for name in ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"] {
        headers.remove(name);
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Puts the service's 424 in front of an agent's error answer, and the answer into it.
async fn hidden(response: Response<Streamed>, setting: Setting) -> Refused {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LARGEST_ERROR).collect();
    let body = match body.await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let error: Value = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body)));
    let message = format!(
        "Received error ({status}) from runtime. Its own answer is in `runtime_error`, its log in `agentcore logs --local`."
    );
    let words = error.get("error").unwrap_or(&error).as_str();
    let hint = words.and_then(|words| hints::of_line(words, setting));
    let mut more = Map::from_iter([
        ("runtime_status".to_owned(), Value::from(status)),
        ("runtime_error".to_owned(), error),
    ]);
    if let Some(hint) = hint {
        more.insert("hint".to_owned(), hint.into());
    }
    Refused {
        error: ServiceError::runtime_client(message),
        more,
    }
}

/// An error of the service, with what the real one would not tell.
struct Refused {
    error: ServiceError,
    more: Map<String, Value>,
}

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        Self {
            error,
            more: Map::new(),
        }
    }
}

impl Refused {
    fn of_trouble(trouble: &Trouble, setting: Setting) -> Self {
        let message = trouble.to_string();
        let more = trouble.evidence(setting);
        let error = match trouble {
            Trouble::TooLarge => ServiceError {
                status: 413,
                ..ServiceError::validation(message)
            },
            Trouble::BrokenOff => ServiceError::validation(message),
            Trouble::Refused(Refusal::Full { .. }) => ServiceError::throttling(message),
            Trouble::Refused(Refusal::Closed) => ServiceError::retryable_conflict(message),
            Trouble::Refused(Refusal::Folder(_)) => ServiceError::internal_server(message),
            Trouble::NotStarted(_) | Trouble::Died(_) | Trouble::NoAnswer => {
                ServiceError::runtime_client(message)
            }
        };
        Self { error, more }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response<Body> {
        let Self { error, more } = self;
        let status = StatusCode::from_u16(error.status);
        let mut body = Map::from_iter([("message".to_owned(), Value::from(error.message))]);
        body.extend(more);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json_response(status, &Value::Object(body));
        let error_type = HeaderValue::from_static(error.error_type);
        response.headers_mut().insert(ERROR_TYPE, error_type);
        response
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let json = HeaderValue::from_static("application/json");
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
