//! What a caller is told when an invocation fails.
//!
//! As in the reference SDK, the text of the agent's own error reaches the caller; its chain of causes goes to the log and
//! no further.

use std::any::{Any, type_name};
use std::error::Error;
use std::fmt;

use agentcore_protocol::error::{ErrorBody, StreamError};
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

/// An error answer, or the last event of a stream that failed.
///
/// A handler that returns it chooses the status; any other error answers 500. It is found inside a boxed error and among
/// an error's causes too.
///
/// ```
/// use agentcore_runtime::{Failure, StatusCode};
///
/// let failure = Failure::new(StatusCode::NOT_FOUND, "no such order").with_details("order 17");
/// assert_eq!(failure.to_string(), "no such order");
/// ```
#[derive(Clone, PartialEq)]
pub struct Failure {
    /// Boxed, so that a `Result` of a handler stays as small as its value.
    parts: Box<Parts>,
}

#[derive(Clone, PartialEq)]
struct Parts {
    status: StatusCode,
    error: Value,
    error_type: Option<String>,
    details: Option<String>,
    /// What lies under the error; for the log only.
    cause: Option<String>,
    /// Whether the log has it, so that the server adds nothing.
    is_logged: bool,
    /// Whether somebody chose the status, and it is not just what an error answers.
    is_chosen: bool,
}

impl Failure {
    /// Creates a failure with a status and what went wrong: a text, or any other JSON value.
    ///
    /// As the first item of a stream it still chooses the status of the answer; later ones become error events.
    pub fn new(status: StatusCode, error: impl Into<Value>) -> Self {
        Self {
            parts: Box::new(Parts {
                status,
                error: error.into(),
                error_type: None,
                details: None,
                cause: None,
                is_logged: false,
                is_chosen: true,
            }),
        }
    }

    /// Creates a failure of the agent's own code, which answers 500; within a stream it is an error event, wherever it comes.
    pub fn internal(error: impl Into<Value>) -> Self {
        let mut failure = Self::new(StatusCode::INTERNAL_SERVER_ERROR, error);
        failure.parts.is_chosen = false;
        failure
    }

    /// Creates the failure that stands for an error: a [`Failure`] found in it, or a 500 with its text.
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        Self::chosen_in(error).unwrap_or_else(|| Self::about(error))
    }

    /// Names the kind of error.
    #[must_use]
    pub fn with_type(mut self, error_type: impl Into<String>) -> Self {
        self.parts.error_type = Some(error_type.into());
        self
    }

    /// Adds where exactly it went wrong, or what to do.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.parts.details = Some(details.into());
        self
    }

    /// Says that the log has it already, with more than the server knows: the server adds no line of its own.
    #[must_use]
    pub fn already_logged(mut self) -> Self {
        self.parts.is_logged = true;
        self
    }

    /// Returns the status of the answer; inside a stream it is not sent.
    pub fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// Returns what went wrong.
    pub fn error(&self) -> &Value {
        &self.parts.error
    }

    /// Returns the kind of error, if it is known.
    pub fn error_type(&self) -> Option<&str> {
        self.parts.error_type.as_deref()
    }

    /// Returns the details, if there are any.
    pub fn details(&self) -> Option<&str> {
        self.parts.details.as_deref()
    }

    /// As [`Failure::from_error`], and names the error's type; a failure in it says all that it is meant to say.
    pub(crate) fn from_typed<E: Error + 'static>(error: &E) -> Self {
        Self::chosen_in(error)
            .unwrap_or_else(|| Self::about(error).with_type(short_name(type_name::<E>())))
    }

    fn chosen_in(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| {
            let parts = || cause.downcast_ref::<Parts>().cloned().map(Box::new);
            let whole = cause.downcast_ref::<Self>().cloned();
            whole.or_else(|| parts().map(|parts| Self { parts }))
        })
    }

    fn about(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::internal(error.to_string());
        let under: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
        failure.parts.cause = (!under.is_empty()).then(|| under.join(": "));
        failure
    }

    /// Describes a panic by what it said.
    pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let said = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::internal(match said {
            Some(text) => format!("the agent panicked: {text}"),
            None => "the agent panicked".to_owned(),
        })
        .with_type("Panic")
    }

    /// Returns whether the log has it already.
    pub(crate) fn is_logged(&self) -> bool {
        self.parts.is_logged
    }

    /// Returns whether somebody chose the status.
    pub(crate) fn is_chosen(&self) -> bool {
        self.parts.is_chosen
    }

    /// Returns what lies under the error: the answer carries only the error's own text.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.parts.cause.as_deref()
    }

    /// Returns the body of the error answer.
    pub(crate) fn body(&self) -> Bytes {
        let Parts {
            status: _,
            error,
            error_type,
            details,
            cause: _,
            is_logged: _,
            is_chosen: _,
        } = &*self.parts;
        ErrorBody {
            error: error.clone(),
            error_type: error_type.clone(),
            details: details.clone(),
        }
        .to_json()
    }

    /// Returns the data of the event that ends a stream.
    pub(crate) fn event(&self) -> Bytes {
        StreamError::new(self.to_string(), self.error_type().unwrap_or("Error")).to_json()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error() {
            Value::String(text) => f.write_str(text),
            other => other.fmt(f),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            status,
            error,
            error_type,
            details,
            cause,
            is_logged: _,
            is_chosen: _,
        } = &*self.parts;
        f.debug_struct("Failure")
            .field("status", status)
            .field("error", error)
            .field("error_type", error_type)
            .field("details", details)
            .field("cause", cause)
            .finish()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failure {
    /// A failure that chose its status is found by it: what wraps an error transparently, as `Box` does and many an author's
    /// `enum`, shows only the error's source.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.is_chosen().then_some(&*self.parts as _)
    }
}

impl Error for Parts {}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered with {}", self.status)
    }
}

/// Returns `error` and what caused it, outermost first.
fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + use<'a> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Shortens `my_agent::errors::NoSuchOrder<u8>` to `NoSuchOrder`.
fn short_name(path: &str) -> &str {
    let path = path.split('<').next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the order could not be read")]
    struct Unreadable(#[source] Box<dyn Error + Send + Sync>);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Transparent(Failure);

    #[test]
    fn an_error_answers_500_with_its_text_and_type() {
        let failure = Failure::from_typed(&Unreadable("the disk".into()));
        assert_eq!(
            failure.body(),
            r#"{"error":"the order could not be read","error_type":"Unreadable"}"#.as_bytes()
        );
        assert_eq!(failure.cause(), Some("the disk"), "for the log");
        assert_eq!(Failure::from_typed(&fmt::Error).cause(), None);
    }

    #[test]
    fn a_failure_inside_an_error_keeps_its_status() {
        let chosen = Failure::new(StatusCode::NOT_FOUND, "no such order");
        assert_eq!(Failure::from_typed(&chosen), chosen);
        assert_eq!(Failure::from_typed(&Box::new(chosen.clone())), chosen);
        assert_eq!(Failure::from_typed(&Transparent(chosen.clone())), chosen);
        let boxed: Box<dyn Error + Send + Sync> = chosen.clone().into();
        assert_eq!(Failure::from_error(&*boxed), chosen);
        assert_eq!(Failure::from_typed(&Unreadable(boxed)), chosen);
    }

    #[test]
    fn only_who_names_a_status_chooses_it() {
        let chosen = Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "no");
        assert!(chosen.is_chosen() && Failure::from_error(&chosen).is_chosen());
        for other in [
            Failure::internal("no"),
            Failure::from_typed(&fmt::Error),
            Failure::from_panic(&"no"),
        ] {
            assert!(!other.is_chosen(), "{other:?}");
        }
    }

    #[test]
    fn absent_parts_are_left_out_of_the_body() {
        assert_eq!(
            Failure::internal("no").body(),
            r#"{"error":"no"}"#.as_bytes()
        );
        let full = Failure::internal(serde_json::json!({"code": 7}))
            .with_type("T")
            .with_details("d");
        assert_eq!(
            full.body(),
            r#"{"error":{"code":7},"error_type":"T","details":"d"}"#.as_bytes()
        );
        assert_eq!(full.to_string(), r#"{"code":7}"#);
    }

    #[test]
    fn type_names_are_shortened() {
        for (long, short) in [
            ("alloc::string::String", "String"),
            ("u8", "u8"),
            ("a::B<c::D>", "B"),
        ] {
            assert_eq!(short_name(long), short);
        }
    }
}
