//! The bodies that say what went wrong: of an agent's answer, of a stream that broke, and of the
//! managed service.
//!
//! This module is shapes and names; which failure gets which is decided where it happens.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{json, sse};

/// The body of an agent's error answer: `{"error":…}`, with what more is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong; a text, unless the agent chose another value.
    pub error: Value,
    /// The kind of error in the agent's own language, such as `ValueError`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_type: Option<String>,
    /// Where exactly, such as the position in an invalid request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

impl ErrorBody {
    /// Creates a body that has only the error.
    pub fn new(error: impl Into<Value>) -> Self {
        Self {
            error: error.into(),
            error_type: None,
            details: None,
        }
    }

    /// Adds the kind of error.
    #[must_use]
    pub fn error_type(self, error_type: impl Into<String>) -> Self {
        Self {
            error_type: Some(error_type.into()),
            ..self
        }
    }

    /// Adds the details.
    #[must_use]
    pub fn details(self, details: impl Into<String>) -> Self {
        Self {
            details: Some(details.into()),
            ..self
        }
    }

    /// Returns the body's bytes, in the compact dialect.
    pub fn to_json(&self) -> Bytes {
        json::compact_body(self)
    }
}

/// The last event of a stream whose agent failed after the answer had begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamError {
    /// What went wrong, in the agent's words.
    pub error: String,
    /// The kind of error in the agent's own language, such as `ValueError`.
    pub error_type: String,
    /// [`StreamError::MESSAGE`], where one of our servers wrote it.
    pub message: String,
}

impl StreamError {
    /// The sentence that every such event carries.
    pub const MESSAGE: &str = "An error occurred during streaming";

    /// Creates the event's content.
    pub fn new(error: impl Into<String>, error_type: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            error_type: error_type.into(),
            message: Self::MESSAGE.to_owned(),
        }
    }

    /// Returns the content if `event` is such an error: a JSON object with at least the three
    /// texts.
    pub fn from_event(event: &sse::Event) -> Option<Self> {
        // Most events are texts or other objects; the first byte spares them the parser.
        if !event.data.trim_ascii_start().starts_with('{') {
            return None;
        }
        serde_json::from_str(&event.data).ok()
    }

    /// Returns the event's data, in the spaced dialect that events are written in.
    pub fn to_json(&self) -> Bytes {
        json::spaced_body(self)
    }
}

/// An error answer of the managed service's data plane.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
pub struct ServiceError {
    /// The HTTP status.
    pub status: u16,
    /// The exception name, for the header [`ERROR_TYPE`](crate::header::ERROR_TYPE).
    pub error_type: &'static str,
    /// The sentence for the caller.
    pub message: String,
}

impl ServiceError {
    /// The request itself is wrong: 400.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(400, "ValidationException", message)
    }

    /// The bearer token is missing or not valid: 401.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "UnauthorizedException", message)
    }

    /// A quota of the account is used up: 402.
    pub fn service_quota_exceeded(message: impl Into<String>) -> Self {
        Self::new(402, "ServiceQuotaExceededException", message)
    }

    /// The caller may not do this: 403.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new(403, "AccessDeniedException", message)
    }

    /// There is no such runtime, endpoint or session: 404.
    pub fn resource_not_found(message: impl Into<String>) -> Self {
        Self::new(404, "ResourceNotFoundException", message)
    }

    /// The session's sandbox is being started or ended, and a retry will help: 409.
    pub fn retryable_conflict(message: impl Into<String>) -> Self {
        Self::new(409, "RetryableConflictException", message)
    }

    /// The agent answered an error, is unhealthy, or did not start: 424.
    pub fn runtime_client(message: impl Into<String>) -> Self {
        Self::new(424, "RuntimeClientError", message)
    }

    /// Too much at once: 429.
    pub fn throttling(message: impl Into<String>) -> Self {
        Self::new(429, "ThrottlingException", message)
    }

    /// The service itself failed: 500.
    pub fn internal_server(message: impl Into<String>) -> Self {
        Self::new(500, "InternalServerException", message)
    }

    /// Returns the body's bytes, `{"message":…}` in the compact dialect.
    pub fn to_json(&self) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            message: &'a str,
        }
        json::compact_body(&Body {
            message: &self.message,
        })
    }

    fn new(status: u16, error_type: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            error_type,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sse::Event;

    #[test]
    fn an_error_body_has_only_the_keys_that_are_known() {
        for (body, bytes) in [
            (
                ErrorBody::new("No entrypoint defined"),
                r#"{"error":"No entrypoint defined"}"#,
            ),
            (ErrorBody::new(""), r#"{"error":""}"#),
            (
                ErrorBody::new(json!({ "code": [1] })),
                r#"{"error":{"code":[1]}}"#,
            ),
            (
                ErrorBody::new("'kk'").error_type("KeyError"),
                r#"{"error":"'kk'","error_type":"KeyError"}"#,
            ),
            (
                ErrorBody::new("Invalid JSON").details("Expecting value: line 1 column 1 (char 0)"),
                r#"{"error":"Invalid JSON","details":"Expecting value: line 1 column 1 (char 0)"}"#,
            ),
            (
                ErrorBody::new("世界").details("d").error_type("T"),
                r#"{"error":"世界","error_type":"T","details":"d"}"#,
            ),
        ] {
            assert_eq!(body.to_json(), bytes);
            assert_eq!(serde_json::from_str::<ErrorBody>(bytes).unwrap(), body);
        }
    }

    #[test]
    fn a_stream_error_is_written_as_the_reference_writes_it() {
        let error = StreamError::new("boom", "ValueError");
        let bytes = r#"{"error": "boom", "error_type": "ValueError", "message": "An error occurred during streaming"}"#;
        assert_eq!(error.to_json(), bytes);
        assert_eq!(StreamError::from_event(&Event::data(bytes)), Some(error));
    }

    #[test]
    fn only_an_object_with_the_three_texts_is_a_stream_error() {
        for (data, is_error) in [
            (r#"{"error":"","error_type":"","message":""}"#, true),
            (
                " {\"message\":\"m\",\n\"error_type\":\"T\",\"error\":\"e\"} ",
                true,
            ),
            (
                r#"{"error":"e","error_type":"T","message":"m","request_id":7}"#,
                true,
            ),
            (r#"{"error":"e","error_type":"T"}"#, false),
            (r#"{"error":"e","message":"m"}"#, false),
            (r#"{"error":1,"error_type":"T","message":"m"}"#, false),
            (r#"{"error":null,"error_type":"T","message":"m"}"#, false),
            (r#"["e","T","m"]"#, false),
            (r#"[{"error":"e","error_type":"T","message":"m"}]"#, false),
            (
                r#""{\"error\":\"e\",\"error_type\":\"T\",\"message\":\"m\"}""#,
                false,
            ),
            (r#"{"error":"e","error_type":"T","message":"m"} x"#, false),
            (r#"{"error":"e","error_type":"T","message":"m""#, false),
            ("error", false),
            ("", false),
        ] {
            let found = StreamError::from_event(&Event::data(data)).is_some();
            assert_eq!(found, is_error, "{data}");
        }
    }

    #[test]
    fn service_errors_have_the_status_and_the_name_of_the_service() {
        for (error, status, name) in [
            (ServiceError::validation("m"), 400, "ValidationException"),
            (
                ServiceError::unauthorized("m"),
                401,
                "UnauthorizedException",
            ),
            (
                ServiceError::service_quota_exceeded("m"),
                402,
                "ServiceQuotaExceededException",
            ),
            (
                ServiceError::access_denied("m"),
                403,
                "AccessDeniedException",
            ),
            (
                ServiceError::resource_not_found("m"),
                404,
                "ResourceNotFoundException",
            ),
            (
                ServiceError::retryable_conflict("m"),
                409,
                "RetryableConflictException",
            ),
            (ServiceError::runtime_client("m"), 424, "RuntimeClientError"),
            (ServiceError::throttling("m"), 429, "ThrottlingException"),
            (
                ServiceError::internal_server("m"),
                500,
                "InternalServerException",
            ),
        ] {
            assert_eq!((error.status, error.error_type), (status, name));
            assert_eq!(error.to_json(), r#"{"message":"m"}"#);
            assert_eq!(error.to_string(), format!("{name}: m"));
        }
    }
}
