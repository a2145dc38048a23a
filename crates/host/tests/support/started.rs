//! Agents that start their server themselves, as from a terminal.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, free_port, real_path};

/// An agent whose `run()` is at the end, as in every guide.
pub(crate) fn agent(handler: &str) -> String {
    agent_with(handler, RUN)
}

pub(crate) fn agent_with(handler: &str, run: &str) -> String {
    format!(
        "import os, sys, time\nfrom bedrock_agentcore import BedrockAgentCoreApp\n\
         app = BedrockAgentCoreApp()\nPORT = int(os.environ['PORT'])\n{handler}\n{run}\n"
    )
}

pub(crate) const ECHO: &str = "@app.entrypoint\ndef invoke(payload):\n    return payload";
pub(crate) const RUN: &str =
    "if __name__ == '__main__':\n    app.run(port=PORT)\n    print('after run')";
/// Sleeps as long as it is told, and leaves a mark when it has begun.
pub(crate) const SLOW: &str = "@app.entrypoint\ndef invoke(payload):\n    open('begun', 'w').close()\n    time.sleep(payload)\n    return payload";

/// A Python that was started in a home of its own, as from a terminal: the leader of a process group.
pub(crate) struct Started {
    pub(crate) home: TempDir,
    child: Child,
    pub(crate) url: String,
    client: reqwest::Client,
}

impl Started {
    pub(crate) fn python(code: &str, args: &[&str]) -> Self {
        Self::python_with(code, args, |_| {})
    }

    pub(crate) fn python_with(
        code: &str,
        args: &[&str],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        Self::program("python3".as_ref(), code, args, adjust)
    }

    /// The same by another program, which takes the arguments and starts Python itself.
    pub(crate) fn program(
        program: &Path,
        code: &str,
        args: &[&str],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("agent.py"), code).unwrap();
        fs::create_dir(path("tmp")).unwrap();
        let port = free_port();
        let mut command = Command::new(program);
        command.args(args);
        if args.contains(&"bedrock_agentcore") {
            command.arg(format!("--port={port}"));
        }
        command
            .current_dir(home.path())
            .env_clear()
            .env("PATH", real_path())
            .env("HOME", home.path())
            .env("TMPDIR", path("tmp"))
            .env("PYTHONPATH", package())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AGENTCORE_HOST_BIN", env!("CARGO_BIN_EXE_agentcore-host"))
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(File::create(path("out")).unwrap())
            .stderr(File::create(path("err")).unwrap())
            .process_group(0);
        adjust(&mut command);
        Self {
            child: command.spawn().unwrap(),
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            home,
        }
    }

    pub(crate) async fn healthy(&self) {
        eventually(async || {
            let ping = self.client.get(format!("{}/ping", self.url)).send().await;
            ping.is_ok_and(|ping| ping.status() == 200)
        })
        .await;
    }

    pub(crate) async fn ask(&self, payload: Value) -> (u16, String) {
        let request = self.client.post(format!("{}/invocations", self.url));
        let response = request.body(payload.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Asks in a session.
    pub(crate) async fn ask_in(&self, session: &str, payload: Value) -> (u16, String) {
        let request = self.client.post(format!("{}/invocations", self.url));
        let request = request.header("x-amzn-bedrock-agentcore-runtime-session-id", session);
        let response = request.body(payload.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Asks, and returns when the handler has begun.
    pub(crate) async fn begin(&self, payload: Value) -> tokio::task::JoinHandle<(u16, String)> {
        let request = self.client.post(format!("{}/invocations", self.url));
        let request = request.body(payload.to_string()).send();
        let call = tokio::spawn(async {
            let response = request.await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        });
        let mark = self.home.path().join("begun");
        eventually(async || mark.exists()).await;
        call
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// What a shell does to a program that it has started.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What the terminal does at Ctrl-C: it reaches everyone who was started in it.
    pub(crate) fn interrupt(&self) {
        kill_process_group(self.pid(), Signal::INT).unwrap();
    }

    pub(crate) fn wrote(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(name)).unwrap()
    }

    /// Waits for the end of the process and of its server, and checks that nothing is left.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{}", self.wrote("err"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let address = self.url.strip_prefix("http://").unwrap();
        eventually(async || std::net::TcpStream::connect(address).is_err()).await;
        eventually(async || fs::read_dir(self.home.path().join("tmp")).unwrap().count() == 0).await;
        (status, self.wrote("out"), self.wrote("err"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A test that failed leaves nothing either; the server ends with the process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the Python of the tests is between two versions.
pub(crate) fn python_is(first: &str, last: &str) -> bool {
    let code = "import sys; v = '.'.join(map(str, sys.version_info[:3])); print(sys.argv[1] <= v <= sys.argv[2])";
    let output = Command::new("python3")
        .args(["-c", code, first, last])
        .output();
    output.unwrap().stdout == b"True\n"
}

pub(crate) fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/lib")
}
