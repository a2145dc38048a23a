//! Sessions: state that lives between the invocations of one session, and ends with it.
//!
//! The service gives each session a sandbox of its own and ends it; these sessions are the same idea within one process, for agents that
//! serve several, and for state that must not outlive its session.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::SessionId;
use crate::failure::Failure;

/// How long sessions live and how many there may be.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the table of sessions reads them")]
pub struct SessionLimits {
    pub(crate) idle_timeout: Duration,
    pub(crate) max_lifetime: Duration,
    pub(crate) max_open: usize,
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

/// The sessions of an app.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    _shared: Arc<()>,
}

/// One session.
#[derive(Clone, Debug)]
pub struct Session {
    id: SessionId,
}

/// Keeps a session open: it neither idles nor is evicted while a copy of this exists.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) session: Session,
}

impl Sessions {
    pub(crate) fn set_limits(&self, _limits: SessionLimits) {}

    /// Begins to end sessions whose time has come, on these threads.
    pub(crate) fn start(&self, _threads: &Handle) {}

    /// Returns the session of that id, a new one if there is none.
    pub(crate) fn open(&self, id: &SessionId) -> Result<Lease, Failure> {
        let session = Session { id: id.clone() };
        Ok(Lease { session })
    }

    /// Ends all sessions.
    pub(crate) async fn shutdown(&self) {}
}

impl Session {
    /// Returns the session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }
}
