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
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Door;
use super::proxy::{self, Streamed, Trouble};
use crate::sandbox::hints::{self, Setting};
use crate::sessions::Refusal;

/// The service's own name for a request.
const AWS_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Of an agent's error answer this much is shown, in bytes.
const LARGEST_ERROR: usize = 1024 * 1024;

/// Answers every request below `/runtimes/`.
pub(crate) async fn serve(State(door): State<Arc<Door>>, request: Request<Body>) -> Response<Body> {
    let mut request = request;
    let request_id = proxy::request_id(request.headers_mut());
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
    if request.method() != Method::POST {
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
        Operation::StopSession => stop(door, request.headers()).await,
    }
}

async fn invoke(door: &Arc<Door>, mut request: Request<Body>) -> Result<Response<Body>, Refused> {
    let session = match session_id(request.headers())? {
        Some(session) => session,
        None => new_session(),
    };
    remove_signature(request.headers_mut());
    *request.uri_mut() = proxy::invocations(None);
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

/// What a path below `/runtimes/` names.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// The ARN as the caller wrote it, decoded; or a bare id.
    runtime: String,
    operation: Operation,
    has_account: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Operation {
    Invoke,
    StopSession,
}

impl Target {
    /// Reads the path of a request. An ARN whose `/` is not percent-encoded is understood as well.
    fn read(path: &str, query: Option<&str>) -> Result<Self, ServiceError> {
        let unknown = || ServiceError {
            status: 404,
            error_type: "UnknownOperationException",
            message: "there is no such operation".to_owned(),
        };
        let rest = path.strip_prefix("/runtimes/").ok_or_else(unknown)?;
        let (runtime, operation) = rest.rsplit_once('/').ok_or_else(unknown)?;
        let operation = match operation {
            "invocations" => Operation::Invoke,
            "stopruntimesession" => Operation::StopSession,
            _ => return Err(unknown()),
        };
        let runtime = percent_decode_str(runtime)
            .decode_utf8()
            .map_err(|_| ServiceError::validation("the ARN is not UTF-8"))?;
        let parameters = query.into_iter().flat_map(|query| query.split('&'));
        let mut accounts = parameters.filter_map(|it| it.strip_prefix("accountId="));
        Ok(Self {
            runtime: runtime.into_owned(),
            operation,
            has_account: accounts.any(is_account),
        })
    }

    /// Makes sure that the runtime meant is this one: any region and account, but this agent's id.
    fn check(&self, agent: &str) -> Result<(), ServiceError> {
        let runtime = self.runtime.as_str();
        let id = match runtime.strip_prefix("arn:") {
            Some(rest) => runtime_id(rest).ok_or_else(|| {
                ServiceError::validation(format!(
                    "`{runtime}` is not the ARN of a runtime, `arn:aws:bedrock-agentcore:<region>:<account>:runtime/<id>`"
                ))
            })?,
            None if self.has_account => runtime,
            None => {
                return Err(ServiceError::validation(
                    "a runtime id without its ARN needs `accountId`, twelve digits, in the query",
                ));
            }
        };
        // The service appends `-` and ten characters to the name.
        let ours = id.strip_prefix(agent);
        if ours.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('-')) {
            return Ok(());
        }
        Err(ServiceError::resource_not_found(format!(
            "No endpoint or agent found for agent '{runtime}': here runs `{agent}`"
        )))
    }
}

/// Returns the id in the part of an ARN after `arn:`.
fn runtime_id(rest: &str) -> Option<&str> {
    let mut parts = rest.splitn(5, ':');
    let (partition, service) = (parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let id = resource.strip_prefix("runtime/")?;
    // A version or an endpoint may follow.
    let id = id.split(['/', ':']).next()?;
    let complete = partition.starts_with("aws") && !region.is_empty() && !id.is_empty();
    (complete && service == "bedrock-agentcore" && is_account(account)).then_some(id)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/my_agent-a1B2c3D4e5";

    fn encoded(arn: &str) -> String {
        arn.replace(':', "%3A").replace('/', "%2F")
    }

    fn status_of(path: &str, query: Option<&str>) -> u16 {
        let checked = Target::read(path, query).and_then(|target| target.check("my_agent"));
        checked.map_or_else(|error| error.status, |()| 200)
    }

    #[test]
    fn arns_are_understood_encoded_or_not() {
        for arn in [ARN.to_owned(), encoded(ARN), encoded(ARN).to_lowercase()] {
            let target = Target::read(&format!("/runtimes/{arn}/invocations"), None).unwrap();
            assert!(target.runtime.eq_ignore_ascii_case(ARN));
            assert_eq!(target.operation, Operation::Invoke);
        }
        let stop = format!("/runtimes/{}/stopruntimesession", encoded(ARN));
        let stop = Target::read(&stop, Some("qualifier=DEFAULT")).unwrap();
        assert_eq!(stop.operation, Operation::StopSession);
    }

    #[test]
    fn only_this_agent_is_found_in_any_region_and_account() {
        let invoke =
            |arn: &str| status_of(&format!("/runtimes/{}/invocations", encoded(arn)), None);
        assert_eq!(invoke(ARN), 200);
        let prefix = "arn:aws-cn:bedrock-agentcore:cn-north-1:000000000000:runtime";
        assert_eq!(invoke(&format!("{prefix}/my_agent")), 200);
        assert_eq!(invoke(&format!("{prefix}/my_agent2-a1B2c3D4e5")), 404);
        assert_eq!(invoke(&format!("{prefix}/other-a1B2c3D4e5")), 404);
        assert_eq!(invoke(&format!("{prefix}/")), 400);
        assert_eq!(invoke("arn:aws:s3:::bucket"), 400);
        assert_eq!(
            invoke("arn:aws:bedrock-agentcore:us-west-2:12:runtime/my_agent"),
            400
        );
    }

    #[test]
    fn a_bare_id_needs_an_account() {
        let path = "/runtimes/my_agent-a1B2c3D4e5/invocations";
        assert_eq!(status_of(path, Some("accountId=123456789012")), 200);
        assert_eq!(status_of(path, Some("accountId=12")), 400);
        assert_eq!(status_of(path, None), 400);
    }

    #[test]
    fn other_operations_are_unknown() {
        assert_eq!(status_of("/runtimes/x/commands", None), 404);
        assert_eq!(status_of("/runtimes/x", None), 404);
    }
}
