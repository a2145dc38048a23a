//! One look at all processes of the machine: parents, groups, sessions and marks.
//!
//! It only looks. Several sandboxes that end at the same time share a look.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::process::getpid;
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::mark::{MARK_VARIABLE, Mark};

/// All processes at one moment.
pub(crate) struct Snapshot {
    begun: Instant,
    own_pid: i32,
    processes: HashMap<i32, Process>,
}

/// What is known about one process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: Option<i32>,
    /// The process group and the session; 0 if they are the kernel's, or outside of this container.
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// In seconds since the Unix epoch; with the pid it tells a process from a later one of the same number.
    pub(crate) started: u64,
    pub(crate) mark: Option<Mark>,
    /// It has ended, and its parent has not noticed yet.
    pub(crate) dead: bool,
}

impl Snapshot {
    /// Returns a look that was begun after this call.
    pub(crate) fn fresh() -> io::Result<Arc<Self>> {
        static LATEST: Mutex<Option<Arc<Snapshot>>> = Mutex::new(None);
        let asked = Instant::now();
        let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited for the lock may use a look that was begun while it waited.
        if let Some(snapshot) = latest.as_ref().filter(|it| it.begun >= asked) {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(Self::take()?);
        *latest = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }

    fn take() -> io::Result<Self> {
        let begun = Instant::now();
        let mut system = System::new().map_err(io::Error::other)?;
        let what = ProcessRefreshKind::nothing()
            .with_environ(UpdateKind::Always)
            .without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let processes = system.processes().values().filter_map(Process::seen);
        let processes: HashMap<_, _> = processes.map(|process| (process.pid, process)).collect();
        if processes.is_empty() {
            return Err(io::Error::other("the system lists no processes"));
        }
        Ok(Self {
            begun,
            own_pid: getpid().as_raw_nonzero().get(),
            processes,
        })
    }

    /// Returns every process, in no order.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    pub(crate) fn own_pid(&self) -> i32 {
        self.own_pid
    }

    pub(crate) fn own_group(&self) -> i32 {
        self.own().map_or(0, |it| it.group)
    }

    pub(crate) fn own_session(&self) -> i32 {
        self.own().map_or(0, |it| it.session)
    }

    fn own(&self) -> Option<&Process> {
        self.processes.get(&self.own_pid)
    }

    /// Returns this process and those that it descends from: a front door that was started inside a sandbox must not end
    /// itself with it.
    pub(crate) fn ancestry_of_this_process(&self) -> HashSet<i32> {
        let mut ancestry = HashSet::new();
        let mut next = Some(self.own_pid());
        while let Some(pid) = next.filter(|&pid| ancestry.insert(pid)) {
            next = self.processes.get(&pid).and_then(|it| it.parent);
        }
        ancestry
    }
}

impl Process {
    fn seen(process: &sysinfo::Process) -> Option<Self> {
        if process.thread_kind().is_some() {
            return None;
        }
        let number = |pid: sysinfo::Pid| i32::try_from(pid.as_u32()).ok();
        let pid = number(process.pid())?;
        let (group, session) = group_and_session(pid).unwrap_or((0, 0));
        Some(Self {
            pid,
            parent: process.parent().and_then(number),
            group,
            session,
            started: process.start_time(),
            mark: process.environ().iter().find_map(|entry| {
                let (name, value) = entry.to_str()?.split_once('=')?;
                (name == MARK_VARIABLE).then(|| Mark::parse(value))?
            }),
            dead: match process.status() {
                ProcessStatus::Zombie | ProcessStatus::Dead => {
                    !cfg!(target_os = "linux") || has_ended(pid)
                }
                _ => false,
            },
        })
    }
}

/// Tells whether a process has ended, noticed by its parent or not.
#[cfg(target_os = "linux")]
pub(crate) fn has_ended(pid: i32) -> bool {
    Stat::read(pid).is_none_or(|stat| stat.dead)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn has_ended(pid: i32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    Pid::from_raw(pid).is_none_or(|pid| test_kill_process(pid).is_err())
}

/// The system calls cannot say "outside of this container"; the file says 0.
#[cfg(target_os = "linux")]
fn group_and_session(pid: i32) -> Option<(i32, i32)> {
    Stat::read(pid).map(|stat| (stat.group, stat.session))
}

#[cfg(not(target_os = "linux"))]
fn group_and_session(pid: i32) -> Option<(i32, i32)> {
    use rustix::process::{Pid, getpgid, getsid};
    let pid = Pid::from_raw(pid)?;
    let raw = |id: Pid| id.as_raw_nonzero().get();
    Some((raw(getpgid(Some(pid)).ok()?), raw(getsid(Some(pid)).ok()?)))
}

/// What the kernel says about a process in one line.
#[cfg(target_os = "linux")]
struct Stat {
    dead: bool,
    group: i32,
    session: i32,
}

#[cfg(target_os = "linux")]
impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        // The name, in parentheses, may contain anything; then come state, parent, group and session.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let _parent = fields.next()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let threads: i32 = fields.nth(13)?.parse().ok()?;
        Some(Self {
            // While another thread lives, the process does, whatever its first thread is.
            dead: matches!(state, "Z" | "X") && threads <= 1,
            group,
            session,
        })
    }
}
