//! Measurements of Python agents: ours beside the official SDK and robyn, one agent file for the first two and one that does
//! the same for the third.
//!
//! Here is what the groups have in common: who takes part, and how each is started. `turns` compares them.

mod body;
mod memory;
mod ping;
mod requests;
mod start;
mod stream;
mod turns;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::Bench;
use super::report::Report;
use super::server::{Server, free_port};
use crate::python;
use crate::sh::{Cmd, Failed, Result, root, say};

pub(super) use body::measure as body;
pub(super) use memory::measure as memory;
pub(super) use ping::measure as ping;
pub(super) use requests::measure as requests;
pub(super) use start::measure as start;
pub(super) use stream::measure as stream;

/// The largest body that robyn is to take: a tenth of what is sent otherwise.
const ROBYN_BODY: &str = "20000000";

/// Who serves the agent of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    /// `agentcore-host serve`, with so many workers.
    Host { workers: u32 },
    /// `agentcore serve`.
    Cli,
    /// `python agent.py` where our package is found.
    File,
    /// `python agent.py` where the official package is found.
    OfficialSdk,
    /// Robyn, in so many processes.
    Robyn { processes: u32 },
    /// No server: an interpreter that does nothing.
    EmptyPython,
}

impl Who {
    fn is_ours(self) -> bool {
        matches!(self, Self::Host { .. } | Self::Cli | Self::File)
    }

    /// The name of a peer; of ours, what is added to the case.
    fn name(self) -> &'static str {
        match self {
            Self::Host { workers: 1 } => "",
            Self::Host { .. } => ", 2 workers",
            Self::Cli => ", `agentcore serve`",
            Self::File => ", `python agent.py`",
            Self::OfficialSdk => "official SDK",
            Self::Robyn { processes: 1 } => "robyn",
            Self::Robyn { .. } => "robyn, 2 processes",
            Self::EmptyPython => "python -c pass",
        }
    }

    /// Whether this peer is one that `ours` is compared with: the official SDK has one process, robyn is given as many.
    fn is_beside(self, ours: Self) -> bool {
        match (self, ours) {
            (Self::Robyn { processes }, Self::Host { workers }) => processes == workers,
            (peer, ours) => ours.is_ours() && !peer.is_ours(),
        }
    }
}

/// What kind of function the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Handler {
    Sync,
    Async,
    SyncGenerator,
    AsyncGenerator,
}

impl Handler {
    /// The value of `BENCH_HANDLER`.
    fn text(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::SyncGenerator => "sync-generator",
            Self::AsyncGenerator => "async-generator",
        }
    }
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::SyncGenerator => "sync generator",
            Self::AsyncGenerator => "async generator",
        })
    }
}

/// The programs and interpreters that serve the agent.
struct Place<'a> {
    bench: &'a Bench,
    /// The interpreter of ours: it has no packages.
    python: PathBuf,
    /// The interpreter that has the official SDK.
    sdk: PathBuf,
    /// The interpreter that has robyn, or why there is none.
    robyn: std::result::Result<PathBuf, String>,
    /// Where our programs unpack their Python package.
    cache: TempDir,
}

impl<'a> Place<'a> {
    fn new(bench: &'a Bench) -> Result<Self> {
        let place = Self {
            bench,
            python: python::alone()?,
            sdk: python::with_peers()?,
            robyn: python::with_robyn().map_err(|Failed(reason)| reason),
            cache: tempfile::tempdir()?,
        };
        // Unpacked and compiled by this one, as for everyone who starts an agent a second time.
        place.start(Who::Host { workers: 1 }, Handler::Sync)?;
        Ok(place)
    }

    /// Those of `who` that can take part; the others are noted as not measured.
    fn there(&self, who: &[Who], report: &mut Report) -> Vec<Who> {
        let is_robyn = |who: &Who| matches!(who, Who::Robyn { .. });
        let Err(reason) = &self.robyn else {
            return who.to_vec();
        };
        if who.iter().any(is_robyn) {
            say(&format!("Not measured: robyn: {reason}"));
            report.missed(format!("robyn: {reason}"));
        }
        who.iter().copied().filter(|it| !is_robyn(it)).collect()
    }

    fn start(&self, who: Who, handler: Handler) -> Result<Server> {
        self.start_timed(who, handler).map(|(server, _)| server)
    }

    /// Returns also how long it took from the start of the program to the first healthy `/ping`.
    fn start_timed(&self, who: Who, handler: Handler) -> Result<(Server, Duration)> {
        let port = free_port()?;
        let (server, took) = Server::start_at(port, self.command(who, handler, port)?)?;
        let server = match who {
            Who::Robyn { .. } => server.killed(),
            _ => server,
        };
        Ok((server, took))
    }

    /// The command that serves the agent on `port`.
    fn command(&self, who: Who, handler: Handler, port: u16) -> Result<Cmd> {
        let port = port.to_string();
        let command = match who {
            Who::Host { workers } => self
                .serve("agentcore-host", &port)?
                .args(["--workers", &workers.to_string()]),
            Who::Cli => self.serve("agentcore", &port)?,
            Who::File => Cmd::new(&self.python)
                .args([agent()])
                .env("PYTHONPATH", self.package()?)
                .env("AGENTCORE_HOST_BIN", self.bench.program("agentcore-host")?),
            Who::OfficialSdk => Cmd::new(&self.sdk).args([agent()]),
            Who::Robyn { processes } => {
                let python = self.robyn.as_ref();
                let python = python.map_err(|reason| Failed(reason.clone()))?;
                Cmd::new(python)
                    .args([root().join("benches/peers/robyn/agent.py")])
                    .args(["--log-level", "WARN", "--processes", &processes.to_string()])
                    .env("ROBYN_MAX_PAYLOAD_SIZE", ROBYN_BODY)
            }
            Who::EmptyPython => Cmd::new(&self.python).args(["-c", "pass"]),
        };
        Ok(command
            .env("BENCH_HANDLER", handler.text())
            .env("BENCH_PORT", port))
    }

    fn serve(&self, program: &str, port: &str) -> Result<Cmd> {
        Ok(Cmd::new(self.bench.program(program)?)
            .args(["serve"])
            .args([agent()])
            .args(["--engine", "native", "--port", port, "--python"])
            .args([&self.python])
            .env("XDG_CACHE_HOME", self.cache.path()))
    }

    /// The folder of our Python package, which a program of ours has unpacked.
    fn package(&self) -> Result<PathBuf> {
        for entry in fs::read_dir(self.cache.path().join("agentcore"))? {
            let folder = entry?.path().join("lib");
            if folder.join("bedrock_agentcore").is_dir() {
                return Ok(folder);
            }
        }
        Err(Failed("no Python package of ours was unpacked".to_owned()))
    }
}

fn agent() -> PathBuf {
    root().join("benches/agents/python/agent.py")
}

/// Servers that are started when they are needed first, and end with the group.
struct Kept<'a> {
    place: &'a Place<'a>,
    servers: HashMap<(Who, Handler), Server>,
}

impl<'a> Kept<'a> {
    fn new(place: &'a Place<'a>) -> Self {
        Self {
            place,
            servers: HashMap::new(),
        }
    }

    fn server(&mut self, who: Who, handler: Handler) -> Result<&Server> {
        match self.servers.entry((who, handler)) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(vacant) => Ok(vacant.insert(self.place.start(who, handler)?)),
        }
    }
}
