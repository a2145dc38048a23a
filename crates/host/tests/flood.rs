//! Agents that print more than anybody reads: the server answers whatever becomes of their output.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{eventually, free_port, real_path};

const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

const PLAIN: &str = r#"
import os, sys
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
def invoke(payload):
    for number in range(payload.get("lines", 0)):
        print("line", number, "x" * 80)
        if "both" in payload:
            print("line", number, "x" * 80, file=sys.stderr)
    return os.getpid()
"#;

/// A server of which each stream is a pipe.
struct Piped {
    child: Child,
    _home: TempDir,
    url: String,
    client: reqwest::Client,
}

impl Piped {
    async fn start(code: &str, args: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("agent.py"), code).unwrap();
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_agentcore-host"))
            .args(["serve", "agent.py", "--engine", "native"])
            .args(["--port", &port.to_string()])
            .args(args)
            .current_dir(home.path())
            .env_clear()
            .env("PATH", real_path())
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let piped = Self {
            child,
            _home: home,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
        };
        eventually(async || piped.ping().await).await;
        piped
    }

    /// Whether a ping is answered, and soon.
    async fn ping(&self) -> bool {
        let ping = self.client.get(format!("{}/ping", self.url));
        let answer = ping.timeout(Duration::from_secs(10)).send().await;
        answer.is_ok_and(|it| it.status() == 200)
    }

    fn call(
        &self,
        session: &str,
        payload: &Value,
    ) -> impl Future<Output = (u16, Value)> + Send + use<> {
        let request = self.client.post(format!("{}/invocations", self.url));
        let request = request.header(SESSION, session).body(payload.to_string());
        async {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let body = response.text().await.unwrap();
            (status, serde_json::from_str(&body).unwrap())
        }
    }

    fn streams(&mut self) -> (ChildStdout, ChildStderr) {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        (stdout.unwrap(), stderr.unwrap())
    }

    /// Ends it in order.
    async fn end(mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn while_an_agent_floods_everybody_else_is_answered() {
    const LINES: usize = 300_000;
    let mut piped = Piped::start(PLAIN, &[]).await;
    let (stdout, stderr) = piped.streams();
    let read = std::thread::spawn(|| {
        let lines = BufReader::new(stdout).lines().map(Result::unwrap);
        lines.enumerate().fold(0, |_, (number, line)| {
            assert_eq!(line, format!("line {number} {}", "x".repeat(80)));
            number + 1
        })
    });
    std::thread::spawn(|| BufReader::new(stderr).lines().for_each(drop));
    let flood = tokio::spawn(piped.call("flood", &json!({ "lines": LINES })));
    let mut others = 0;
    while !flood.is_finished() {
        assert!(piped.ping().await);
        assert_eq!(piped.call("other", &json!({})).await.0, 200);
        others += 1;
    }
    assert_eq!(flood.await.unwrap().0, 200);
    assert!(others > 1, "it was over before anybody else came");
    assert!(piped.end().await.success());
    assert_eq!(read.join().unwrap(), LINES);
}

#[tokio::test]
async fn a_flood_that_nobody_reads_ends_at_its_limit_and_costs_nobody_else() {
    let is_async = PLAIN.replace("def invoke", "async def invoke");
    for code in [PLAIN, &is_async] {
        let mut piped = Piped::start(code, &["--invocation-timeout", "3"]).await;
        let (status, first) = piped.call("other", &json!({})).await;
        assert_eq!(status, 200);
        let order = json!({ "lines": 100_000, "both": true });
        let flood = tokio::spawn(piped.call("flood", &order));
        while !flood.is_finished() {
            assert!(piped.ping().await, "the server waits for its output too");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (status, body) = flood.await.unwrap();
        assert_eq!(status, 504, "{body}");
        assert_eq!(body["error"], "the invocation took longer than its limit");
        // The worker that does not come back is replaced. The fresh one has the same full pipes.
        eventually(async || {
            let (status, worker) = piped.call("other", &json!({})).await;
            status == 200 && worker != first
        })
        .await;
        for _ in 0..50 {
            assert_eq!(piped.call("other", &json!({})).await.0, 200);
        }
        assert!(piped.ping().await);
        // Now somebody reads, and it is as if nothing had been.
        let (stdout, stderr) = piped.streams();
        std::thread::spawn(|| BufReader::new(stdout).lines().for_each(drop));
        std::thread::spawn(|| BufReader::new(stderr).lines().for_each(drop));
        let order = json!({ "lines": 5_000, "both": true });
        assert_eq!(piped.call("flood", &order).await.0, 200);
        assert!(piped.end().await.success());
    }
}

#[tokio::test]
async fn a_server_whose_output_nobody_reads_ends_when_it_is_told() {
    let piped = Piped::start(PLAIN, &["--invocation-timeout", "2"]).await;
    let order = json!({ "lines": 100_000, "both": true });
    assert_eq!(piped.call("flood", &order).await.0, 504);
    assert!(piped.end().await.success());
}
