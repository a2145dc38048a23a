//! `GET /ping`: the agent's status, and since when it has been that.
//!
//! The time moves only when the status does: the platform measures idleness from it, and a time that advanced with each
//! ping would keep a session alive for ever. This module never waits for an agent.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use agentcore_protocol::{Ping, PingStatus};
use bytes::Bytes;

use crate::log::LOGGER;

/// The answers to `/ping` of one server.
pub(crate) struct Pings {
    last: Mutex<Option<Answer>>,
    now: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What the last ping was answered, kept until the status changes.
struct Answer {
    status: PingStatus,
    body: Bytes,
}

impl Pings {
    /// Creates pings that are stamped by the system's clock.
    pub(crate) fn new() -> Self {
        Self::with_clock(unix_seconds)
    }

    /// The same, with the clock passed in; it counts seconds since the Unix epoch.
    pub(crate) fn with_clock(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            last: Mutex::new(None),
            now: Box::new(now),
        }
    }

    /// Returns the body of a ping that finds the agent in `status`.
    pub(crate) fn body(&self, status: PingStatus) -> Bytes {
        tracing::debug!(target: LOGGER, "Ping request - status: {status}");
        // Nothing under the lock can leave the answer half-written, so a poisoned one is as good as any.
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(answer) = last.as_ref().filter(|answer| answer.status == status) {
            return answer.body.clone();
        }
        let ping = Ping {
            status,
            time_of_last_update: (self.now)(),
        };
        let body = ping.to_json();
        *last = Some(Answer {
            status,
            body: body.clone(),
        });
        body
    }
}

fn unix_seconds() -> u64 {
    // A clock before 1970 is a clock that was never set.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_moves_only_when_the_status_changes() {
        let start = Instant::now();
        let pings = Pings::with_clock(move || 1_000 + start.elapsed().as_secs());
        let healthy = r#"{"status":"Healthy","time_of_last_update":1000}"#;
        assert_eq!(pings.body(PingStatus::Healthy), healthy);

        advance(Duration::from_mins(1)).await;
        assert_eq!(pings.body(PingStatus::Healthy), healthy);

        advance(Duration::from_mins(1)).await;
        let busy = r#"{"status":"HealthyBusy","time_of_last_update":1120}"#;
        assert_eq!(pings.body(PingStatus::HealthyBusy), busy);

        advance(Duration::from_mins(1)).await;
        assert_eq!(pings.body(PingStatus::HealthyBusy), busy);
        assert_eq!(
            pings.body(PingStatus::Healthy),
            r#"{"status":"Healthy","time_of_last_update":1180}"#
        );
    }
}
