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

impl Event {
    /// Creates an event that has only data.
    pub fn data(data: impl Into<String>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }
}
