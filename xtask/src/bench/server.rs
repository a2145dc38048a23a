//! Servers under measurement: started on a port of their own, waited for, and ended with the measurement.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::processes::{Memory, family, resident};
use crate::sh::{Cmd, Failed, Result};

/// How long a server may take to its first answer: the official SDK needs over half a second on a quiet machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Between two looks whether it answers: short beside the start of the fastest one, and never more than a hundredth of the
/// time that has gone by, so that looking is not the load.
const START_PAUSE: Duration = Duration::from_micros(200);
const START_PAUSES: u32 = 100;

/// How long a server may take to end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
    is_patient: bool,
}

impl Server {
    /// Starts the command that `make` gives for a free port, and waits for its first healthy `/ping`.
    pub(crate) fn start(make: impl FnOnce(u16) -> Cmd) -> Result<Self> {
        Self::start_timed(make).map(|(server, _)| server)
    }

    /// The same for a program that is told its address as Rust agents are.
    pub(crate) fn listening(program: &Path, args: &[&str]) -> Result<Self> {
        Self::listening_timed(program, args).map(|(server, _)| server)
    }

    /// The same, and how long it took from the start of the program.
    pub(crate) fn listening_timed(program: &Path, args: &[&str]) -> Result<(Self, Duration)> {
        Self::start_timed(|port| {
            let address = format!("127.0.0.1:{port}");
            Cmd::new(program)
                .args(args)
                .env("AGENTCORE_LISTEN", address)
        })
    }

    fn start_timed(make: impl FnOnce(u16) -> Cmd) -> Result<(Self, Duration)> {
        let port = free_port()?;
        Self::start_at(port, make(port))
    }

    /// Starts a command that serves on `port`; returns also how long it took to its first healthy `/ping`.
    pub(crate) fn start_at(port: u16, command: Cmd) -> Result<(Self, Duration)> {
        let shown = command.shown().to_owned();
        let started = Instant::now();
        let child = spawn(command.into_command())?;
        let mut server = Self {
            child,
            port,
            is_patient: true,
        };
        server
            .wait_until_healthy()
            .map_err(|Failed(reason)| Failed(format!("`{shown}` {reason}")))?;
        Ok((server, started.elapsed()))
    }

    /// Kills it in the end, with its children, instead of asking: robyn waits half a minute for its connections.
    pub(crate) fn killed(mut self) -> Self {
        self.is_patient = false;
        self
    }

    /// Where it answers invocations.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/invocations", self.port)
    }

    /// What it answers to a GET of `path`.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let answer = get(self.port, path)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(Failed(format!("GET {path} was answered {answer:?}"))),
        }
    }

    /// Its resident memory, in megabytes of 1,000,000 bytes.
    pub(crate) fn resident_memory(&self) -> Result<f64> {
        resident(self.child.id())
    }

    /// The memory of all its processes.
    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of_family(self.child.id())
    }

    fn wait_until_healthy(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Err(Failed(format!("ended ({status})")));
            }
            if is_healthy(self.port) {
                return Ok(());
            }
            std::thread::sleep(START_PAUSE.max(started.elapsed() / START_PAUSES));
        }
        Err(Failed(format!(
            "was not healthy after {} s",
            START_LIMIT.as_secs()
        )))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An end that fails leaves a process that has ended already; there is nobody to tell.
        if !self.is_patient {
            for pid in family(self.child.id()).unwrap_or_default() {
                send(pid, Signal::KILL);
            }
            let _ = self.child.wait();
            return;
        }
        send(self.child.id(), Signal::TERM);
        let started = Instant::now();
        while started.elapsed() < STOP_LIMIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The official SDK serving the agent at `file` with its own `run()`, on `port`.
pub(crate) fn official_sdk(python: &Path, file: &Path, port: u16) -> Cmd {
    let script = "import importlib.util, sys\n\
                  spec = importlib.util.spec_from_file_location('agent', sys.argv[1])\n\
                  agent = importlib.util.module_from_spec(spec)\n\
                  spec.loader.exec_module(agent)\n\
                  agent.app.run(port=int(sys.argv[2]), host='127.0.0.1')";
    Cmd::new(python)
        .args(["-c", script])
        .args([file])
        .args([port.to_string()])
        .shown_as("the official SDK")
}

/// Starts a server whose log nobody keeps: at this rate it would fill a disk.
///
/// A Python among them may keep what it compiles, as a user's does.
fn spawn(mut command: Command) -> Result<Child> {
    Ok(command
        .env_remove("PYTHONDONTWRITEBYTECODE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?)
}

/// Whether `/ping` answers 200. A server that does not listen yet is not an error.
fn is_healthy(port: u16) -> bool {
    get(port, "/ping").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The whole answer to a GET of `path`.
fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
