//! The table of background tasks, and what is waited for on it.
//!
//! Only books: what a task does is its own affair, and the log's lines are written by whoever calls. Nothing runs under the
//! lock, and what leaves the table is dropped outside of it: a lease that ends may end its session.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::{RunningJob, TaskId};
use crate::agent::BoxFuture;
use crate::log::LOGGER;
use crate::sessions::RenewedLease;

/// What all handles of an app's tasks share.
#[derive(Default)]
pub(super) struct Shared {
    /// The length of the table, to be read without its lock.
    count: AtomicUsize,
    table: Mutex<Table>,
    /// Told whenever a task has ended.
    ended: Notify,
    /// Cancelled when the server begins to shut down.
    pub(super) stopping: CancellationToken,
    /// Cancelled when what was spawned has to end.
    pub(super) cut: CancellationToken,
}

#[derive(Default)]
struct Table {
    entries: HashMap<TaskId, Entry>,
    begun: u64,
    threads: Option<Handle>,
    /// Futures that were spawned before there was a thread for them.
    waiting: Vec<BoxFuture<'static, ()>>,
    /// What was cut, while a shutdown waits for it.
    cut: Option<Vec<Entry>>,
}

/// A task that runs.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) started: Instant,
    /// Of the invocation that started it.
    pub(super) span: Span,
    place: u64,
    metadata: Value,
    _lease: Option<RenewedLease>,
}

/// Who ends a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whoever knows its id.
    Manual,
    /// Its guard.
    Guard,
    /// Its future.
    Spawned,
}

impl Shared {
    pub(super) fn begin(
        &self,
        name: String,
        kind: Kind,
        metadata: Value,
        lease: Option<RenewedLease>,
    ) -> TaskId {
        let (line, span) = (name.clone(), Span::current());
        let mut id = TaskId::random();
        {
            let mut table = self.lock();
            while table.entries.contains_key(&id) {
                id = TaskId::random();
            }
            table.begun += 1;
            let entry = Entry {
                name,
                kind,
                // Under the lock, so that whoever is first in the list has also run longest.
                started: Instant::now(),
                span,
                place: table.begun,
                metadata,
                _lease: lease,
            };
            table.entries.insert(id, entry);
            self.note_count(&table);
        }
        tracing::info!(target: LOGGER, "Async task started: {line} (ID: {id})");
        id
    }

    /// Takes a task out of the table, if it is there and of that kind.
    pub(super) fn take(&self, id: TaskId, kind: Kind) -> Option<Entry> {
        let entry = {
            let mut table = self.lock();
            table.entries.get(&id).filter(|entry| entry.kind == kind)?;
            let entry = table.entries.remove(&id);
            self.note_count(&table);
            entry
        };
        self.ended.notify_waiters();
        entry
    }

    /// Takes a spawned task out of the table because it was cut.
    pub(super) fn take_cut(&self, id: TaskId) {
        let rest = {
            let mut table = self.lock();
            let entry = table.entries.remove(&id);
            self.note_count(&table);
            match (&mut table.cut, entry) {
                (Some(cut), Some(entry)) => {
                    cut.push(entry);
                    None
                }
                (_, entry) => entry,
            }
        };
        drop(rest);
        self.ended.notify_waiters();
    }

    /// Cuts what was spawned, and begins to collect what that is.
    pub(super) fn begin_cut(&self) {
        self.lock().cut = Some(Vec::new());
        self.cut.cancel();
    }

    /// Returns what was cut, in the order in which it started.
    pub(super) fn end_cut(&self) -> Vec<Entry> {
        let mut cut = self.lock().cut.take().unwrap_or_default();
        cut.sort_unstable_by_key(|entry| entry.place);
        cut
    }

    /// Runs a future on the agent's threads; before there are any, on the caller's, and failing these, when there are.
    pub(super) fn run(&self, future: BoxFuture<'static, ()>) {
        let mut table = self.lock();
        let threads = table.threads.clone().or_else(|| Handle::try_current().ok());
        if let Some(threads) = threads {
            drop(table);
            threads.spawn(future);
        } else {
            table.waiting.push(future);
        }
    }

    pub(super) fn start(&self, threads: &Handle) {
        let waiting = {
            let mut table = self.lock();
            table.threads = Some(threads.clone());
            std::mem::take(&mut table.waiting)
        };
        for future in waiting {
            threads.spawn(future);
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.count() > 0
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn has(&self, id: TaskId) -> bool {
        self.lock().entries.contains_key(&id)
    }

    pub(super) fn metadata(&self, id: TaskId) -> Option<Value> {
        let table = self.lock();
        table.entries.get(&id).map(|entry| entry.metadata.clone())
    }

    /// Returns the tasks in the order in which they started.
    pub(super) fn jobs(&self) -> Vec<RunningJob> {
        self.list(|_, entry| entry.job())
    }

    /// Returns what `view` makes of each task, in the order in which they started.
    pub(super) fn list<T>(&self, view: impl Fn(TaskId, &Entry) -> T) -> Vec<T> {
        let table = self.lock();
        let mut all: Vec<_> = table.entries.iter().collect();
        all.sort_unstable_by_key(|(_, entry)| entry.place);
        all.into_iter()
            .map(|(&id, entry)| view(id, entry))
            .collect()
    }

    /// Waits until no task is left that `counts`.
    pub(super) async fn none_left(&self, counts: impl Fn(&Entry) -> bool) {
        loop {
            // Made before the look, so that an end between the look and the wait is not missed.
            let ended = self.ended.notified();
            if !self.lock().entries.values().any(&counts) {
                return;
            }
            ended.await;
        }
    }

    fn note_count(&self, table: &Table) {
        self.count.store(table.entries.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No panic can come between two changes that belong together, so a poisoned table is as good as any.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    pub(super) fn job(&self) -> RunningJob {
        RunningJob {
            name: self.name.clone(),
            duration: self.started.elapsed().as_secs_f64(),
        }
    }
}
