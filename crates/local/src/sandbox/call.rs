//! What is open in a sandbox, and how it keeps the sandbox from being idle: a call by being open, a WebSocket by what
//! passes through it.

use std::sync::Arc;

use tokio::time::Instant;

use super::Sandbox;

/// One open invocation: while it lives, its sandbox is not idle.
pub(crate) struct Call {
    sandbox: Arc<Sandbox>,
}

impl Call {
    /// Wraps what the clock has been told of.
    pub(super) fn new(sandbox: Arc<Sandbox>) -> Self {
        Self { sandbox }
    }

    pub(crate) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// The call has become a WebSocket.
    pub(crate) fn into_socket(self) -> OpenSocket {
        let sandbox = Arc::clone(&self.sandbox);
        sandbox.clock().open_socket(Instant::now());
        OpenSocket { sandbox }
    }
}

impl Drop for Call {
    // In `drop`, so that a caller who leaves cannot keep the sandbox for ever.
    fn drop(&mut self) {
        self.sandbox.clock().close(Instant::now());
    }
}

/// One open WebSocket: each byte that passes starts the idle time anew, silence does not.
pub(crate) struct OpenSocket {
    sandbox: Arc<Sandbox>,
}

impl OpenSocket {
    pub(crate) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// Notes that something passed.
    pub(crate) fn moved(&self) {
        self.sandbox.clock().moved(Instant::now());
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.sandbox.clock().close_socket(Instant::now());
    }
}
