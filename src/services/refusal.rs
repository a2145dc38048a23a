//! What an answer that is not a success says: whose failure it is, and in which words.
//!
//! The front door and the managed service answer in the same shapes; the front door adds the agent's own words.

use serde::Deserialize;
use serde_json::Value;

use agentcore_protocol::error::ErrorBody;

use crate::error::{CliError, Kind};

/// The most of an answer's text that an error line repeats, in characters.
const LONGEST_EXCERPT: usize = 2_000;

/// An answer with a status that is not a success.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The `x-amzn-ErrorType` header, if there was one.
    pub(crate) error_type: Option<String>,
    /// What the body says.
    pub(crate) said: Said,
    /// What can be done about it, if the front door knows.
    pub(crate) hint: Option<String>,
    /// Whether the container engine is at fault, not the agent.
    pub(crate) engine_away: bool,
}

/// The body of a refusal.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    /// The agent answered with an error of its own.
    Agent {
        /// The status of the agent's answer.
        status: u16,
        /// The agent's words.
        error: String,
        /// The class of the exception, if the agent named one.
        error_type: Option<String>,
        /// More of the agent's words, if there were any.
        details: Option<String>,
    },
    /// The service answered for the agent.
    Service {
        /// Its words.
        message: String,
        /// The end of what the agent wrote, for a sandbox that has ended.
        details: Option<String>,
    },
}

/// The body of a service error, and what the front door adds when the agent itself answered.
#[derive(Deserialize)]
struct Body {
    message: String,
    runtime_status: Option<u16>,
    runtime_error: Option<Value>,
    details: Option<String>,
    hint: Option<String>,
    #[serde(default)]
    engine_away: bool,
}

impl Refusal {
    /// Reads an answer of `status`, with the `error_type` of its header.
    pub(crate) fn new(status: u16, error_type: Option<String>, body: &[u8]) -> Self {
        let body = serde_json::from_slice(body).unwrap_or_else(|_| Body::of_text(status, body));
        let Body {
            message,
            runtime_status,
            runtime_error,
            details,
            hint,
            engine_away,
        } = body;
        let said = match (runtime_status, runtime_error) {
            (Some(status), Some(error)) => Said::agent(status, error),
            _ => Said::Service {
                message,
                details: details.filter(|it| !it.is_empty()),
            },
        };
        Self {
            status,
            error_type,
            said,
            hint,
            engine_away,
        }
    }

    fn kind(&self) -> Kind {
        match (self.error_type.as_deref(), self.status) {
            _ if self.engine_away => Kind::Engine,
            (Some("RuntimeClientError"), _) | (_, 424) => Kind::Agent,
            (Some("ThrottlingException" | "ServiceQuotaExceededException"), _) | (_, 402 | 429) => {
                Kind::Throttled
            }
            (Some("ResourceNotFoundException"), _) | (_, 404) => Kind::NotFound,
            (_, 401 | 403) => Kind::Credentials,
            (_, 408 | 504) => Kind::TimedOut,
            (Some("ValidationException"), _) => Kind::Usage,
            _ => Kind::Other,
        }
    }
}

impl Body {
    /// What is no such object is repeated.
    fn of_text(status: u16, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let message = match text.trim() {
            "" => format!("status {status} without a text"),
            text => excerpt(text),
        };
        Self {
            message,
            runtime_status: None,
            runtime_error: None,
            details: None,
            hint: None,
            engine_away: false,
        }
    }
}

impl Said {
    fn agent(status: u16, error: Value) -> Self {
        match serde_json::from_value::<ErrorBody>(error.clone()) {
            Ok(ErrorBody {
                error,
                error_type,
                details,
            }) => Self::Agent {
                status,
                error: excerpt(&as_text(error)),
                error_type,
                details,
            },
            Err(_) => Self::Agent {
                status,
                error: excerpt(&as_text(error)),
                error_type: None,
                details: None,
            },
        }
    }
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let kind = refusal.kind();
        let Refusal {
            status,
            error_type: service_type,
            said,
            hint,
            engine_away: _,
        } = refusal;
        let (failure, details) = match said {
            Said::Agent {
                status,
                error,
                error_type,
                details,
            } => {
                let class = error_type.map(|it| format!(", {it}")).unwrap_or_default();
                let message =
                    format!("the agent answered with an error ({status}{class}): {error}");
                (Self::new(kind, message), details)
            }
            Said::Service { message, details } => {
                let name = service_type.unwrap_or_else(|| status.to_string());
                let message = format!("the invocation was refused ({name}): {message}");
                (Self::new(kind, message), details)
            }
        };
        let failure = match details {
            Some(details) => failure.details(details),
            None => failure,
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(LONGEST_EXCERPT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, error_type: Option<&str>, body: &str) -> (Kind, String) {
        let refusal = Refusal::new(status, error_type.map(str::to_owned), body.as_bytes());
        let error = CliError::from(refusal);
        (error.kind(), error.to_string())
    }

    #[test]
    fn the_agents_own_words_are_shown_and_are_class_8() {
        for (runtime_error, said) in [
            (r#"{"error":"boom"}"#, "(500): boom"),
            (
                r#"{"error":"boom","error_type":"ValueError"}"#,
                "(500, ValueError): boom",
            ),
            (r#"{"error":{"code":1}}"#, r#"(500): {"code":1}"#),
            (r#"{"detail":"x"}"#, r#"(500): {"detail":"x"}"#),
            (r#""Internal Server Error""#, "(500): Internal Server Error"),
        ] {
            let body = format!(
                r#"{{"message":"Received error (500) from runtime.","runtime_status":500,"runtime_error":{runtime_error}}}"#
            );
            let (kind, message) = error(424, Some("RuntimeClientError"), &body);
            assert_eq!(kind, Kind::Agent);
            assert_eq!(message, format!("the agent answered with an error {said}"));
        }
    }

    #[test]
    fn details_of_the_agent_come_before_the_error_line() {
        let body = r#"{"message":"m","runtime_status":400,"runtime_error":{"error":"Invalid JSON","details":"line 1"}}"#;
        let error = CliError::from(Refusal::new(424, None, body.as_bytes()));
        assert_eq!(error.details_text(), Some("line 1"));
    }

    #[test]
    fn what_is_known_of_a_sandbox_that_has_ended_is_shown() {
        let body = r#"{"message":"the sandbox of this session ended: out of memory","details":"line 1\nline 2","exit_code":137,"oom_killed":true,"hint":"use less"}"#;
        let error = CliError::from(Refusal::new(
            424,
            Some("RuntimeClientError".into()),
            body.as_bytes(),
        ));
        assert_eq!(error.kind(), Kind::Agent);
        assert_eq!(error.details_text(), Some("line 1\nline 2"));
        assert_eq!(error.hints(), ["use less"]);
        let away = Refusal::new(424, None, br#"{"message":"m","engine_away":true}"#);
        assert_eq!(CliError::from(away).kind(), Kind::Engine);
        let empty = Refusal::new(424, None, br#"{"message":"m","details":""}"#);
        assert_eq!(CliError::from(empty).details_text(), None);
    }

    #[test]
    fn the_service_speaks_for_itself_with_a_class_of_its_own() {
        let message = r#"{"message":"too many"}"#;
        for (status, name, kind) in [
            (429, Some("ThrottlingException"), Kind::Throttled),
            (402, Some("ServiceQuotaExceededException"), Kind::Throttled),
            (404, Some("ResourceNotFoundException"), Kind::NotFound),
            (403, Some("AccessDeniedException"), Kind::Credentials),
            (400, Some("ValidationException"), Kind::Usage),
            (424, Some("RuntimeClientError"), Kind::Agent),
            (504, None, Kind::TimedOut),
            (500, None, Kind::Other),
        ] {
            let name_or_status = name.map_or(status.to_string(), str::to_owned);
            assert_eq!(
                error(status, name, message),
                (
                    kind,
                    format!("the invocation was refused ({name_or_status}): too many")
                )
            );
        }
    }

    #[test]
    fn a_body_in_no_known_shape_is_repeated_in_part() {
        assert_eq!(
            error(500, None, "").1,
            "the invocation was refused (500): status 500 without a text"
        );
        assert_eq!(
            error(502, None, "<p>bad</p>\n").1,
            "the invocation was refused (502): <p>bad</p>"
        );
        let long = "é".repeat(3_000);
        assert_eq!(
            error(500, None, &long)
                .1
                .chars()
                .filter(|&it| it == 'é')
                .count(),
            LONGEST_EXCERPT
        );
    }
}
