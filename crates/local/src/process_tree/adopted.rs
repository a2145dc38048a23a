//! Children that the front door did not start: on Linux it takes in every descendant that loses its parent.
//!
//! Without this a daemon that a sandbox leaves behind would belong to process 1 and be lost; with it the front door must
//! also collect its dead children, and must not collect those that tokio waits for. Elsewhere nothing is adopted.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::signal::unix::{SignalKind, signal};

use super::snapshot::Snapshot;

/// The main processes of sandboxes, started by us and waited for by tokio.
static MAIN_PROCESSES: Mutex<Option<HashSet<i32>>> = Mutex::new(None);

/// Makes this process the parent of descendants that lose theirs.
pub(crate) fn adopt_descendants() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Starts a sandbox's main process and notes that it is not adopted.
///
/// `spawn` returns the process and its id.
pub(crate) fn start_main_process<T>(
    spawn: impl FnOnce() -> io::Result<(T, u32)>,
) -> io::Result<(T, u32)> {
    // The lock is held while it starts: a process that ends at once must not be taken for an adopted one.
    let mut processes = main_processes();
    let (process, pid) = spawn()?;
    processes
        .get_or_insert_default()
        .insert(i32::try_from(pid).unwrap_or(i32::MAX));
    Ok((process, pid))
}

/// Forgets a main process that was waited for, and tells whether it was the last of this program.
pub(crate) fn forget_main_process(pid: u32) -> bool {
    let mut processes = main_processes();
    let processes = processes.get_or_insert_default();
    processes.remove(&i32::try_from(pid).unwrap_or(i32::MAX));
    processes.is_empty()
}

pub(crate) fn is_main_process(pid: i32) -> bool {
    contains(&main_processes(), pid)
}

/// Collects process `pid` if it is dead and adopted.
pub(crate) fn reap(pid: i32) {
    if cfg!(target_os = "linux") {
        reap_unless_main(&main_processes(), pid);
    }
}

/// Collects dead adopted processes for as long as it is polled.
pub(crate) async fn reap_for_ever() -> io::Result<()> {
    /// Whoever else in this program waits for a child of its own has this long to do so.
    const DELAY: Duration = Duration::from_secs(1);
    let mut ended = signal(SignalKind::child())?;
    while ended.recv().await.is_some() {
        tokio::time::sleep(DELAY).await;
        if cfg!(target_os = "linux") {
            let _ = tokio::task::spawn_blocking(reap_all).await;
        }
    }
    Ok(())
}

fn reap_all() {
    let processes = main_processes();
    let Ok(snapshot) = Snapshot::fresh() else {
        return;
    };
    for process in snapshot.processes() {
        // Children that other code of this program started stay in its group.
        let adopted =
            process.parent == Some(snapshot.own_pid()) && process.group != snapshot.own_group();
        if adopted && process.dead {
            reap_unless_main(&processes, process.pid);
        }
    }
}

fn reap_unless_main(main_processes: &MutexGuard<'_, Option<HashSet<i32>>>, pid: i32) {
    if let Some(handle) = Pid::from_raw(pid).filter(|_| !contains(main_processes, pid)) {
        // Fails for a process that is no child of ours: then somebody else collects it.
        let _ = waitpid(Some(handle), WaitOptions::NOHANG);
    }
}

fn contains(main_processes: &MutexGuard<'_, Option<HashSet<i32>>>, pid: i32) -> bool {
    main_processes
        .as_ref()
        .is_some_and(|processes| processes.contains(&pid))
}

fn main_processes() -> MutexGuard<'static, Option<HashSet<i32>>> {
    MAIN_PROCESSES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}
