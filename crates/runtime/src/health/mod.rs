//! The status of an app: forced, or the custom handler's, or by its background tasks.
//!
//! The answer to a ping never waits for the agent's threads; a custom handler has a thread of its own. When the status last
//! changed is the server's to note, in `ping.rs`.

mod custom;
mod handler;
#[cfg(test)]
mod precedence;

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::custom::Custom;
pub use self::handler::PingHandler;
use crate::PingStatus;
use crate::agent::BoxFuture;
use crate::log::LOGGER;
use crate::tasks::Tasks;

/// The status of an app, to force and to read.
///
/// A forced status comes first, then what the custom handler said ([`App::ping`](crate::App::ping)), and failing both, the
/// status is automatic: [`PingStatus::HealthyBusy`] as long as there is a background task. Invocations do not count, unless
/// the app says so ([`App::busy_while_invoking`](crate::App::busy_while_invoking)). Cloning is cheap.
#[derive(Clone, Default)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tasks: Tasks,
    forced: Forced,
    custom: Mutex<Option<Arc<Custom>>>,
}

impl Health {
    pub(crate) fn new(tasks: Tasks) -> Self {
        let shared = Shared {
            tasks,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Makes every ping tell this status, until it is cleared.
    pub fn force_ping_status(&self, status: PingStatus) {
        self.shared.forced.set(Some(status));
        tracing::info!(target: LOGGER, "Ping status forced to {status}");
    }

    /// Lets the custom handler and the background tasks tell the status again.
    pub fn clear_forced_ping_status(&self) {
        self.shared.forced.set(None);
        tracing::info!(target: LOGGER, "Forced ping status cleared");
    }

    /// Returns the status that the next ping will tell, as far as it is known without asking the custom handler: what that
    /// said last counts.
    pub fn current_ping_status(&self) -> PingStatus {
        self.decided().unwrap_or_else(|| self.automatic())
    }

    /// Returns the status that is forced, or that the custom handler told; `None` if it is automatic.
    pub(crate) fn decided(&self) -> Option<PingStatus> {
        let custom = || self.custom().as_ref()?.answer();
        self.shared.forced.get().or_else(custom)
    }

    /// Asks the custom handler, if there is one and it matters; ends soon, whatever the handler does.
    pub(crate) fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        if self.shared.forced.get().is_some() {
            return None;
        }
        self.custom().as_ref()?.refresh()
    }

    /// Starts the custom handler's thread, if there is a handler.
    pub(crate) fn start(&self) {
        if let Some(custom) = &*self.custom() {
            custom.start();
        }
    }

    /// Ends that thread; from then on the status is without the custom handler's.
    pub(crate) fn stop(&self) {
        // Dropped outside of the lock: the handler is the author's, and so is its end.
        let stopped = self.custom().take();
        drop(stopped);
    }

    fn set_custom(&self, custom: Custom) {
        let replaced = self.custom().replace(Arc::new(custom));
        drop(replaced);
    }

    fn automatic(&self) -> PingStatus {
        if self.shared.tasks.is_busy() {
            PingStatus::HealthyBusy
        } else {
            PingStatus::Healthy
        }
    }

    fn custom(&self) -> MutexGuard<'_, Option<Arc<Custom>>> {
        let custom = self.shared.custom.lock();
        custom.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("forced", &self.shared.forced.get())
            .field("automatic", &self.automatic())
            .finish_non_exhaustive()
    }
}

/// A forced status, or none; read by every ping.
#[derive(Default)]
struct Forced(AtomicU8);

impl Forced {
    fn get(&self) -> Option<PingStatus> {
        match self.0.load(Ordering::Acquire) {
            1 => Some(PingStatus::Healthy),
            2 => Some(PingStatus::HealthyBusy),
            _ => None,
        }
    }

    fn set(&self, status: Option<PingStatus>) {
        let number = match status {
            None => 0,
            Some(PingStatus::Healthy) => 1,
            Some(PingStatus::HealthyBusy) => 2,
        };
        self.0.store(number, Ordering::Release);
    }
}
