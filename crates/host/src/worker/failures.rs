//! What callers are told: the failures that the agent reports, and those that are about its worker.

use agentcore_runtime::{Body, Failure, StatusCode};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::life::Death;
use super::link::Broken;
use crate::wire::from_worker::{CallError, ResponseHead};

/// The error type of calls whose worker died.
const WORKER_DIED: &str = "WorkerDied";
/// The error type of calls whose worker lives and did not do its part.
const WORKER_FAULT: &str = "WorkerFault";
/// The error type of calls that waited for an agent that did not load.
const LOAD_FAILED: &str = "LoadFailed";

/// A failure in the agent's own words. The worker has logged it, with the place where it happened.
pub(crate) fn of_the_agent(error: CallError) -> Failure {
    let CallError {
        status,
        error,
        error_type,
        details,
    } = error;
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A plain exception chooses no status, so that a stream that begins with one is still a stream, as in the reference.
    let mut failure = if status == StatusCode::INTERNAL_SERVER_ERROR {
        Failure::internal(error)
    } else {
        Failure::new(status, error)
    }
    .already_logged();
    if let Some(error_type) = error_type {
        failure = failure.with_type(error_type);
    }
    if let Some(details) = details {
        failure = failure.with_details(details);
    }
    failure
}

/// The call was in a worker that died, or waited for one that did not load.
pub(crate) fn of_a_death(death: &Death) -> Failure {
    if death.loaded {
        let text = format!("the agent's worker process ended: {}", death.cause);
        return Failure::internal(text).with_type(WORKER_DIED);
    }
    Failure::internal(format!("the agent could not be loaded: {}", death.cause))
        .with_type(LOAD_FAILED)
}

/// The call's connection ended, and the worker lives.
pub(crate) fn of_a_link(broken: &Broken) -> Failure {
    Failure::internal(format!(
        "the agent's worker did not finish the call: {broken}"
    ))
    .with_type(WORKER_FAULT)
}

/// The worker said something that does not belong into the call.
pub(crate) fn of_the_protocol(what: &str) -> Failure {
    Failure::internal(format!("the agent's worker broke the protocol: {what}"))
        .with_type(WORKER_FAULT)
}

/// The invocation does not fit into a frame.
pub(crate) fn too_large() -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the request body is too large",
    )
    .with_type("PayloadTooLarge")
}

/// No worker is started any more.
pub(crate) fn shutting_down() -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the server is shutting down",
    )
    .with_type("ServerShutdown")
}

/// Makes an answer of what the agent made ready; a name or a value that HTTP does not allow is the agent's failure.
pub(crate) fn response(head: ResponseHead, body: Body) -> Result<Response<Body>, Failure> {
    let ResponseHead { status, headers } = head;
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or_else(|| unfit(&format!("status {status}")))?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = header_map(headers)?;
    Ok(response)
}

/// Makes headers of what the agent says, without those that are the server's.
pub(crate) fn header_map(headers: Vec<(String, String)>) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let fit_name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| unfit(&format!("header name {name:?}")))?;
        let value =
            header_value(&value).ok_or_else(|| unfit(&format!("the value of header `{name}`")))?;
        if !is_the_servers(&fit_name) {
            map.append(fit_name, value);
        }
    }
    Ok(map)
}

fn unfit(what: &str) -> Failure {
    Failure::internal(format!("the agent's response cannot be sent: {what}"))
}

/// The length that the agent states for a body that follows.
pub(crate) fn content_length(head: &ResponseHead) -> Option<u64> {
    let (_, stated) = head
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_LENGTH.as_str()))?;
    stated.parse().ok()
}

/// The server says itself how long a body is and how it is sent; a second opinion would break the connection.
fn is_the_servers(name: &HeaderName) -> bool {
    [
        http::header::CONNECTION,
        CONTENT_LENGTH,
        http::header::TRANSFER_ENCODING,
        http::header::UPGRADE,
        HeaderName::from_static("keep-alive"),
    ]
    .contains(name)
}

/// Header values are latin-1, as they were on the way in.
fn header_value(text: &str) -> Option<HeaderValue> {
    let bytes: Result<Vec<u8>, _> = text
        .chars()
        .map(|character| u8::try_from(u32::from(character)))
        .collect();
    HeaderValue::from_bytes(&bytes.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> ResponseHead {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        ResponseHead { status, headers }
    }

    #[test]
    fn an_answer_keeps_its_headers_but_not_the_servers() {
        let sent = head(
            404,
            &[
                ("Set-Cookie", "a=1"),
                ("set-cookie", "b=é"),
                ("Content-Length", "7"),
            ],
        );
        let response = response(sent, Body::from("gone")).unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let cookies: Vec<_> = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(cookies, [b"a=1", &b"b=\xe9"[..]]);
        assert!(!response.headers().contains_key("content-length"));
    }

    #[test]
    fn what_http_does_not_allow_is_a_failure() {
        for (status, name, value) in [
            (99, "a", "b"),
            (101, "a", "b"),
            (200, "a b", "c"),
            (200, "a", "b\nc: d"),
            (200, "a", "→"),
        ] {
            let failure = response(head(status, &[(name, value)]), Body::empty()).unwrap_err();
            assert_eq!(failure.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
    }

    #[test]
    fn an_impossible_status_is_a_500() {
        let error = |status| CallError {
            status,
            error: "x".into(),
            error_type: None,
            details: None,
        };
        assert_eq!(of_the_agent(error(42)).status(), 500);
        assert_eq!(of_the_agent(error(100)).status(), 500);
        assert_eq!(of_the_agent(error(418)).status(), 418);
    }
}
