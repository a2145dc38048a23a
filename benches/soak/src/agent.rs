//! The agent under the soak: a process that is started, looked at from outside, asked for its own report, and ended.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::client::Client;

/// How long the agent may take to its first answer, and to its end beyond the drain.
const START: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_mins(1);

/// How much of its log is kept to be shown if something goes wrong.
const LINES: usize = 30;

/// The running agent; killed if it is dropped.
pub(crate) struct Agent {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holds {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    /// Resident memory in kibibytes.
    pub(crate) memory: u64,
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            threads,
            descriptors,
            memory,
        } = self;
        let mebibytes = memory / 1024;
        write!(
            f,
            "{threads} threads, {descriptors} descriptors, {mebibytes} MiB resident"
        )
    }
}

impl Agent {
    /// Starts the program on a port that is free, and waits until it answers.
    pub(crate) async fn start(program: &Path) -> Result<Self, Failure> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut child = Command::new(program)
            .env("AGENTCORE_LISTEN", address.to_string())
            // Many panics come: their traces would be most of the work.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    if log.len() == LINES {
                        log.pop_front();
                    }
                    log.push_back(line);
                }
            });
        }
        let mut agent = Self {
            child,
            address,
            log,
        };
        agent.wait_until_it_answers().await?;
        Ok(agent)
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        while started.elapsed() < START {
            if self.report().await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the agent ended at once ({status})").into());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err("the agent does not answer".into())
    }

    /// What the agent says is open.
    pub(crate) async fn report(&self) -> Result<Value, Failure> {
        let asked = async {
            let mut client = Client::open(self.address).await?;
            let request = format!(
                "GET /soak/report HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                self.address
            );
            client.send(request.as_bytes()).await?;
            let head = client.head().await?;
            let body = client.body(&head).await?;
            Ok::<Value, Failure>(serde_json::from_slice(&body)?)
        };
        timeout(START, asked).await?
    }

    /// What the process holds now.
    pub(crate) fn holds(&self) -> Result<Holds, Failure> {
        let process = format!("/proc/{}", self.child.id().ok_or("the agent has ended")?);
        let count = |what| fs::read_dir(format!("{process}/{what}")).map(Iterator::count);
        let status = fs::read_to_string(format!("{process}/status"))?;
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())
            .ok_or("the process has no resident memory")?;
        Ok(Holds {
            threads: count("task")?,
            descriptors: count("fd")?,
            memory: memory.parse()?,
        })
    }

    /// Asks the agent to end, and returns how it did and how long that took.
    pub(crate) async fn end(&mut self) -> Result<(ExitStatus, Duration), Failure> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).ok_or("the agent has ended")?;
        let asked = Instant::now();
        kill_process(pid, Signal::TERM)?;
        let status = timeout(END, self.child.wait()).await;
        let status = status.map_err(|_| format!("the agent had not ended after {END:?}"))?;
        Ok((status?, asked.elapsed()))
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}
