//! Why a sandbox ended, why one did not start, and why a front door did not.
//!
//! These types carry what is known; which status or exit class follows is decided where they are answered.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use agentcore_docker::EngineError;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

/// Why a sandbox ended, as people read it: `exit status 1`, `signal 9 (SIGKILL)`, `idle for 15 minutes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndCause {
    /// Its main process could not be started.
    NotStarted {
        /// What the system said.
        error: String,
    },
    /// Its main process ended with a status.
    Exited {
        /// The status.
        status: i32,
    },
    /// Its main process was ended by a signal that the front door did not send.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It answered no healthy ping within the start limit.
    StartTimedOut {
        /// The limit in seconds.
        seconds: u64,
    },
    /// It had nothing to do for too long.
    Idle {
        /// The limit in seconds.
        seconds: u64,
    },
    /// It reached the longest life that a session may have.
    MaxLifetime {
        /// The limit in seconds.
        seconds: u64,
    },
    /// It needed more memory than it may use, and the system killed it.
    OutOfMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// It listens where nothing outside its container reaches it, so it can never answer.
    Unreachable {
        /// The address that it listens on.
        address: SocketAddr,
    },
    /// Somebody else removed its container.
    Removed,
    /// The container engine went away, and with it the sandbox.
    EngineGone {
        /// What the engine calls itself: `Docker`.
        engine: String,
    },
    /// The container engine does not answer, so no container can be started.
    EngineAway {
        /// What the engine calls itself.
        engine: String,
        /// What it was asked, and what came of it.
        error: String,
    },
    /// It waited for a session and did not answer pings any more.
    Unresponsive,
    /// Its session was stopped on request.
    Stopped,
    /// Its front door ended.
    FrontDoorEnded,
}

impl From<ExitStatus> for EndCause {
    fn from(status: ExitStatus) -> Self {
        match status.code() {
            Some(status) => Self::Exited { status },
            None => Self::Signalled {
                signal: status.signal().unwrap_or_default(),
            },
        }
    }
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { error } => f.write_str(error),
            Self::Exited { status } => write!(f, "exit status {status}"),
            Self::Signalled { signal } => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
            Self::StartTimedOut { seconds } => {
                let limit = Spoken(*seconds);
                write!(f, "no healthy answer to `/ping` within {limit}")
            }
            Self::Idle { seconds } => write!(f, "idle for {}", Spoken(*seconds)),
            Self::MaxLifetime { seconds } => {
                write!(f, "its longest lifetime of {} is over", Spoken(*seconds))
            }
            Self::OutOfMemory { limit } => {
                write!(f, "out of memory: it may use {}", Memory(*limit))
            }
            Self::Unreachable { address } => {
                write!(
                    f,
                    "it listens on {address}, where nothing outside its container reaches it"
                )
            }
            Self::Removed => f.write_str("its container was removed by somebody else"),
            Self::EngineGone { engine } => write!(f, "the {engine} engine went away"),
            Self::EngineAway { engine, error } => {
                write!(f, "the {engine} engine does not answer: {error}")
            }
            Self::Unresponsive => f.write_str("it did not answer pings any more"),
            Self::Stopped => f.write_str("its session was stopped"),
            Self::FrontDoorEnded => f.write_str("the front door ended"),
        }
    }
}

/// A number of seconds in the largest unit that divides it.
struct Spoken(u64);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0 {
            seconds if seconds > 0 && seconds % 3600 == 0 => (seconds / 3600, "hour"),
            seconds if seconds > 0 && seconds % 60 == 0 => (seconds / 60, "minute"),
            seconds => (seconds, "second"),
        };
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} {unit}{plural}")
    }
}

/// A number of bytes in the largest unit that divides it.
pub(crate) struct Memory(pub(crate) u64);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        match self.0 {
            bytes if bytes > 0 && bytes % GIB == 0 => write!(f, "{} GB", bytes / GIB),
            bytes if bytes >= MIB => write!(f, "{} MB", bytes / MIB),
            bytes => write!(f, "{} kB", bytes / KIB),
        }
    }
}

/// The signals that end processes in practice.
fn signal_name(number: i32) -> Option<&'static str> {
    let known = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    known
        .into_iter()
        .find_map(|(signal, name)| (signal.as_raw() == number).then_some(name))
}

/// Why a sandbox could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct SandboxFailure {
    /// How it ended.
    pub cause: EndCause,
    /// The last line of the agent's traceback, or else its last line on standard error.
    pub reason: Option<String>,
    /// The agent's last lines, oldest first.
    pub log_tail: Vec<String>,
    /// What to do about it, for causes that are known.
    pub hint: Option<String>,
    /// How its container ended, if it was one and ended by itself.
    pub container: Option<ContainerEnd>,
}

/// What an engine says of a container that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerEnd {
    /// What its main process ended with.
    pub exit_code: i64,
    /// Whether a process in it was killed because the memory was used up: Docker's `OOMKilled`.
    pub oom_killed: bool,
}

impl SandboxFailure {
    /// A sandbox that ended for `cause` before anything is known of it.
    pub(crate) fn of_cause(cause: EndCause) -> Self {
        Self {
            cause,
            reason: None,
            log_tail: Vec::new(),
            hint: None,
            container: None,
        }
    }

    /// Returns reason and cause in one clause.
    fn sentence(&self) -> String {
        match &self.reason {
            Some(reason) => format!("the sandbox could not start: {reason} ({})", self.cause),
            None => format!("the sandbox could not start: {}", self.cause),
        }
    }
}

/// Why a front door could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The folder for sockets and homes cannot be used.
    #[error("cannot use `{}` as the folder for sandboxes", path.display())]
    RunDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A Unix socket below the folder would have a path that the system does not take.
    #[error("the path `{}` is too long for the sockets of sandboxes", path.display())]
    RunDirTooLong {
        /// The folder.
        path: PathBuf,
    },
    /// Processes of an earlier front door cannot be looked for, or orphans cannot be adopted.
    #[error("cannot look for processes that were left behind")]
    Orphans(#[source] io::Error),
    /// The instance id cannot be a header's value, or has a `/`.
    #[error("`{instance}` cannot be the id of a front door")]
    Instance {
        /// The id.
        instance: String,
    },
    /// The listener has no address.
    #[error("the front door cannot listen")]
    Listen(#[source] io::Error),
    /// The container engine cannot be used.
    #[error("the container engine cannot be used")]
    Engine(#[from] EngineError),
    /// The first sandbox did not become healthy.
    #[error(transparent)]
    Sandbox(Box<SandboxFailure>),
}

impl EndCause {
    /// Whether the container engine is at fault, not the agent.
    pub fn is_engine(&self) -> bool {
        matches!(self, Self::EngineGone { .. } | Self::EngineAway { .. })
    }

    pub(crate) fn idle(limit: Duration) -> Self {
        Self::Idle {
            seconds: limit.as_secs(),
        }
    }

    pub(crate) fn max_lifetime(limit: Duration) -> Self {
        Self::MaxLifetime {
            seconds: limit.as_secs(),
        }
    }

    pub(crate) fn start_timed_out(limit: Duration) -> Self {
        Self::StartTimedOut {
            seconds: limit.as_secs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_read_as_people_say_them() {
        let cases = [
            (EndCause::Exited { status: 1 }, "exit status 1"),
            (EndCause::Signalled { signal: 9 }, "signal 9 (SIGKILL)"),
            (EndCause::Signalled { signal: 63 }, "signal 63"),
            (EndCause::Idle { seconds: 900 }, "idle for 15 minutes"),
            (EndCause::Idle { seconds: 1 }, "idle for 1 second"),
            (
                EndCause::MaxLifetime { seconds: 28_800 },
                "its longest lifetime of 8 hours is over",
            ),
            (
                EndCause::OutOfMemory { limit: 64 << 20 },
                "out of memory: it may use 64 MB",
            ),
            (
                EndCause::OutOfMemory { limit: 8 << 30 },
                "out of memory: it may use 8 GB",
            ),
        ];
        for (cause, text) in cases {
            assert_eq!(cause.to_string(), text);
        }
    }

    #[test]
    fn exit_statuses_are_told_from_signals() {
        assert_eq!(
            EndCause::from(ExitStatus::from_raw(3 << 8)),
            EndCause::Exited { status: 3 }
        );
        assert_eq!(
            EndCause::from(ExitStatus::from_raw(11)),
            EndCause::Signalled { signal: 11 }
        );
    }
}
