//! Signals while questions are asked: they end the wait for a key, so that everything that was set up is taken down again
//! on the way out. On their own they would end the program on the spot, in the middle of a terminal's other mode.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// How long a signal is given to end a wait before it is sent again.
const AGAIN: Duration = Duration::from_millis(20);

/// Lets signals interrupt and do no more, until this is dropped.
#[derive(Debug)]
pub(super) struct Interrupts {
    is_over: Arc<AtomicBool>,
}

impl Interrupts {
    /// Begins to catch what would end the program.
    pub(super) fn begin() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        // A signal that comes between two waits interrupts neither, so it is repeated until somebody takes notice.
        let repeat = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            while !seen.load(Ordering::Acquire) {
                // The handler is there, so this can only interrupt.
                let _ = kill_process(getpid(), Signal::INT);
                tokio::time::sleep(AGAIN).await;
            }
        };
        std::thread::Builder::new()
            .name("interrupts".to_owned())
            .spawn(move || runtime.block_on(repeat))?;
        Ok(Self { is_over })
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
    }
}
