//! The context on its way to the engine: how much of it was sent, and why it broke off.
//!
//! The HTTP client turns a failed body into an error of its own; the cause is kept here, where the build finds it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;

/// What is known of a context that is being sent.
#[derive(Clone, Default)]
pub(super) struct ContextStream {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    sent: AtomicU64,
    failure: Mutex<Option<io::Error>>,
}

impl ContextStream {
    /// Watches `context` on its way.
    pub(super) fn watch<S>(
        &self,
        context: S,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<S>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let this = self.clone();
        context.map(move |part| this.note(part))
    }

    /// The bytes that were handed to the connection.
    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Why the context broke off, if it did.
    pub(super) fn failure(&self) -> Option<io::Error> {
        self.shared
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn note(&self, part: io::Result<Bytes>) -> io::Result<Bytes> {
        match part {
            Ok(bytes) => {
                self.shared
                    .sent
                    .fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(bytes)
            }
            Err(error) => {
                let stand_in = io::Error::from(error.kind());
                *self
                    .shared
                    .failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(stand_in)
            }
        }
    }
}
