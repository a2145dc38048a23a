//! Python agents that are started by what people put around them: OpenTelemetry, `uv`, `uvicorn`, a debugger of an editor.
//!
//! These are real programs, in the Python that `cargo xtask test` makes for comparisons.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::started::{ECHO, Started, agent, agent_with};
use crate::support::{eventually, free_port};

/// Traces something of its own, which goes nowhere unless somebody listens.
const TRACED: &str = "from opentelemetry import trace
@app.entrypoint
def invoke(payload):
    with trace.get_tracer('mine').start_as_current_span('inside the handler'):
        return payload";

#[tokio::test]
async fn opentelemetry_instrument_traces_the_process_that_runs_the_agent() {
    let Some((python, scripts)) = python_with("opentelemetry.instrumentation") else {
        return;
    };
    let python = python.to_str().unwrap();
    for args in [
        &[python, "agent.py"][..],
        &[python, "-m", "bedrock_agentcore", "agent.py"],
    ] {
        let launcher = scripts.join("opentelemetry-instrument");
        let started = Started::program(&launcher, &agent(TRACED), args, |command| {
            command
                .env("OTEL_TRACES_EXPORTER", "console")
                .env("OTEL_METRICS_EXPORTER", "none")
                .env("OTEL_LOGS_EXPORTER", "none");
        });
        started.healthy().await;
        assert_eq!(started.ask(json!([1])).await, (200, "[1]".to_owned()));
        started.signal(Signal::TERM);
        let (status, out, err) = started.ended().await;
        assert!(status.success(), "{status} {err}");
        // Exported at the exit of the process, which therefore has to be an ordinary one.
        assert!(
            out.contains(r#""name": "inside the handler""#),
            "{out}\n{err}"
        );
    }
}

#[tokio::test]
async fn uv_run_serves_and_ends_like_python() {
    let Some((python, scripts)) = python_with("uv") else {
        return;
    };
    let args = ["run", "--offline", "--no-project", "--python"];
    let args = [&args[..], &[python.to_str().unwrap(), "agent.py"]].concat();
    let started = Started::program(&scripts.join("uv"), &agent(ECHO), &args, |_| {});
    started.healthy().await;
    assert_eq!(started.ask(json!([1])).await, (200, "[1]".to_owned()));
    started.signal(Signal::TERM);
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{status} {err}");
    assert_eq!(out, "after run\n", "{err}");
}

/// Answers, or streams what it was sent.
const EITHER: &str = "@app.entrypoint
def invoke(payload):
    return iter_of(payload) if isinstance(payload, list) else payload
def iter_of(items):
    yield from items";

#[tokio::test]
async fn uvicorn_serves_the_app_without_our_server() {
    let Some((python, _)) = python_with("uvicorn") else {
        return;
    };
    let code = agent_with(EITHER, "import uvicorn\nuvicorn.run(app, port=PORT)");
    let started = Started::program(&python, &code, &["agent.py"], |command| {
        command.env("AGENTCORE_HOST_BIN", "/nonexistent");
    });
    started.healthy().await;
    assert_eq!(started.ask(json!("x")).await, (200, "\"x\"".to_owned()));
    let streamed = started.ask(json!([1, "two"])).await;
    assert_eq!(streamed, (200, "data: 1\n\ndata: \"two\"\n\n".to_owned()));
    started.signal(Signal::TERM);
    let (_, _, err) = started.ended().await;
    assert!(err.contains("Uvicorn running on"), "{err}");
    assert!(err.contains("Application shutdown complete"), "{err}");
}

#[tokio::test]
async fn a_breakpoint_of_an_editor_stops_the_agent_and_no_ping() {
    let Some((python, _)) = python_with("debugpy") else {
        return;
    };
    let address = format!("127.0.0.1:{}", free_port());
    let args = ["-m", "debugpy", "--wait-for-client", "--listen"];
    let args = [&args[..], &[&address, "agent.py"]].concat();
    let code = agent(ECHO);
    let started = Started::program(&python, &code, &args, |_| {});
    let mut editor = Editor::connect(&address).await;
    let line = 1 + code.lines().position(|it| it.contains("return")).unwrap();
    editor
        .attach(&started.home.path().join("agent.py"), line)
        .await;
    started.healthy().await;

    let call = started.ask(json!([1]));
    let watched = async {
        let stopped = editor.event("stopped").await;
        assert_eq!(stopped["reason"], "breakpoint");
        let thread = stopped["threadId"].clone();
        started.healthy().await;
        editor
            .request("continue", json!({ "threadId": thread }))
            .await;
    };
    let (answered, ()) = tokio::join!(call, watched);
    assert_eq!(answered, (200, "[1]".to_owned()));
    editor
        .request("disconnect", json!({ "terminateDebuggee": false }))
        .await;
    started.signal(Signal::TERM);
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{status} {err}");
    assert_eq!(out, "after run\n", "{err}");
}

/// The editor's side of the Debug Adapter Protocol, as far as one breakpoint needs it.
struct Editor {
    stream: BufReader<TcpStream>,
    requests: u32,
    events: Vec<Value>,
}

impl Editor {
    async fn connect(address: &str) -> Self {
        let mut connected = None;
        eventually(async || {
            connected = TcpStream::connect(address).await.ok();
            connected.is_some()
        })
        .await;
        Self {
            stream: BufReader::new(connected.unwrap()),
            requests: 0,
            events: Vec::new(),
        }
    }

    /// Attaches to the program, which waits for that, and has it go on with a breakpoint.
    async fn attach(&mut self, file: &Path, line: usize) {
        let about = json!({ "adapterID": "debugpy", "linesStartAt1": true, "pathFormat": "path" });
        self.request("initialize", about).await;
        // Answered when the configuration is done, so its answer is not waited for.
        self.send("attach", json!({ "justMyCode": true, "subProcess": false }))
            .await;
        self.event("initialized").await;
        let breakpoints = json!({ "source": { "path": file }, "breakpoints": [{ "line": line }] });
        self.request("setBreakpoints", breakpoints).await;
        self.request("configurationDone", json!({})).await;
    }

    async fn send(&mut self, command: &str, arguments: Value) -> u32 {
        self.requests += 1;
        let request = json!({ "seq": self.requests, "type": "request", "command": command, "arguments": arguments });
        let request = request.to_string();
        let frame = format!("Content-Length: {}\r\n\r\n{request}", request.len());
        self.stream.write_all(frame.as_bytes()).await.unwrap();
        self.requests
    }

    /// Asks for something, and waits until it is done.
    async fn request(&mut self, command: &str, arguments: Value) {
        let number = self.send(command, arguments).await;
        loop {
            let message = self.receive().await;
            if message["type"] == "response" && message["request_seq"] == number {
                assert_eq!(message["success"], true, "{message}");
                return;
            }
            self.events.push(message);
        }
    }

    /// Waits for an event, and returns what it says.
    async fn event(&mut self, name: &str) -> Value {
        loop {
            if let Some(at) = self.events.iter().position(|it| it["event"] == name) {
                return self.events.swap_remove(at)["body"].take();
            }
            let message = self.receive().await;
            self.events.push(message);
        }
    }

    async fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            let read = self.stream.read_line(&mut line).await.unwrap();
            assert_ne!(read, 0, "the debugger has gone");
            match line.trim_end().strip_prefix("Content-Length: ") {
                Some(stated) => length = stated.parse().unwrap(),
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

/// The Python that has `module`, as it was called, and the folder of its programs.
///
/// Without one, the test fails where `CI` is set; whoever runs it by hand is told, and goes on without.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment of the test itself says which Python has the packages"
)]
fn python_with(module: &str) -> Option<(PathBuf, PathBuf)> {
    let python = PathBuf::from(
        std::env::var_os("AGENTCORE_TEST_PYTHON").unwrap_or_else(|| "python3".into()),
    );
    let ask = format!("import sysconfig, {module}; print(sysconfig.get_path('scripts'))");
    let found = Command::new(&python).args(["-c", &ask]).output();
    if let Some(found) = found.ok().filter(|it| it.status.success()) {
        let scripts = String::from_utf8(found.stdout).unwrap();
        return Some((python, PathBuf::from(scripts.trim_end())));
    }
    let missing = format!("`{}` cannot import {module}", python.display());
    let hint = "run the tests by `cargo xtask test tests`, which installs it for them";
    assert!(std::env::var_os("CI").is_none(), "{missing}: {hint}");
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("SKIPPED: {missing}; {hint}");
    }
    None
}
