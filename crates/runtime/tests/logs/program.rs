//! A test program in two roles: the test, and the agent that it starts in a process of its own and listens to.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};

use agentcore_runtime::RunError;
use pty_process::blocking;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{TOKEN, TRACEPARENT};
use crate::support::expect;

/// The variable that says which agent this process is.
const ROLE: &str = "AGENT_OF_THE_LOG_TESTS";

/// Runs `test`, or, in a process that a test started, the agent that `act` makes of its role.
#[expect(
    clippy::disallowed_methods,
    reason = "how a test tells its own program what to be"
)]
pub(super) fn in_two_roles<A>(act: impl FnOnce(String) -> A, test: impl Future<Output = ()>)
where
    A: Future<Output = Result<(), RunError>>,
{
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match std::env::var(ROLE) {
        Ok(role) => runtime.block_on(act(role)).unwrap(),
        Err(_) => runtime.block_on(test),
    }
}

/// An agent in a process of its own.
pub(super) struct Program {
    child: std::process::Child,
    lines: UnboundedReceiver<String>,
    seen: Vec<String>,
    address: String,
}

impl Program {
    /// Starts the agent `role`, with stderr as a pipe; `test` is the name of the test that calls this.
    pub(super) async fn start(test: &str, role: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        for name in CLEARED {
            command.env_remove(name);
        }
        let mut child = command
            .args(arguments(test))
            .envs(own_variables(role))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        Self::listening(child, stderr).await
    }

    /// The same, with a terminal as stderr.
    pub(super) async fn start_on_terminal(
        test: &str,
        role: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let (pty, pts) = blocking::open().unwrap();
        pty.resize(pty_process::Size::new(50, 1000)).unwrap();
        let mut command = blocking::Command::new(std::env::current_exe().unwrap());
        for name in CLEARED {
            command = command.env_remove(name);
        }
        let child = command
            .args(arguments(test))
            .envs(own_variables(role))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn(pts)
            .unwrap();
        Self::listening(child, pty).await
    }

    async fn listening(child: std::process::Child, stderr: impl Read + Send + 'static) -> Self {
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            // A terminal whose last user is gone ends in an error.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line.trim_end_matches('\r').to_owned());
            }
        });
        let mut program = Self {
            child,
            lines,
            seen: Vec::new(),
            address: String::new(),
        };
        while program.address.is_empty() {
            let line = expect("a line", program.lines.recv()).await;
            let line = line.unwrap_or_else(|| panic!("it ended after {:?}", program.seen));
            if let Some((_, rest)) = line.split_once("Listening on ") {
                let is_address = |letter: char| letter.is_ascii_digit() || ".:".contains(letter);
                rest.chars()
                    .take_while(|&it| is_address(it))
                    .for_each(|it| program.address.push(it));
            }
            program.seen.push(line);
        }
        program
    }

    /// Invokes the agent, with every id and a token, and returns status and body.
    pub(super) async fn invoke(&self, payload: &str) -> (u16, String) {
        let call = reqwest::Client::new()
            .post(format!("http://{}/invocations", self.address))
            .header("x-amzn-bedrock-agentcore-runtime-request-id", "r-1")
            .header("x-amzn-bedrock-agentcore-runtime-session-id", "s-1")
            .header("traceparent", TRACEPARENT)
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(payload.to_owned());
        let answer = expect("an answer", call.send()).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Ends the agent in order, and returns every line that it wrote.
    pub(super) async fn end(mut self) -> Vec<String> {
        let terminate = format!("kill -TERM {}", self.child.id());
        let told = Command::new("sh")
            .args(["-c", &terminate])
            .status()
            .unwrap();
        assert!(told.success());
        let mut lines = std::mem::take(&mut self.seen);
        while let Some(line) = expect("the last line", self.lines.recv()).await {
            lines.push(line);
        }
        let status: ExitStatus = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {lines:?}");
        lines
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It has ended, unless the test failed.
        let _ = self.child.wait();
    }
}

/// Variables of the shell around the tests that would change what is tested.
const CLEARED: [&str; 6] = [
    "RUST_LOG",
    "RUST_BACKTRACE",
    "AGENTCORE_LOG",
    "NO_COLOR",
    "TERM",
    "DOCKER_CONTAINER",
];

fn arguments(test: &str) -> [&str; 3] {
    ["--exact", test, "--nocapture"]
}

fn own_variables(role: &str) -> [(&str, &str); 2] {
    [(ROLE, role), ("AGENTCORE_LISTEN", "127.0.0.1:0")]
}
