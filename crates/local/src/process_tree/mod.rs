//! Ending everything that belongs to a sandbox, however far it went from it.
//!
//! A process belongs to a sandbox if it descends from its main process, is in a process group that one of its processes
//! leads, or carries the sandbox's mark in its environment; on Linux the front door also adopts what lost its parent
//! (`adopted`). All functions here block for up to a few seconds. They signal processes and know nothing of sessions.

pub(crate) mod adopted;
mod mark;
mod snapshot;

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use mark::{MARK_VARIABLE, Mark};
use snapshot::{Process, Snapshot};

/// How long processes have between the request to end and the order.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How long killed processes have to disappear; only the kernel can make it longer.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Ends every process of `mark`'s sandboxes that was not started by the front door `keep_instance`, and returns how many
/// there were.
///
/// For what a front door that was killed could not end itself. It blocks until they are gone, at most about ten seconds;
/// the calling process and its ancestors are spared.
///
/// # Errors
///
/// Fails if the system does not list its processes.
pub fn end_orphans(mark: &str, keep_instance: Option<&str>) -> io::Result<usize> {
    end(
        &Family::Orphans {
            project: mark.to_owned(),
            keep: keep_instance.map(str::to_owned),
        },
        GRACE,
    )
}

/// Which processes are meant.
#[derive(Clone, Debug)]
pub(crate) enum Family {
    /// Those of one sandbox.
    Sandbox { root: u32, mark: Mark },
    /// Those of all sandboxes of one front door.
    Instance { project: String, instance: String },
    /// Those of all sandboxes of earlier front doors.
    Orphans {
        project: String,
        keep: Option<String>,
    },
    /// Those that the front door adopted and that show no trace of where they came from.
    Strays,
}

impl Family {
    /// Returns the living members in `snapshot`: those that match by themselves or are `known`, and their kin.
    fn members<'a>(&self, snapshot: &'a Snapshot, known: &HashSet<Identity>) -> Vec<&'a Process> {
        let spared = snapshot.ancestry_of_this_process();
        let own_group = snapshot.own_group();
        let mut members: HashSet<i32> = HashSet::new();
        loop {
            let before = members.len();
            for process in snapshot.processes() {
                let kin = process
                    .parent
                    .is_some_and(|parent| members.contains(&parent))
                    || (process.group != own_group && members.contains(&process.group));
                let named = || known.contains(&identity(process)) || self.names(process, snapshot);
                if !spared.contains(&process.pid) && (kin || named()) {
                    members.insert(process.pid);
                }
            }
            if members.len() == before {
                break;
            }
        }
        let alive = |process: &&Process| members.contains(&process.pid) && !process.dead;
        snapshot.processes().filter(alive).collect()
    }

    /// Tells whether `process` belongs here by what it is, without looking at its kin.
    fn names(&self, process: &Process, snapshot: &Snapshot) -> bool {
        let mark = process.mark.as_ref();
        match self {
            Self::Sandbox { root, mark: own } => {
                let root = i32::try_from(*root).unwrap_or(i32::MAX);
                // The number of an ended process may be given to a stranger: it is no child of ours, nor in our session.
                let is_root = process.pid == root && process.parent == Some(snapshot.own_pid());
                let in_group = process.group == root && process.session == snapshot.own_session();
                is_root || in_group || mark == Some(own)
            }
            Self::Instance { project, instance } => {
                mark.is_some_and(|it| it.project == *project && it.instance == *instance)
            }
            Self::Orphans { project, keep } => {
                mark.is_some_and(|it| it.project == *project && Some(&it.instance) != keep.as_ref())
            }
            Self::Strays => {
                mark.is_none()
                    && process.parent == Some(snapshot.own_pid())
                    && process.group != snapshot.own_group()
                    && !adopted::is_main_process(process.pid)
            }
        }
    }
}

/// What tells a process from a later one of the same number: the number, and when it was started.
type Identity = (i32, u64);

fn identity(process: &Process) -> Identity {
    (process.pid, process.started)
}

/// Asks the members of `family` to end, kills after `grace` what is left, and returns how many there were.
///
/// Members that appear meanwhile are ended too. It returns when none is left.
pub(crate) fn end(family: &Family, grace: Duration) -> io::Result<usize> {
    let deadline = Instant::now() + grace;
    // Who was a member stays one: the kin that showed it may have ended since.
    let mut told = HashSet::new();
    loop {
        let snapshot = Snapshot::fresh()?;
        let members = family.members(&snapshot, &told);
        let now = Instant::now();
        if members.is_empty() {
            return Ok(told.len());
        }
        if now > deadline + KILL_LIMIT {
            tracing::warn!(
                left = members.len(),
                "processes of a sandbox cannot be killed"
            );
            return Ok(told.len());
        }
        let force = now >= deadline;
        for member in &members {
            let new = told.insert(identity(member));
            if force {
                signal(member.pid, Signal::KILL);
            } else if new {
                signal(member.pid, Signal::TERM);
            }
        }
        let until = if force { now + KILL_LIMIT } else { deadline };
        wait_until_gone(&members, until);
    }
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().get() > 1) {
        // It may have ended since it was seen, or belong to another user: the next look tells.
        let _ = kill_process(pid, signal);
    }
}

/// Returns when none of `members` exists any more, or at `until`.
fn wait_until_gone(members: &[&Process], until: Instant) {
    let mut pause = Duration::from_millis(1);
    let gone = |member: &&Process| {
        adopted::reap(member.pid);
        snapshot::has_ended(member.pid)
    };
    while !members.iter().all(gone) && Instant::now() < until {
        std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
