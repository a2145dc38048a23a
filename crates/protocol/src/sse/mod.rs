//! Server-sent events: one encoder and one decoder, after the event-stream rules of the WHATWG HTML
//! standard.
//!
//! This module turns events into bytes and bytes into events; it does not know what an event's data
//! means, never reconnects, and never waits.

mod decode;
mod encode;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

use crate::json;

pub use decode::{Decoder, Unfinished};
pub use encode::{encode, encode_json};

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The event's type; `None` stands for the standard's default, `message`.
    pub event: Option<String>,
    /// The data, its lines joined by `\n`.
    pub data: String,
    /// The id, if this very event carries one: an earlier event's id is not repeated here.
    pub id: Option<String>,
    /// The reconnection time in milliseconds, if this very event carries one.
    pub retry: Option<u64>,
}

/// Events are built from their data on; what a field cannot carry is kept out of the bytes by [`encode`].
///
/// ```
/// use std::time::Duration;
/// use agentcore_protocol::sse::Event;
///
/// let event = Event::json(&serde_json::json!({ "text": "Hel" }))?
///     .event("token")
///     .id("7")
///     .retry(Duration::from_secs(2));
/// assert_eq!(event.data, r#"{"text": "Hel"}"#);
/// assert_eq!(event.retry, Some(2000));
/// # Ok::<(), serde_json::Error>(())
/// ```
impl Event {
    /// Creates an event that has only data.
    pub fn data(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// Creates an event whose data is `value` as JSON, with the spaces of [`json::to_spaced_vec`].
    ///
    /// # Errors
    ///
    /// Fails if `value` refuses to be serialized, or has a map whose keys are not text, numbers or booleans.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        let text = String::from_utf8(json::to_spaced_vec(value)?);
        text.map(Self::data).map_err(serde::ser::Error::custom)
    }

    /// Names the event's type. Receivers take no line break in it: one is sent as a space.
    #[must_use]
    pub fn event(mut self, event: impl Into<String>) -> Self {
        self.event = Some(event.into());
        self
    }

    /// Sets the id. Receivers take neither a line break nor NUL in it: such an id is not sent.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets how long the receiver waits before it reconnects; sent in whole milliseconds, at most `u64::MAX` of them.
    #[must_use]
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }
}
