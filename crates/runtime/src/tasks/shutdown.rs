//! The end of background tasks: told, awaited, cut, and what was cut is logged.
//!
//! Only spawned tasks can be cut, and only where they wait. A manual task or a guard is work that happens elsewhere, so it
//! is awaited and named, and no more.

use std::time::Duration;

use tokio::time::timeout;

use super::table::{Entry, Kind};
use super::{RunningJob, Tasks};
use crate::log::LOGGER;

/// How long a task that is cut may take to be gone; one that blocks its thread is left behind then.
const CUT: Duration = Duration::from_millis(250);

impl Tasks {
    /// Tells the tasks that the server shuts down.
    pub(crate) fn tell_stopping(&self) {
        self.shared.stopping.cancel();
    }

    /// Waits until there are none, for as long as `grace`, and then ends them as [`Tasks::shutdown`] does.
    ///
    /// As long as there is grace, requests that are still open may begin others.
    pub(crate) async fn finish(&self, grace: Duration) {
        let none_left = self.shared.none_left(|_| true);
        if timeout(grace, none_left).await.is_err() {
            self.shutdown(Duration::ZERO).await;
        }
    }

    /// Tells the tasks to end, waits for them within `grace`, cuts the rest and logs what was cut.
    ///
    /// From its end on no task can be spawned. What was cut is dropped by then, unless it blocks its thread.
    pub(crate) async fn shutdown(&self, grace: Duration) {
        self.tell_stopping();
        let shared = &self.shared;
        if timeout(grace, shared.none_left(|_| true)).await.is_ok() {
            shared.cut.cancel();
            return;
        }
        shared.begin_cut();
        let is_spawned = |entry: &Entry| entry.kind == Kind::Spawned;
        let _ = timeout(CUT, shared.none_left(is_spawned)).await;
        let cut = shared.end_cut().iter().map(Entry::job).collect();
        let left = shared.list(|_, entry| (is_spawned(entry), entry.job()));
        let (blocked, open): (Vec<_>, Vec<_>) = left.into_iter().partition(|(spawned, _)| *spawned);
        let jobs = |those: Vec<(bool, RunningJob)>| those.into_iter().map(|(_, job)| job).collect();
        log_outcome(&[
            ("cut", cut),
            ("blocked, left behind", jobs(blocked)),
            ("not completed", jobs(open)),
        ]);
    }
}

/// Writes the one line about what did not end in time: each fate with the tasks that met it.
fn log_outcome(fates: &[(&str, Vec<RunningJob>); 3]) {
    let met = fates.iter().filter(|(_, jobs)| !jobs.is_empty());
    let texts: Vec<String> = met
        .map(|(fate, jobs)| {
            let jobs: Vec<String> = jobs
                .iter()
                .map(|RunningJob { name, duration }| format!("{name} ({duration:.3}s)"))
                .collect();
            format!("{fate}: {}", jobs.join(", "))
        })
        .collect();
    if !texts.is_empty() {
        tracing::warn!(
            target: LOGGER,
            "Background tasks took longer than the shutdown waits: {}",
            texts.join("; ")
        );
    }
}
