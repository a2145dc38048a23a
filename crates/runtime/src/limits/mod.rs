//! How much a server does at a time, and for how long: the numbers, the gate that invocations pass, and what those are
//! told who meet a limit of both.
//!
//! `/ping` passes no gate. Limits of a request's body are told where the body is read.

mod gate;
mod hold;

use std::time::Duration;

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::failure::Failure;

pub(crate) use gate::Gate;
pub use hold::Hold;

/// The error type of what a time limit ended.
pub(crate) const LIMIT_TYPE: &str = "InvocationLimit";

/// The limits of a server.
///
/// The defaults are the service's quotas where it has one: 100 MB a body, 15 minutes an invocation, 60 minutes a stream or a
/// WebSocket. A time of `Duration::MAX` is no limit.
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
    /// Sets how many invocations, streams and WebSockets may be open together, at least one; 4096 by default.
    ///
    /// An invocation keeps its place until it has ended: a stream until its last byte was taken, and one whose caller has left and
    /// that is finished all the same until then. `/ping` needs no place.
    #[must_use]
    pub fn running(mut self, count: usize) -> Self {
        self.running = count.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Sets how many invocations may wait for a place, first come, first served; 1024 by default.
    ///
    /// Beyond it the answer is 503 with `Retry-After`, at once. A request that waits has not been read, so the queue holds
    /// no bodies, and whoever leaves is out of it in the same moment. Not seen to leave is who does so behind more data than
    /// the socket's buffers take, and outside Linux whoever has sent only a part of a body: its turn comes, and ends at once.
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

    /// Sets how long an invocation may take until its answer begins, its time in the queue included; 15 minutes by default.
    ///
    /// Then the answer is 504 with the type `InvocationLimit`, and the agent's work is cancelled, whether or not its caller still waits. A
    /// plain `fn` cannot be: it runs on, and keeps its place.
    #[must_use]
    pub fn invocation(mut self, time: Duration) -> Self {
        self.invocation = time;
        self
    }

    /// Sets how long a stream or a WebSocket may be open; 60 minutes by default.
    ///
    /// A stream ends with an error event then, a ready-made answer by the end of its connection, also if the caller has
    /// stopped to read. No answer of any kind may take longer to be taken by its caller.
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
    ///
    /// Beyond it the answer is 408, and the connection closes.
    #[must_use]
    pub fn body_time(mut self, pause: Duration, whole: Duration) -> Self {
        self.body_pause = pause;
        self.body_time = whole;
        self
    }
}

/// Returns the moment after `time`; `None` if it is too far away to be one.
pub(crate) fn after(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}

/// Waits until `moment`, for ever if there is none.
pub(crate) async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Returns a limit as callers read it: `900 s`, `0.5 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// What a caller is told whose invocation took longer than `limit`.
pub(crate) fn limit_reached(limit: Duration) -> Failure {
    deadline_reached().with_details(format!("the limit is {}", seconds(limit)))
}

/// The same where only the deadline is known.
pub(crate) fn deadline_reached() -> Failure {
    Failure::new(
        StatusCode::GATEWAY_TIMEOUT,
        "the invocation took longer than its limit",
    )
    .with_type(LIMIT_TYPE)
}

/// What a caller is told if the server cannot wait for the end of its invocation.
pub(crate) fn shutting_down() -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the server is shutting down",
    )
    .with_type("ServerShutdown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_in_seconds() {
        let body = limit_reached(Duration::from_mins(15)).body();
        assert_eq!(
            body,
            concat!(
                r#"{"error":"the invocation took longer than its limit","#,
                r#""error_type":"InvocationLimit","details":"the limit is 900 s"}"#
            )
            .as_bytes()
        );
        assert_eq!(seconds(Duration::from_millis(250)), "0.25 s");
    }

    #[test]
    fn numbers_without_sense_become_the_nearest_with_one() {
        assert_eq!(Limits::default().running(0).running, 1);
        let all = Limits::default().running(usize::MAX);
        assert_eq!(all.running, Semaphore::MAX_PERMITS);
        assert_eq!(after(Duration::MAX), None);
    }
}
