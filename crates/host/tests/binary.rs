//! The program `agentcore-host`: exit classes, signals, and what it says.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::support::{eventually, free_port, real_path};

const HELLO: &str = "from bedrock_agentcore import BedrockAgentCoreApp\napp = BedrockAgentCoreApp()\n\
                     @app.entrypoint\ndef main(payload):\n    return {'result': payload}\n\
                     if __name__ == '__main__':\n    app.run()\n";

/// A home with an agent in it.
fn home(agent: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("agent.py"), agent).unwrap();
    home
}

fn program(home: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentcore-host"));
    command
        .args(args)
        .current_dir(home.path())
        .env_clear()
        .env("PATH", real_path())
        .env("HOME", home.path())
        .stdin(Stdio::null());
    command
}

fn failed(output: &Output) -> (i32, String) {
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "",
        "results have nothing to do here"
    );
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

#[test]
fn bad_input_is_one_sentence_and_a_class() {
    let home = home(HELLO);
    fs::write(home.path().join("notes.txt"), "").unwrap();
    for (args, class, expected) in [
        (
            &["serve", "nothing.py"][..],
            2,
            "error: the entrypoint `nothing.py` cannot be read: No such file or directory",
        ),
        (
            &["serve", "."],
            2,
            "error: `.` is a folder\nhint: name the agent's `.py` file in it\n",
        ),
        (
            &["serve", "notes.txt"],
            2,
            "error: `notes.txt` is not a Python file",
        ),
        (
            &["serve", "agent.py", "--engine", "rust"],
            2,
            "error: invalid value 'rust' for '--engine <ENGINE>'",
        ),
        (
            &["serve", "agent.py", "--port", "70000"],
            2,
            "error: invalid value '70000' for '--port <PORT>'",
        ),
        (
            &["serve", "agent.py", "--engine", "sdk"],
            3,
            "error: the engine `sdk` needs the official `bedrock-agentcore` package",
        ),
        (
            &["serve", "agent.py", "--python", "python2.2"],
            3,
            "error: no Python interpreter was found (tried `python2.2` on PATH)",
        ),
    ] {
        let (code, text) = failed(&program(&home, args).output().unwrap());
        assert!(text.contains(expected), "{args:?}: {text}");
        assert_eq!(code, class, "{args:?}: {text}");
    }
    let mut command = program(&home, &["serve", "agent.py"]);
    let (code, text) = failed(&command.env("AGENTCORE_LISTEN", "8080").output().unwrap());
    assert_eq!(code, 3, "{text}");
    assert!(
        text.contains("hint: correct the variable `AGENTCORE_LISTEN`"),
        "{text}"
    );
}

#[test]
fn an_agent_that_does_not_load_shows_its_traceback_and_ends_in_class_8() {
    let home = home("import nothing_of_this_name\n");
    let port = free_port().to_string();
    let output = program(
        &home,
        &["serve", "agent.py", "--port", &port, "--engine", "native"],
    )
    .output()
    .unwrap();
    let (code, text) = failed(&output);
    assert_eq!(code, 8, "{text}");
    assert!(
        text.contains("Traceback (most recent call last):"),
        "{text}"
    );
    let last = text.lines().last().unwrap();
    let expected = "error: the agent could not be loaded: ModuleNotFoundError: No module named 'nothing_of_this_name'";
    assert_eq!(last, expected, "{text}");
}

#[test]
fn a_taken_port_is_named() {
    let home = home(HELLO);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = program(&home, &["serve", "agent.py", "--port", &port.to_string()])
        .output()
        .unwrap();
    let (code, text) = failed(&output);
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains(&format!(
            "error: port {port} on 127.0.0.1 is already in use"
        )),
        "{text}"
    );
}

#[tokio::test]
async fn it_serves_until_it_is_told_to_end() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = home(HELLO);
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = program(&home, &["serve", "agent.py", "--engine", "native"]);
        command
            .env("AGENTCORE_LISTEN", &listen)
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let client = reqwest::Client::new();
        eventually(async || {
            let ping = client.get(format!("http://{listen}/ping")).send().await;
            ping.is_ok_and(|ping| ping.status() == 200)
        })
        .await;
        let request = client
            .post(format!("http://{listen}/invocations"))
            .body("[1]");
        assert_eq!(
            request.send().await.unwrap().text().await.unwrap(),
            r#"{"result": [1]}"#
        );

        kill_process(pid, signal).unwrap();
        let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
        let output = tokio::time::timeout(Duration::from_secs(20), ended)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{signal:?}: {text}");
        assert!(text.contains("Engine native with Python 3."), "{text}");
    }
}

/// Says who runs it, and takes its time.
const SLOW: &str = "import os, time\nfrom bedrock_agentcore import BedrockAgentCoreApp\napp = BedrockAgentCoreApp()\n\n\n\
                    @app.entrypoint\ndef invoke(payload):\n    open('pid', 'w').write(str(os.getpid()))\n    time.sleep(60)\n";

/// A server whose agent is at work.
struct Busy {
    home: TempDir,
    child: Child,
    server: Pid,
    worker: Pid,
    /// The caller, who waits.
    _call: TcpStream,
}

impl Busy {
    async fn start() -> Self {
        let home = home(SLOW);
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = program(&home, &["serve", "agent.py", "--engine", "native"]);
        command
            .env("AGENTCORE_LISTEN", &address)
            .stderr(File::create(home.path().join("err")).unwrap());
        let child = command.spawn().unwrap();
        let server = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        eventually(async || TcpStream::connect(&address).is_ok()).await;
        let mut call = TcpStream::connect(&address).unwrap();
        call.write_all(b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1")
            .unwrap();
        let mark = home.path().join("pid");
        eventually(async || fs::read_to_string(&mark).is_ok_and(|pid| !pid.is_empty())).await;
        let worker = fs::read_to_string(&mark).unwrap().parse().unwrap();
        Self {
            home,
            child,
            server,
            worker: Pid::from_raw(worker).unwrap(),
            _call: call,
        }
    }

    /// What the server has written to its standard error.
    fn wrote(&self) -> String {
        fs::read_to_string(self.home.path().join("err")).unwrap()
    }

    /// Waits for the server's end, and returns how it ended and what it wrote.
    async fn ended(mut self) -> (ExitStatus, String) {
        eventually(async || test_kill_process(self.worker).is_err()).await;
        let path = self.home.path().join("err");
        let status = tokio::task::spawn_blocking(move || self.child.wait());
        let status = status.await.unwrap().unwrap();
        (status, fs::read_to_string(path).unwrap())
    }
}

#[tokio::test]
async fn a_second_interrupt_ends_a_call_that_would_have_been_waited_for() {
    let busy = Busy::start().await;
    let begun = std::time::Instant::now();
    kill_process(busy.server, Signal::INT).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    kill_process(busy.server, Signal::INT).unwrap();
    let (status, wrote) = busy.ended().await;
    assert!(status.success(), "{wrote}");
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_is_news_unless_the_server_is_too() {
    const NEWS: &str = "The agent's worker process ended: signal 15 (SIGTERM)";
    let busy = Busy::start().await;
    // As a sandbox does, in whatever order.
    kill_process(busy.worker, Signal::TERM).unwrap();
    kill_process(busy.server, Signal::TERM).unwrap();
    let (status, wrote) = busy.ended().await;
    assert!(status.success(), "{wrote}");
    assert!(!wrote.contains(NEWS), "{wrote}");

    let busy = Busy::start().await;
    kill_process(busy.worker, Signal::TERM).unwrap();
    eventually(async || busy.wrote().contains(NEWS)).await;
    kill_process(busy.server, Signal::TERM).unwrap();
    assert!(busy.ended().await.0.success());
}
