//! How long sessions live and how many there may be: only data and defaults.

use std::time::Duration;

/// How long sessions live and how many there may be.
///
/// The times are the service's defaults: 15 minutes without an invocation, 8 hours in all. The service lets an account have up to
/// 5,000 active sessions, each in a sandbox of its own; one process may have twice as many.
///
/// ```
/// use std::time::Duration;
/// use agentcore_runtime::{App, SessionLimits};
/// use serde_json::Value;
///
/// let limits = SessionLimits::default()
///     .idle_timeout(Duration::from_mins(5))
///     .max_open(500);
/// let app = App::new(|payload: Value| payload).session_limits(limits);
/// # drop(app);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    pub(super) idle_timeout: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) max_open: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_mins(15),
            max_lifetime: Duration::from_hours(8),
            max_open: 10_000,
        }
    }
}

impl SessionLimits {
    /// Sets how long a session stays that has no invocation; 15 minutes by default.
    ///
    /// The time begins when the session's last invocation has ended, with its stream, its WebSocket and the background tasks that were
    /// started through its context. With zero a session ends at that moment.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }

    /// Sets how long a session lives at most, counted from its first invocation; 8 hours by default.
    ///
    /// Invocations that run at that moment keep the session, and it ends with the last of them; the next one gets a new
    /// session of the same id.
    #[must_use]
    pub fn max_lifetime(mut self, time: Duration) -> Self {
        self.max_lifetime = time;
        self
    }

    /// Sets how many sessions there may be at a time; 10,000 by default, and 1 at least.
    ///
    /// When there are as many, a new one takes the place of the one that has been without an invocation for longest. If
    /// all have an invocation, the new one's is answered 503 with the error type `TooManySessions`.
    #[must_use]
    pub fn max_open(mut self, count: usize) -> Self {
        self.max_open = count.max(1);
        self
    }
}
