//! The worker processes of one agent: how many there are, which one a call goes to, and when a fresh one is started.
//!
//! Each place in the fleet has one worker at a time. When it has died or is replaced, the next call to that place starts
//! another; no call is ever made twice. An agent that does not load the first time will not be tried again: the server is
//! to end then.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentcore_protocol::SessionId;
use futures_util::future::{join_all, try_join_all};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::LOGGER;
use crate::wire::from_worker::{Ready, Source, Status};
use crate::worker::{Death, Entrance, Worker, WorkerCommand};

/// Socket paths are limited to 104 bytes on some systems; a folder with a shorter path leaves room for names.
const LONGEST_FOLDER: usize = 72;

/// The workers.
#[derive(Debug)]
pub(crate) struct Fleet {
    /// How a fresh worker is started; `None` where the worker is not ours to start.
    command: Option<WorkerCommand>,
    /// Private, and removed at the end: the sockets are in it.
    folder: TempDir,
    first: Vec<Arc<Worker>>,
    places: Vec<Mutex<Place>>,
    started: AtomicU64,
    /// Cancelled when the server begins to end.
    ending: CancellationToken,
    /// Whether no calls are taken any more.
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Place {
    worker: Arc<Worker>,
    /// Those that were replaced and may still be at work.
    retired: Vec<Arc<Worker>>,
}

impl Fleet {
    /// Starts `count` workers. Has to be called inside a tokio runtime.
    pub(crate) fn start(command: WorkerCommand, count: NonZeroUsize) -> io::Result<Self> {
        let folder = private_folder()?;
        let ending = CancellationToken::new();
        let first: Vec<_> = (1..=count.get())
            .map(|number| {
                let socket = folder.path().join(number.to_string());
                Worker::start(command.clone(), socket, ending.clone())
            })
            .collect();
        Ok(Self::of(first, Some(command), folder, ending))
    }

    /// Waits for the only worker, which runs already; returns also that worker, and how it gets here.
    pub(crate) fn attached() -> io::Result<(Self, Arc<Worker>, Entrance)> {
        let folder = private_folder()?;
        let ending = CancellationToken::new();
        let (worker, entrance) = Worker::attached(folder.path().join("1"), ending.clone())?;
        let fleet = Self::of(vec![Arc::clone(&worker)], None, folder, ending);
        Ok((fleet, worker, entrance))
    }

    fn of(
        first: Vec<Arc<Worker>>,
        command: Option<WorkerCommand>,
        folder: TempDir,
        ending: CancellationToken,
    ) -> Self {
        let place = |worker: &Arc<Worker>| {
            Mutex::new(Place {
                worker: Arc::clone(worker),
                retired: Vec::new(),
            })
        };
        Self {
            command,
            folder,
            places: first.iter().map(place).collect(),
            started: AtomicU64::new(first.len() as u64),
            first,
            ending,
            stopping: AtomicBool::new(false),
        }
    }

    /// Waits until the agent has loaded in every worker for the first time.
    pub(crate) async fn loaded(&self) -> Result<(), String> {
        let each = self
            .first
            .iter()
            .map(async |worker| match worker.loaded().await {
                // A death in service is no reason: others may still be loading.
                Err(death) if !death.loaded => Err(death.cause.clone()),
                _ => Ok(()),
            });
        try_join_all(each).await.map(drop)
    }

    /// Whether the agent is loading for the first time, or has failed to.
    pub(crate) fn is_starting(&self) -> bool {
        self.first.iter().any(|worker| worker.is_loading()) || self.failed_for_good().is_some()
    }

    /// Returns the worker for a call: always the same one for a session, and otherwise the one that has least to do.
    pub(crate) fn worker(&self, session: Option<&SessionId>) -> Arc<Worker> {
        let count = self.places.len();
        let place = match session {
            _ if count == 1 => 0,
            Some(session) => place_of(session, count),
            None => {
                let load = |place: &usize| {
                    let worker = &self.place(*place).worker;
                    (worker.is_loading(), worker.load())
                };
                (0..count).min_by_key(load).unwrap_or(0)
            }
        };
        self.at(place)
    }

    /// Returns the worker of a place, a fresh one if it has died or takes no more calls.
    fn at(&self, place: usize) -> Arc<Worker> {
        let mut place = self.place(place);
        let worker = &place.worker;
        if worker.dead().is_none() && !worker.is_retired() {
            return Arc::clone(worker);
        }
        if let Some(command) = &self.command
            && self.failed_for_good().is_none()
            && !self.is_stopping()
        {
            tracing::info!(target: LOGGER, "A fresh worker process is started");
            let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
            let socket = self.folder.path().join(number.to_string());
            // Which only begins to start it, because pings take this lock too.
            let fresh = Worker::start(command.clone(), socket, self.ending.clone());
            let old = std::mem::replace(&mut place.worker, fresh);
            place.retired.push(old);
            // The dead are kept until they are buried: whoever stops waits for that.
            place.retired.retain(|worker| !worker.is_buried());
        }
        Arc::clone(&place.worker)
    }

    /// Returns the status of all: forced before custom before automatic, and busy before not.
    pub(crate) fn status(&self) -> Status {
        let all = (0..self.places.len()).map(|place| self.place(place).worker.status());
        all.min_by_key(|status| (rank(status.source), !status.is_busy()))
            .unwrap_or_default()
    }

    /// Returns what the agent said when it had loaded for the first time; each request asks for it.
    pub(crate) fn ready(&self) -> Option<&Ready> {
        self.first.first()?.ready()
    }

    /// The same, as soon as the agent has loaded; `None` if it does not.
    pub(crate) async fn known(&self) -> Option<&Ready> {
        let first = self.first.first()?;
        first.loaded().await.ok()?;
        first.ready()
    }

    /// Returns the workers that are there now.
    pub(crate) fn current(&self) -> Vec<Arc<Worker>> {
        let places = 0..self.places.len();
        places
            .map(|place| Arc::clone(&self.place(place).worker))
            .collect()
    }

    /// Says that the server begins to end; what runs may finish.
    pub(crate) fn begin_to_end(&self) {
        self.ending.cancel();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ends all workers: what runs may finish within `grace`, then they are told to end, then they are ended.
    ///
    /// Returns when nothing is left of them.
    pub(crate) async fn stop(&self, grace: Duration) {
        let all = self.last_of_all();
        join_all(all.iter().map(|worker| worker.stop(grace))).await;
    }

    /// Ends all workers at once, whatever they do. Returns when nothing is left of them.
    pub(crate) async fn kill(&self) {
        let all = self.last_of_all();
        join_all(all.iter().map(|worker| worker.kill())).await;
    }

    fn last_of_all(&self) -> Vec<Arc<Worker>> {
        self.stopping.store(true, Ordering::Relaxed);
        let places = 0..self.places.len();
        places
            .flat_map(|place| {
                let place = self.place(place);
                let mut all = place.retired.clone();
                all.push(Arc::clone(&place.worker));
                all
            })
            .collect()
    }

    /// Returns why the agent did not load the first time, if it did not.
    fn failed_for_good(&self) -> Option<Arc<Death>> {
        let deaths = self.first.iter().filter_map(|worker| worker.dead());
        deaths.into_iter().find(|death| !death.loaded)
    }

    fn place(&self, place: usize) -> MutexGuard<'_, Place> {
        // Each change is complete when the lock is let go.
        self.places[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same place for a session each time; the places are as many as there were at the beginning.
fn place_of(session: &SessionId, count: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    session.as_str().hash(&mut hasher);
    let place = hasher.finish() % count as u64;
    usize::try_from(place).expect("a place is smaller than their number")
}

/// The strongest first.
fn rank(source: Source) -> u8 {
    match source {
        Source::Forced => 0,
        Source::Custom => 1,
        Source::Automatic => 2,
    }
}

/// Makes a folder that only this user can enter, with a path short enough for a socket in it.
fn private_folder() -> io::Result<TempDir> {
    let usual = std::env::temp_dir();
    let parent = if usual.as_os_str().as_bytes().len() <= LONGEST_FOLDER {
        &usual
    } else {
        Path::new("/tmp")
    };
    tempfile::Builder::new()
        .prefix("agentcore-")
        .tempdir_in(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_place_and_sessions_are_spread() {
        let mut counts = [0; 4];
        for number in 0..400 {
            let session: SessionId = format!("session-{number}").parse().unwrap();
            let place = place_of(&session, 4);
            assert_eq!(place, place_of(&session, 4));
            counts[place] += 1;
        }
        assert!(counts.iter().all(|count| *count > 50), "{counts:?}");
    }
}
