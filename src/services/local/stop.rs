//! Ending a front door, whatever state it is in, and everything that a killed one left behind.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::ask::ask;
use super::door::clean_up_after;
use super::record::{Places, Presence, Record};
use crate::error::CliError;

/// How long a killed front door may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long a front door may take to end its sandboxes and itself: they have five seconds before they are killed.
const END_LIMIT: Duration = Duration::from_secs(20);
/// How long a front door that is about to listen may take to write its record.
const RECORD_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// What was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Stopped {
    /// A front door ran.
    pub(crate) was_running: bool,
    /// How many processes a killed front door had left behind.
    pub(crate) orphans: usize,
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
    let record = match settle(places)? {
        Presence::Running(record) => {
            end(places, &record)?;
            Some(record)
        }
        Presence::Stale(record) => {
            clear(places, &record)?;
            None
        }
        Presence::Absent => None,
        Presence::Starting => return Err(StopError::Stuck),
    };
    let orphans = agentcore_local::end_orphans(orphan_mark, None).map_err(StopError::Look)?;
    Ok(Stopped {
        was_running: record.is_some(),
        orphans,
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
            if let Presence::Stale(dead) = places.look().map_err(StopError::Look)? {
                clear(places, &dead)?;
            }
            return Ok(());
        }
    }
    Err(StopError::Stuck)
}

fn clear(places: &Places, dead: &Record) -> Result<(), StopError> {
    clean_up_after(dead);
    places.remove_record().map_err(StopError::Look)
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
