//! What a server around an agent is told: its limits, how it ends, and what it does beside answering.
//!
//! Only data and defaults; what each setting does is where it is used.

use std::time::Duration;

use crate::limits::Limits;

/// How a server behaves around an agent, whatever the agent is.
///
/// ```
/// use std::time::Duration;
/// use agentcore_runtime::{Limits, ServerSettings};
///
/// let settings = ServerSettings::default()
///     .limits(Limits::default().running(64))
///     .drain(Duration::from_secs(12));
/// # drop(settings);
/// ```
#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub(crate) limits: Limits,
    pub(crate) drain: Duration,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) busy_while_invoking: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            drain: Duration::from_secs(10),
            keep_alive: None,
            busy_while_invoking: false,
        }
    }
}

impl ServerSettings {
    /// Sets how much is done at a time, and for how long.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long open requests and background tasks may take to finish once the server is told to end; 10 seconds by
    /// default.
    ///
    /// The platform ends a sandbox some 15 seconds after it asked for it.
    #[must_use]
    pub fn drain(mut self, grace: Duration) -> Self {
        self.drain = grace;
        self
    }

    /// Sends a comment (`: keep-alive`) in a stream that was silent for so long, so that nothing between takes it for dead; never by default.
    ///
    /// Decoders of server-sent events ignore comments; the sample clients of AWS skip every line that does not begin with `data: `.
    #[must_use]
    pub fn keep_alive(mut self, silence: Duration) -> Self {
        self.keep_alive = Some(silence);
        self
    }

    /// Reports `HealthyBusy` as long as an invocation runs, a stream or a WebSocket is open; `false` by default, as in the
    /// reference SDK.
    ///
    /// A status that is forced, or that a custom handler told, stays as it is.
    /// Some platforms measured idleness by `/ping` alone and ended sandboxes in the middle of a long stream.
    #[must_use]
    pub fn busy_while_invoking(mut self, busy: bool) -> Self {
        self.busy_while_invoking = busy;
        self
    }
}
