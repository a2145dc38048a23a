//! What a front door tells whoever started it: lines of the agents, and the lives of their sandboxes.
//!
//! Events are values; how they are shown or stored is the listener's matter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use agentcore_protocol::SessionId;
use serde::Serialize;

use crate::error::EndCause;

/// Hears the events of a front door.
///
/// It is called on the threads that serve requests, so it must not wait for long: what it waits for, the agent whose line
/// it was given waits for too. A panic in it loses the event and nothing else.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

/// Something that happened in a front door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// An agent wrote a line.
    Output {
        /// The sandbox that wrote it.
        sandbox: String,
        /// The session it serves, if it has one yet.
        session: Option<SessionId>,
        /// Where it was written.
        stream: OutputStream,
        /// The line without its end; what is not UTF-8 is replaced, and a line longer than 64 KiB comes in parts.
        line: String,
    },
    /// A sandbox is being started.
    SandboxStarting {
        /// The sandbox.
        sandbox: String,
        /// The session that it is started for; none if it waits for the first.
        session: Option<SessionId>,
    },
    /// A sandbox answered its first healthy ping.
    SandboxReady {
        /// The sandbox.
        sandbox: String,
        /// The session it serves, if it has one yet.
        session: Option<SessionId>,
        /// How long the start took, in milliseconds.
        millis: u64,
    },
    /// A new session took the sandbox that waited for the first one.
    SessionStarted {
        /// The sandbox.
        sandbox: String,
        /// The session.
        session: SessionId,
    },
    /// A sandbox stopped or began again to answer pings; it is not ended for that.
    Responsive {
        /// The sandbox.
        sandbox: String,
        /// The session it serves, if it has one yet.
        session: Option<SessionId>,
        /// Whether it answers.
        answers: bool,
    },
    /// A sandbox has ended and nothing of it is left.
    SandboxEnded {
        /// The sandbox.
        sandbox: String,
        /// The session it served, if it had one.
        session: Option<SessionId>,
        /// Why it ended.
        cause: EndCause,
    },
    /// Processes that an earlier, killed front door of this agent left behind were ended.
    OrphansEnded {
        /// How many.
        count: usize,
    },
    /// Containers that an earlier, killed front door of this agent left behind were ended.
    OrphanContainersEnded {
        /// How many.
        count: usize,
    },
}

/// Which of its two streams an agent wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Wraps a sink so that a panic in it costs one event: the tasks that tell events keep sandboxes and read their streams.
pub(crate) fn contained(events: EventSink) -> EventSink {
    Arc::new(move |event| {
        if catch_unwind(AssertUnwindSafe(|| events(event))).is_err() {
            tracing::error!("whoever hears of events panicked");
        }
    })
}
