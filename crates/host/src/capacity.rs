//! How much of an agent runs at once, and for how long: what `serve` takes as options and variables.

use std::num::NonZeroUsize;
use std::time::Duration;

use agentcore_runtime::{Limits, ServerSettings};

/// How many invocations of a Python agent run at once, and how long each may take.
///
/// For the native engine; the official SDK has none of these settings.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Capacity {
    /// Processes that run the agent: a session always goes to the same one
    #[arg(long, value_name = "N", env = "AGENTCORE_WORKERS", default_value = "1")]
    pub workers: NonZeroUsize,
    /// Threads for handlers that are no coroutines, in each process [default: 256]
    #[arg(long, value_name = "N", env = "AGENTCORE_THREADS")]
    pub threads: Option<NonZeroUsize>,
    /// Seconds until an invocation has to answer, or begin to stream [default: 900]
    #[arg(long, value_name = "SECONDS", env = "AGENTCORE_INVOCATION_TIMEOUT", value_parser = seconds)]
    pub invocation_timeout: Option<Duration>,
    /// Seconds until a stream has to end [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "AGENTCORE_STREAM_TIMEOUT", value_parser = seconds)]
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

/// Reads a positive number of seconds, a fraction allowed.
fn seconds(text: &str) -> Result<Duration, String> {
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
