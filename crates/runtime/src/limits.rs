//! How much a server does at a time, and for how long: the numbers, and the gate that invocations pass.
//!
//! `/ping` passes no gate. What a caller beyond a limit is told is decided where the limit is noticed.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The limits of a server.
///
/// The defaults are the service's quotas where it has one: 100 MB a body, 15 minutes an invocation, 60 minutes a stream or a
/// WebSocket.
#[derive(Clone, Debug)]
pub struct Limits {
    pub(crate) running: usize,
    pub(crate) queued: usize,
    pub(crate) body: usize,
    pub(crate) invocation: Duration,
    pub(crate) stream: Duration,
    pub(crate) head_time: Duration,
    pub(crate) body_pause: Duration,
    pub(crate) body_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running: 4096,
            queued: 1024,
            body: 100_000_000,
            invocation: Duration::from_mins(15),
            stream: Duration::from_hours(1),
            head_time: Duration::from_secs(30),
            body_pause: Duration::from_secs(30),
            body_time: Duration::from_mins(5),
        }
    }
}

impl Limits {
    /// Sets how many invocations, streams and WebSockets may be open together; 4096 by default.
    #[must_use]
    pub fn running(mut self, count: usize) -> Self {
        self.running = count;
        self
    }

    /// Sets how many invocations may wait for one that ends; 1024 by default. Beyond it the answer is 503 with `Retry-After`.
    #[must_use]
    pub fn queued(mut self, count: usize) -> Self {
        self.queued = count;
        self
    }

    /// Sets how long a request's body may be, in bytes; 100,000,000 by default. A longer one is answered 413.
    #[must_use]
    pub fn body(mut self, bytes: usize) -> Self {
        self.body = bytes;
        self
    }

    /// Sets how long an invocation may take until its answer begins; 15 minutes by default.
    #[must_use]
    pub fn invocation(mut self, time: Duration) -> Self {
        self.invocation = time;
        self
    }

    /// Sets how long a stream or a WebSocket may be open; 60 minutes by default.
    #[must_use]
    pub fn stream(mut self, time: Duration) -> Self {
        self.stream = time;
        self
    }

    /// Sets how long a caller may take to send the head of a request, or rest between two; 30 seconds by default.
    #[must_use]
    pub fn head_time(mut self, time: Duration) -> Self {
        self.head_time = time;
        self
    }

    /// Sets how long a caller may pause within a body, and how long it may take for all of it; 30 seconds and 5 minutes by
    /// default.
    #[must_use]
    pub fn body_time(mut self, pause: Duration, whole: Duration) -> Self {
        self.body_pause = pause;
        self.body_time = whole;
        self
    }
}

/// Keeps the place of an invocation for as long as a copy of it exists; made by the server.
#[derive(Clone, Default)]
pub(crate) struct Hold(Option<Arc<dyn Any + Send + Sync>>);

impl Hold {
    /// Keeps `other` for as long.
    pub(crate) fn and(self, other: impl Send + Sync + 'static) -> Self {
        match self.0 {
            Some(first) => Self(Some(Arc::new((first, other)))),
            None => Self(Some(Arc::new(other))),
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Hold"
        } else {
            "Hold(none)"
        })
    }
}
