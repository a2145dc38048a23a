//! What the soak asks of its agent.

use serde::Deserialize;

/// One request.
#[derive(Debug, Deserialize)]
pub(crate) struct Payload {
    /// A number that no other request has.
    pub(crate) nonce: u64,
    /// How long a handler waits, a task runs, or a stream pauses before each event, in microseconds.
    #[serde(default)]
    pub(crate) micros: u64,
    /// What to do.
    #[serde(default)]
    pub(crate) work: Work,
}

/// What to do.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Answer.
    #[default]
    Value,
    /// Answer with the text too.
    Echo { text: String },
    /// Count in the session's state.
    Remember,
    /// Leave a task behind.
    Task { fails: bool },
    /// Answer with events.
    Stream { events: u64, end: End },
    /// Answer with an error.
    Fail,
    /// Panic.
    Panic,
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// With the last event.
    Whole,
    /// With an error.
    Fails,
    /// With a panic.
    Panics,
    /// Never.
    Silent,
}
