//! Counts of what is open, kept by guards.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Handlers that have begun and not ended.
pub(crate) static HANDLERS: Counter = Counter(AtomicUsize::new(0));
/// Streams whose end was not reached and that were not dropped.
pub(crate) static STREAMS: Counter = Counter(AtomicUsize::new(0));
/// WebSocket handlers that have begun and not ended.
pub(crate) static SOCKETS: Counter = Counter(AtomicUsize::new(0));

/// How many there are of one kind.
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    /// Returns how many are open.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of them; it is counted until it is dropped.
#[must_use]
pub(crate) struct Open(&'static Counter);

impl Open {
    /// Counts one more.
    pub(crate) fn one_of(counter: &'static Counter) -> Self {
        counter.0.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
