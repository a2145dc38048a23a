//! The worker as a process: its command, its start in a process group of its own, and its end with all its children.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid,
};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Tells a worker where the server listens for it.
const SOCKET: &str = "AGENTCORE_WORKER_SOCKET";
/// Tells a worker what it has to show there.
const TOKEN: &str = "AGENTCORE_WORKER_TOKEN";
/// Tells a server its address; it is not meant for what the server starts.
const LISTEN: &str = "AGENTCORE_LISTEN";

/// How much likelier the system ends a worker for its memory than anybody else, in thousandths of all memory.
const EXPENDABLE: &str = "500";

/// How long the children of a worker have between TERM and KILL.
const CHILDREN: Duration = Duration::from_secs(1);

/// How a worker is started. In which language it is written does not matter.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// All of its environment; `None` is that of this process. What the worker protocol needs is added.
    pub environment: Option<Vec<(OsString, OsString)>>,
}

impl WorkerCommand {
    /// Starts the worker. What it prints goes where this process prints; it reads nothing.
    pub(crate) fn spawn(&self, socket: &Path, token: &str) -> io::Result<(Child, Group)> {
        let mut command = self.to_command();
        command
            .env_remove(LISTEN)
            .env(SOCKET, socket)
            .env(TOKEN, token);
        let (child, group) = spawn_in_group(&mut command)?;
        group.be_the_first_to_go();
        Ok((child, group))
    }

    /// The command without the worker protocol.
    pub(crate) fn to_command(&self) -> Command {
        let Self {
            program,
            args,
            environment,
        } = self;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        if let Some(environment) = environment {
            command
                .env_clear()
                .envs(environment.iter().map(|(name, value)| (name, value)));
        }
        command
    }
}

/// Starts a process as the leader of a group, so that a signal reaches its children too and a Ctrl-C in the terminal
/// reaches this process only.
pub(crate) fn spawn_in_group(command: &mut Command) -> io::Result<(Child, Group)> {
    let child = command.process_group(0).kill_on_drop(true).spawn()?;
    let id = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let leader = id.ok_or_else(|| io::Error::other("the process ended while it started"))?;
    Ok((child, Group { leader }))
}

/// A process group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    leader: Pid,
}

impl Group {
    /// Has the system end this process, or one that it starts, when memory runs out: the server, which is small and needed
    /// to tell of it, is left.
    fn be_the_first_to_go(self) {
        if cfg!(target_os = "linux") {
            let file = format!("/proc/{}/oom_score_adj", self.leader.as_raw_nonzero());
            // Not where `/proc` is not to be written, which is where the system chooses as it likes.
            let _ = fs::write(file, EXPENDABLE);
        }
    }

    /// Sends a signal to everyone in the group.
    pub(crate) fn signal(self, signal: Signal) {
        // Fails if nobody is left, which is what was wanted.
        let _ = kill_process_group(self.leader, signal);
    }

    /// Ends what is left of the group after its leader has ended: TERM, then KILL.
    pub(crate) async fn end(self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + CHILDREN;
        while self.is_there() {
            if Instant::now() >= deadline {
                self.signal(Signal::KILL);
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Returns whether somebody is left. The leader has been waited for.
    fn is_there(self) -> bool {
        // Orphans become children of the first process of a container, which may be this one: nobody else would end
        // them for good. Anywhere else there is nobody to wait for, and this fails.
        while let Ok(Some(_)) = waitpgid(self.leader, WaitOptions::NOHANG) {}
        test_kill_process_group(self.leader).is_ok()
    }
}
