//! How much of an agent runs at once, and for how long.

use std::num::NonZeroUsize;
use std::time::Duration;

use agentcore_runtime::{Limits, ServerSettings};

/// How many invocations of a Python agent run at once, and how long each may take.
///
/// For the native engine; the official SDK has none of these settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Processes that run the agent, at least one: a session always goes to the same one. 1 by default.
    pub workers: NonZeroUsize,
    /// Threads for handlers that are no coroutines, in each process; 256 if there is nothing here.
    pub threads: Option<NonZeroUsize>,
    /// How long an invocation may take to answer, or to begin to stream; 15 minutes if there is nothing here.
    pub invocation_timeout: Option<Duration>,
    /// How long a stream may be; an hour if there is nothing here.
    pub stream_timeout: Option<Duration>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            workers: NonZeroUsize::MIN,
            threads: None,
            invocation_timeout: None,
            stream_timeout: None,
        }
    }
}

impl Capacity {
    /// The settings of the server around the agent.
    pub(crate) fn server(&self) -> ServerSettings {
        let mut limits = Limits::default();
        if let Some(limit) = self.invocation_timeout {
            limits = limits.invocation(limit);
        }
        if let Some(limit) = self.stream_timeout {
            limits = limits.stream(limit);
        }
        ServerSettings::default().limits(limits)
    }
}

/// Reads a time as options and variables give it: a positive number of seconds, a fraction allowed.
///
/// # Errors
///
/// Says what was expected.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text.parse().ok().filter(|seconds| *seconds > 0.0);
    let duration = parsed.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "expected a positive number of seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["0", "-1", "", "nan", "inf", "1e30", "5s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
