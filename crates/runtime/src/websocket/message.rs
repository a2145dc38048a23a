//! What travels on a WebSocket, how one ends, and what can go wrong.

use std::error::Error;
use std::fmt;
use std::sync::LazyLock;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The longest reason that fits into a close frame, in bytes (RFC 6455 §5.5).
const LONGEST_REASON: usize = 123;

/// A message on a WebSocket. Pings, pongs and the end are the server's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns the text; `None` for bytes.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the bytes, which are UTF-8 if the message is a text.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Reads the message as JSON, a text and bytes alike.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::NotTheJson`] if it is no JSON or does not fit `T`; nesting deeper than 127 levels is refused.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, WebSocketError> {
        let mut reader = serde_json::Deserializer::from_slice(self.as_bytes());
        let value = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| not_the_json(error.inner(), error.to_string()))?;
        let ended = reader.end();
        ended.map_err(|error| not_the_json(&error, error.to_string()))?;
        Ok(value)
    }
}

fn not_the_json(error: &serde_json::Error, details: String) -> WebSocketError {
    WebSocketError::NotTheJson {
        line: error.line(),
        column: error.column(),
        details,
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// How a WebSocket ended: the code and the reason of a close frame (RFC 6455 §7.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The code: 1000 for a normal end, 1005 for a close frame without a code, 1006 for a connection that was lost without one.
    pub code: u16,
    /// The reason, often empty.
    pub reason: String,
}

impl CloseReason {
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// The end of a connection that was lost.
    pub(super) fn lost() -> Self {
        Self::new(1006, "")
    }

    /// Returns the reason if a close frame can carry it.
    pub(super) fn sendable(self) -> Result<Self, WebSocketError> {
        match self.code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => {}
            code => return Err(WebSocketError::InvalidCloseCode(code)),
        }
        match self.reason.len() {
            0..=LONGEST_REASON => Ok(self),
            length => Err(WebSocketError::CloseReasonTooLong(length)),
        }
    }
}

/// Why something could not be done on a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The connection is closed, or the client has gone.
    ///
    /// A handler that returns this error, or one that was caused by it, has not failed: the log says no more than that the connection
    /// ended.
    Closed,
    /// The client did not offer this protocol, and would not take it.
    ProtocolNotOffered,
    /// This close code is never sent: usable are 1000 to 1003, 1007 to 1014 and 3000 to 4999.
    InvalidCloseCode(u16),
    /// This reason for a close is so many bytes long; 123 fit.
    CloseReasonTooLong(usize),
    /// A message is not JSON, or not what was asked for.
    #[non_exhaustive]
    NotTheJson {
        /// The line of the mistake, from 1; 0 if it has no place.
        line: usize,
        /// Its column, from 1.
        column: usize,
        /// What is wrong, with the path of the field; may quote the message, so it is for the client and not for a log.
        details: String,
    },
    /// A value cannot be written as JSON.
    Unwritable(String),
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the WebSocket is closed"),
            Self::ProtocolNotOffered => f.write_str("the client did not offer this protocol"),
            Self::InvalidCloseCode(code) => write!(f, "{code} is not a close code to send"),
            Self::CloseReasonTooLong(length) => write!(
                f,
                "the reason for a close may have {LONGEST_REASON} bytes, not {length}"
            ),
            Self::NotTheJson { line, column, .. } => write!(
                f,
                "the message is not the expected JSON (line {line} column {column})"
            ),
            Self::Unwritable(error) => write!(f, "the value cannot be written as JSON: {error}"),
        }
    }
}

/// Marks [`WebSocketError::Closed`] among the causes of whatever error a handler makes of it.
static CLOSED: LazyLock<Failure> = LazyLock::new(|| {
    Failure::internal("the WebSocket is closed")
        .with_type("WebSocketDisconnect")
        .already_logged()
});

impl Error for WebSocketError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed => Some(&*CLOSED),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the answer could not be sent")]
    struct Unsent(#[from] WebSocketError);

    #[test]
    fn a_handler_that_ends_because_the_client_left_has_not_failed() {
        let closed = WebSocketError::Closed;
        assert!(Failure::from_typed(&closed).is_logged());
        assert!(Failure::from_typed(&Unsent(closed.clone())).is_logged());
        let boxed: Box<dyn Error + Send + Sync> = Unsent(closed).into();
        assert!(Failure::from_error(&*boxed).is_logged());
        let other = Failure::from_typed(&WebSocketError::InvalidCloseCode(1));
        assert!(!other.is_logged());
        assert_eq!(other.error_type(), Some("WebSocketError"));
    }

    #[test]
    fn a_message_is_read_as_json_whether_text_or_bytes() {
        let text = Message::from(r#"{"a": [1, 2]}"#);
        let bytes = Message::from(text.as_bytes().to_vec());
        for message in [text, bytes] {
            let value: serde_json::Value = message.json().unwrap();
            assert_eq!(value, serde_json::json!({"a": [1, 2]}));
        }
    }

    #[test]
    fn a_message_that_is_not_the_json_says_where_and_quotes_nothing_in_its_text() {
        #[derive(Debug, serde::Deserialize)]
        struct Order {
            #[expect(dead_code, reason = "only its type counts")]
            number: u32,
        }
        for (message, position, details) in [
            (r#"{"number": "secret"}"#, "line 1 column 19", "number: "),
            (r#"{"number": 1} secret"#, "line 1 column 15", "trailing"),
            ("secret", "line 1 column 1", "expected value"),
        ] {
            let error = Message::from(message).json::<Order>().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(position), "{text}");
            assert!(!text.contains("secret"), "{text}");
            assert!(error.source().is_none(), "nothing more for the log");
            let WebSocketError::NotTheJson { details: said, .. } = &error else {
                panic!("{error:?}");
            };
            assert!(said.contains(details), "{said}");
        }
    }

    #[test]
    fn only_codes_and_reasons_that_fit_a_close_frame_are_sent() {
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert!(CloseReason::new(code, "").sendable().is_ok(), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            let refused = CloseReason::new(code, "").sendable();
            assert_eq!(refused, Err(WebSocketError::InvalidCloseCode(code)));
        }
        assert!(CloseReason::new(1000, "é".repeat(61)).sendable().is_ok());
        assert_eq!(
            CloseReason::new(1000, "é".repeat(62)).sendable(),
            Err(WebSocketError::CloseReasonTooLong(124))
        );
    }
}
