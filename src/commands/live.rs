//! The log of a front door as its user watches it: shown by a thread of its own, because a terminal may stand still and
//! the agents must not.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;

use crate::services::local::log_entry::Entry;
use crate::ui::log_lines::LogLine;
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;

/// How many lines may wait for the terminal; what comes beyond is only in the log file.
const WAITING: usize = 10_000;

/// Shows entries until it is dropped; then everything that waits is shown first.
#[derive(Debug)]
pub(crate) struct Live {
    sender: Option<SyncSender<Entry>>,
    left_out: AtomicUsize,
    ended: AtomicBool,
    thread: Option<JoinHandle<()>>,
    printer: Printer,
}

impl Live {
    /// Begins to show on `printer`, above what `progress` shows there.
    pub(crate) fn start(printer: Printer, progress: Progress) -> Self {
        let (sender, receiver) = mpsc::sync_channel::<Entry>(WAITING);
        let thread = std::thread::spawn(move || {
            for entry in receiver {
                let line = LogLine {
                    time: None,
                    session: entry.session.as_deref(),
                    sandbox: entry.sandbox.as_deref(),
                    text: &entry.text(),
                };
                progress.above(|| printer.status(&line.to_string()));
            }
        });
        Self {
            sender: Some(sender),
            left_out: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            thread: Some(thread),
            printer,
        }
    }

    /// Shows nothing that comes from now on.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Shows `entry` when the terminal takes it. Never waits.
    pub(crate) fn show(&self, entry: Entry) {
        let Some(sender) = self
            .sender
            .as_ref()
            .filter(|_| !self.ended.load(Ordering::Relaxed))
        else {
            return;
        };
        if let Err(TrySendError::Full(_)) = sender.try_send(entry) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
        let left_out = *self.left_out.get_mut();
        if left_out > 0 {
            self.printer.warn(&format!(
                "{left_out} lines came too fast to be shown; `agentcore logs --local` has them"
            ));
        }
    }
}
