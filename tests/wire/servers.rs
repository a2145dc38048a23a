//! Servers under test: one for each agent that a table names, and gone when its rows have run.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::agent;
use super::exchange::{Connection, Place};
use super::request::{Length, head};
use crate::support::{Home, workspace};

/// How long a server may take to become healthy, and to end.
const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);

/// Starts servers of one kind.
pub(super) trait Servers {
    /// A server that runs until it is dropped.
    type Running;

    /// Starts one around the agent of that name and waits until it is healthy.
    fn start(&self, app: &str) -> Result<Self::Running, String>;

    /// Where it listens.
    fn place(&self, running: &Self::Running) -> Place;
}

/// Rust agents, within this process.
pub(super) struct RustAgents;

/// A runtime with a server on it; what still runs there ends with it.
pub(super) struct Serving {
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
}

impl Servers for RustAgents {
    type Running = Serving;

    fn start(&self, app: &str) -> Result<Serving, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(agent::serve(app, listener)?);
            Ok::<_, String>(address)
        })?;
        Ok(Serving {
            runtime: Some(runtime),
            address,
        })
    }

    fn place(&self, running: &Serving) -> Place {
        Place::Tcp(running.address)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The Python agent, run by an interpreter that has the official SDK.
pub(super) struct PythonAgents {
    pub(super) python: PathBuf,
    pub(super) engine: PythonEngine,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum PythonEngine {
    Native,
    Sdk,
}

/// A server in a process of its own.
pub(super) struct Process {
    child: Child,
    home: Home,
}

impl PythonAgents {
    fn command(&self, home: &Home) -> Command {
        let file = workspace().join("tests/wire/agent.py");
        let socket = Process::socket_in(home);
        let mut command = home.command(&[]);
        match self.engine {
            PythonEngine::Native => {
                command.args(["serve", "--engine", "native", "--python"]);
                command.arg(&self.python).arg(&file);
                command.env("AGENTCORE_LISTEN", format!("unix:{}", socket.display()));
            }
            PythonEngine::Sdk => {
                // The same surroundings, but another program in them.
                let surroundings: Vec<_> = command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
                    .collect();
                command = Command::new(&self.python);
                command
                    .arg(&file)
                    .env_clear()
                    .envs(surroundings)
                    .current_dir(home.project())
                    .env("WIRE_SOCKET", socket);
            }
        }
        command
    }
}

impl Servers for PythonAgents {
    type Running = Process;

    fn start(&self, app: &str) -> Result<Process, String> {
        let home = Home::new().env("PYTHONDONTWRITEBYTECODE", "1");
        let mut command = self.command(&home);
        command.env("WIRE_APP", app);
        start(home, command)
    }

    fn place(&self, running: &Process) -> Place {
        Place::Unix(running.socket())
    }
}

/// Starts a server that listens on the socket of its home, and waits until it is healthy.
pub(super) fn start(home: Home, mut command: Command) -> Result<Process, String> {
    let errors = File::create(home.project().join("stderr")).unwrap();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut process = Process { child, home };
    let deadline = Instant::now() + LIMIT;
    while !is_healthy(&process.socket()) {
        let ended = process
            .child
            .try_wait()
            .map_err(|error| error.to_string())?;
        if ended.is_some() || Instant::now() > deadline {
            let said = process.home.read("stderr");
            return Err(format!("{ended:?} after {LIMIT:?} at most: {said}"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(process)
}

impl Process {
    pub(super) fn socket(&self) -> PathBuf {
        Self::socket_in(&self.home)
    }

    /// Where a server in this home has to listen.
    pub(super) fn socket_in(home: &Home) -> PathBuf {
        home.project().join("socket")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first, so that a server takes its worker along; a stream that nobody reads any more may hold it up.
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_healthy(socket: &Path) -> bool {
    let ping = head("GET /ping", &[], Length::Nobody, false);
    let asked = Connection::open(&Place::Unix(socket.to_owned())).and_then(|mut connection| {
        connection.send(&ping)?;
        connection.head("GET")
    });
    asked.is_ok_and(|answer| answer.status == 200)
}
