//! What `GET /ping` answers.
//!
//! This module is the answer's shape; when the status changes, and what time it is, the server
//! decides.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::json;

/// Whether a healthy agent has work in the background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PingStatus {
    /// Ready for invocations, and idle between them.
    #[default]
    Healthy,
    /// Ready for invocations, with background work that the platform must not cut off as idle.
    HealthyBusy,
}

impl PingStatus {
    /// Returns the status as the wire spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::HealthyBusy => "HealthyBusy",
        }
    }
}

impl fmt::Display for PingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PingStatus {
    type Err = UnknownPingStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "Healthy" => Ok(Self::Healthy),
            "HealthyBusy" => Ok(Self::HealthyBusy),
            other => Err(UnknownPingStatus {
                found: other.to_owned(),
            }),
        }
    }
}

/// A text that names no [`PingStatus`]; the contract's two words are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown ping status `{found}`, expected `Healthy` or `HealthyBusy`")]
pub struct UnknownPingStatus {
    /// The text as it was given.
    pub found: String,
}

/// The body of an answer to `/ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// The status now.
    pub status: PingStatus,
    /// When the status last changed, in whole seconds since the Unix epoch.
    ///
    /// It must stay still while the status does: the platform measures idleness from it.
    pub time_of_last_update: u64,
}

impl Ping {
    /// Returns the body's bytes, in the compact dialect.
    ///
    /// ```
    /// use agentcore_protocol::{Ping, PingStatus};
    ///
    /// let ping = Ping { status: PingStatus::Healthy, time_of_last_update: 1_795_344_202 };
    /// assert_eq!(ping.to_json(), r#"{"status":"Healthy","time_of_last_update":1795344202}"#);
    /// ```
    pub fn to_json(self) -> Bytes {
        json::compact_body(&self)
    }
}

/// A ping as some other server answered it: servers of the A2A and AG-UI protocols leave the time
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct ReceivedPing {
    /// The status now.
    pub status: PingStatus,
    /// When the status last changed, in whole seconds since the Unix epoch, if the server says so.
    #[serde(default)]
    pub time_of_last_update: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_compact_json_with_whole_seconds() {
        let ping = |status| Ping {
            status,
            time_of_last_update: 1_795_344_202,
        };
        assert_eq!(
            ping(PingStatus::Healthy).to_json(),
            r#"{"status":"Healthy","time_of_last_update":1795344202}"#
        );
        assert_eq!(
            ping(PingStatus::HealthyBusy).to_json(),
            r#"{"status":"HealthyBusy","time_of_last_update":1795344202}"#
        );
    }

    #[test]
    fn every_status_reads_back_from_its_text_and_its_json() {
        for status in [PingStatus::Healthy, PingStatus::HealthyBusy] {
            assert_eq!(status.to_string().parse(), Ok(status));
            let ping = Ping {
                status,
                time_of_last_update: 7,
            };
            assert_eq!(
                serde_json::from_slice::<Ping>(&ping.to_json()).unwrap(),
                ping
            );
        }
    }

    #[test]
    fn other_words_are_no_status() {
        for text in [
            "",
            "healthy",
            "HEALTHY_BUSY",
            "Healthy ",
            "Unhealthy",
            "Starting",
        ] {
            let error = text.parse::<PingStatus>().unwrap_err();
            assert_eq!(error.found, text);
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
            assert!(
                serde_json::from_value::<PingStatus>(text.into()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_received_ping_may_lack_the_time_but_not_the_status() {
        for (body, expected) in [
            (r#"{"status":"Healthy"}"#, Some((PingStatus::Healthy, None))),
            (
                r#"{"status": "HealthyBusy", "x": 1}"#,
                Some((PingStatus::HealthyBusy, None)),
            ),
            (
                r#"{"time_of_last_update":5,"status":"HealthyBusy"}"#,
                Some((PingStatus::HealthyBusy, Some(5))),
            ),
            (
                r#"{"status":"Healthy","time_of_last_update":"2026-01-01T00:00:00Z"}"#,
                None,
            ),
            (r#"{"time_of_last_update":5}"#, None),
            (r#"{"status":"Starting"}"#, None),
            ("Healthy", None),
        ] {
            let read = serde_json::from_str::<ReceivedPing>(body).ok();
            assert_eq!(
                read.map(|it| (it.status, it.time_of_last_update)),
                expected,
                "{body}"
            );
        }
    }
}
