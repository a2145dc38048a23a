//! The options of `serve` that say how much of a Python agent runs at once, and for how long.

use std::num::NonZeroUsize;
use std::time::Duration;

use agentcore_host::{Capacity, seconds};

/// How much of a Python agent runs at once, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct CapacityArgs {
    /// Processes that run the agent: a session always goes to the same one
    #[arg(long, value_name = "N", env = "AGENTCORE_WORKERS", default_value = "1")]
    workers: NonZeroUsize,
    /// Threads for handlers that are no coroutines, in each process [default: 256]
    #[arg(long, value_name = "N", env = "AGENTCORE_THREADS")]
    threads: Option<NonZeroUsize>,
    /// Seconds until an invocation has to answer, or begin to stream [default: 900]
    #[arg(long, value_name = "SECONDS", env = "AGENTCORE_INVOCATION_TIMEOUT", value_parser = seconds)]
    invocation_timeout: Option<Duration>,
    /// Seconds until a stream has to end [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "AGENTCORE_STREAM_TIMEOUT", value_parser = seconds)]
    stream_timeout: Option<Duration>,
}

impl From<CapacityArgs> for Capacity {
    fn from(args: CapacityArgs) -> Self {
        let CapacityArgs {
            workers,
            threads,
            invocation_timeout,
            stream_timeout,
        } = args;
        Self {
            workers,
            threads,
            invocation_timeout,
            stream_timeout,
        }
    }
}
