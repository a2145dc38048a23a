//! Panics as lines of the log, so that stderr stays one thing.
//!
//! A hook is the process's, so only [`App::run`](crate::App::run) installs it, which owns the process, and only together
//! with the log. The caller of an invocation that panics is answered elsewhere.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use tokio::runtime::Handle;

use super::{LOGGER, flush};

/// Logs every panic from now on, instead of what was done with one before.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    // Only if `RUST_BACKTRACE` asks for it.
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    tracing::error!(
        target: LOGGER,
        errorType = "Panic",
        errorMessage = panic.payload_as_str(),
        stackTrace = is_captured.then(|| tracing::field::display(&backtrace)),
        location = panic.location().map(tracing::field::display),
        "Panic in thread `{}`", thread.name().unwrap_or("(no name)")
    );
    // A panic that ends the process must be written before. One that is caught, as those of handlers are, must not wait for
    // whoever reads the log: it may be on a thread that answers pings.
    let is_caught = Handle::try_current().is_ok();
    if cfg!(panic = "abort") || thread.name() == Some("main") && !is_caught {
        flush();
    }
}
