//! Ending a front door, whatever state it is in, and everything that a killed one left behind.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::ask::ask;
use super::orphans::{self, Outcome, Unseen};
use super::record::{Places, Presence, Record};
use super::traces::clean_up_after;
use crate::error::CliError;

/// How long a killed front door may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long a front door may take to end its sandboxes and itself: they have five seconds before they are killed.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How long a front door that is about to listen may take to write its record.
const RECORD_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// Who holds the lock while something is cleared up.
const CLEARING: &str = "clearing up";

/// What was ended.
#[derive(Debug, Serialize)]
pub(crate) struct Stopped {
    /// A front door ran.
    pub(crate) was_running: bool,
    /// How many processes a killed front door had left behind.
    pub(crate) orphans: usize,
    /// How many containers.
    pub(crate) orphan_containers: usize,
    /// The engines that could not be looked at; containers may be left there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unseen: Vec<Unseen>,
}

/// Why something may still run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StopError {
    /// The lock, the record or the processes cannot be read.
    #[error("cannot tell what runs")]
    Look(#[source] io::Error),
    /// The front door could not be told to end.
    #[error("cannot end the front door (process {pid})")]
    Signal {
        /// Its process.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else answers where the record says that the front door listens.
    #[error("the front door at {base} is not the one of this project's record")]
    Stranger {
        /// Where it answers.
        base: String,
    },
    /// It holds its lock and cannot be found.
    #[error("the front door holds its lock and does not end")]
    Stuck,
}

/// Ends the front door of `places` and what is marked with `orphan_mark`, and returns when all of it is gone.
///
/// # Errors
///
/// Fails if something could not be ended.
pub(crate) fn stop(places: &Places, orphan_mark: &str) -> Result<Stopped, StopError> {
    let was_running = match settle(places)? {
        Presence::Running(record) => {
            end(places, &record)?;
            true
        }
        Presence::Stale(_) | Presence::Absent => false,
        Presence::Starting => return Err(StopError::Stuck),
    };
    let Outcome { removed, unseen } = clear(places, orphan_mark)?;
    let orphans = agentcore_local::end_orphans(orphan_mark, None).map_err(StopError::Look)?;
    Ok(Stopped {
        was_running,
        orphans,
        orphan_containers: removed,
        unseen,
    })
}

/// Waits while a front door is between taking its lock and writing its record.
fn settle(places: &Places) -> Result<Presence, StopError> {
    let deadline = Instant::now() + RECORD_LIMIT;
    loop {
        match places.look().map_err(StopError::Look)? {
            Presence::Starting if Instant::now() < deadline => std::thread::sleep(PAUSE),
            presence => return Ok(presence),
        }
    }
}

fn end(places: &Places, record: &Record) -> Result<(), StopError> {
    // The lock names this instance as its holder, so the process is the one of the record. Where a stranger answers
    // all the same, the record comes from a machine or a container that shares our files and not our processes.
    if record.ready
        && let Ok(None) = ask(record)
    {
        return Err(StopError::Stranger {
            base: record.base(),
        });
    }
    for (force, limit) in [(Signal::TERM, END_LIMIT), (Signal::KILL, KILL_LIMIT)] {
        signal(record.pid, force)?;
        if places
            .wait_until_free(Instant::now() + limit)
            .map_err(StopError::Look)?
        {
            return Ok(());
        }
    }
    Err(StopError::Stuck)
}

/// Clears up after a front door that could not do it, and forgets it unless containers of it may be left.
fn clear(places: &Places, orphan_mark: &str) -> Result<Outcome, StopError> {
    let Presence::Stale(_) = places.look().map_err(StopError::Look)? else {
        return Ok(Outcome::default());
    };
    // Whoever starts meanwhile does the same, and its own containers must not be taken for what was left.
    let Some(lock) = places.lock_for(CLEARING).map_err(StopError::Look)? else {
        return Ok(Outcome::default());
    };
    let Some(dead) = places.left_behind(&lock).map_err(StopError::Look)? else {
        return Ok(Outcome::default());
    };
    clean_up_after(&dead);
    let engines = dead.engines();
    let outcome = if engines.is_empty() {
        Outcome::default()
    } else {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StopError::Look)?;
        runtime.block_on(orphans::remove(&engines, orphan_mark))
    };
    let settled = if outcome.unseen.is_empty() {
        places.remove_record()
    } else {
        places.write_record(&Record {
            ready: false,
            engine: None,
            unseen: outcome.engines(),
            ..dead
        })
    };
    settled.map_err(StopError::Look)?;
    Ok(outcome)
}

fn signal(pid: u32, signal: Signal) -> Result<(), StopError> {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let sent = target.map_or(Err(rustix::io::Errno::SRCH), |target| {
        kill_process(target, signal)
    });
    match sent {
        // It ended in the meantime.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(StopError::Signal {
            pid,
            source: errno.into(),
        }),
    }
}

impl From<StopError> for CliError {
    fn from(error: StopError) -> Self {
        let failure = Self::other(error.to_string());
        match error {
            StopError::Look(source) | StopError::Signal { source, .. } => failure.caused_by(source),
            StopError::Stranger { .. } => failure.hint(
                "run `agentcore stop --local` on the machine or in the container that launched it",
            ),
            StopError::Stuck => {
                failure.hint("look for a process `agentcore` that hangs, and kill it")
            }
        }
    }
}
