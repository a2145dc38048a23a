//! Servers under measurement: started on a port of their own, waited for, and ended with the measurement.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::sh::{Cmd, Failed, Result};

/// How long a server may take to its first answer: the official SDK needs over half a second on a quiet machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Between two looks whether it answers: short beside the start of the fastest one.
const START_PAUSE: Duration = Duration::from_micros(200);

/// How long a server may take to end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
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
        let command = make(port);
        let shown = command.shown().to_owned();
        let started = Instant::now();
        let child = spawn(command.into_command())?;
        let mut server = Self { child, port };
        server
            .wait_until_healthy()
            .map_err(|Failed(reason)| Failed(format!("`{shown}` {reason}")))?;
        Ok((server, started.elapsed()))
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
        let file = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&file)
            .map_err(|error| Failed(format!("{file}: {error}; memory is read on Linux only")))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())
            .and_then(|number| number.parse::<f64>().ok())
            .ok_or_else(|| Failed(format!("{file} tells no resident memory")))?;
        Ok(kibibytes * 1024.0 / 1e6)
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
            std::thread::sleep(START_PAUSE);
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
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
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
fn spawn(mut command: Command) -> Result<Child> {
    Ok(command
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
