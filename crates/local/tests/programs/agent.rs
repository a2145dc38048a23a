//! An agent that does what a test tells it: counts, streams, talks, hangs, dies, leaves daemons behind, looks around in its
//! sandbox.
//!
//! It serves the contract on the Unix socket or the port in `AGENTCORE_LISTEN`, by hand, so that it can also break it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    reason = "agents print and exit as they like, and this one stands for them"
)]

mod look;
mod talk;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

static CALLS: AtomicU64 = AtomicU64::new(0);
static BUSY: AtomicBool = AtomicBool::new(false);
static STARTING: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["daemon", pid_file] => daemon(Path::new(pid_file)),
        ["daemon's parent", pid_file] => {
            start_daemon("daemon", pid_file, false);
            ExitCode::SUCCESS
        }
        ["say", words] => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        _ => agent(),
    }
}

/// Leaves its session and group, notes its id, and stays.
fn daemon(pid_file: &Path) -> ExitCode {
    let _ = rustix::process::setsid();
    write_whole(pid_file, &std::process::id().to_string());
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

#[expect(
    clippy::zombie_processes,
    reason = "whoever is started here is left behind, that is the point"
)]
fn start_daemon(kind: &str, pid_file: &str, bare: bool) {
    let program = std::env::current_exe().expect("a program knows its file");
    let is_stubborn = kind == "stubborn daemon";
    let mut command = if is_stubborn {
        // What is ignored stays so in the program that follows.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "trap '' TERM; exec \"$0\" daemon \"$1\""]);
        shell.arg(program).arg(pid_file);
        shell
    } else {
        let mut command = Command::new(program);
        command.args([kind, pid_file]);
        command
    };
    command.stdin(Stdio::null());
    if bare {
        // Without the pipes too: nothing must show where it came from.
        command
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    }
    let mut child = command.spawn().expect("the program can start itself");
    if kind == "daemon's parent" {
        let _ = child.wait();
    }
}

#[tokio::main]
async fn agent() -> ExitCode {
    let environment = environment();
    match environment.get("TEST_START").map(String::as_str) {
        Some("crash") => {
            eprintln!(
                "Traceback (most recent call last):\n  File \"agent.py\", line 1, in <module>"
            );
            eprintln!("ModuleNotFoundError: No module named 'numpi'");
            return ExitCode::from(3);
        }
        Some("never listen") => std::future::pending::<()>().await,
        Some("crash the second time") => {
            let marker = Path::new(&environment["TEST_DIR"]).join("started");
            if marker.exists() {
                eprintln!("no second time");
                return ExitCode::from(4);
            }
            write_whole(&marker, "");
        }
        Some("slowly") => STARTING.store(true, Ordering::SeqCst),
        _ => {}
    }
    if STARTING.load(Ordering::SeqCst) {
        tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            STARTING.store(false, Ordering::SeqCst);
        });
    }
    if environment.contains_key("TEST_STUBBORN") {
        // Heard and not obeyed.
        let terminate = tokio::signal::unix::SignalKind::terminate();
        let mut asked = tokio::signal::unix::signal(terminate).expect("signals can be heard");
        tokio::spawn(async move { while asked.recv().await.is_some() {} });
    }
    let router = Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invoke))
        .route("/ws", get(talk::accept));
    let listen = &environment["AGENTCORE_LISTEN"];
    if let Some(path) = listen.strip_prefix("unix:") {
        let listener = tokio::net::UnixListener::bind(path).expect("the socket is free");
        println!("listening");
        axum::serve(listener, router).await.expect("it serves");
    } else {
        let address = environment.get("TEST_LISTEN").unwrap_or(listen);
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.expect("the port is free");
        println!("serving on http://{address}");
        axum::serve(listener, router).await.expect("it serves");
    }
    ExitCode::SUCCESS
}

async fn ping() -> (StatusCode, String) {
    if STARTING.load(Ordering::SeqCst) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"status":"Starting"}"#.into(),
        );
    }
    let status = if BUSY.load(Ordering::SeqCst) {
        "HealthyBusy"
    } else {
        "Healthy"
    };
    (
        StatusCode::OK,
        json!({ "status": status, "time_of_last_update": 1 }).to_string(),
    )
}

async fn invoke(headers: HeaderMap, request: axum::extract::Request) -> Response {
    let count = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    let uri = request.uri().to_string();
    if headers.get("x-test").is_some_and(|it| it == "upload") {
        return upload(request.into_body()).await;
    }
    let Ok(body) = axum::body::to_bytes(request.into_body(), 1 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let order: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| order[key].as_str().unwrap_or_default().to_owned();
    match order["do"].as_str().unwrap_or_default() {
        "stream" => stream(PathBuf::from(text("dir")), order["cut"] == true),
        "rush" => rush(order["count"].as_u64().unwrap_or_default()),
        "hang" => {
            let _guard = Note(PathBuf::from(text("dir")).join("left"));
            write_whole(&Path::new(&text("dir")).join("entered"), "");
            std::future::pending().await
        }
        "exit" => std::process::exit(7),
        "busy" => {
            BUSY.store(order["busy"] == true, Ordering::SeqCst);
            json!({}).to_string().into_response()
        }
        "daemon" => {
            let pid_file = text("pid_file");
            start_daemon(&text("kind"), &pid_file, order["bare"] == true);
            json!({}).to_string().into_response()
        }
        "print" => {
            print!("{}", text("stdout"));
            let _ = std::io::stdout().flush();
            eprintln!("{}", text("stderr"));
            json!({}).to_string().into_response()
        }
        "flood" => {
            let line = "z".repeat(1000);
            for _ in 0..order["lines"].as_u64().unwrap_or_default() {
                println!("{line}");
            }
            json!({}).to_string().into_response()
        }
        "fail" => (
            StatusCode::from_u16(422).expect("a status"),
            [
                ("connection", "x-private"),
                ("x-private", "1"),
                ("x-public", "2"),
            ],
            r#"{"error":"no","error_type":"ValueError"}"#,
        )
            .into_response(),
        "count sent" => json!({ "sent": talk::sent() }).to_string().into_response(),
        "look" => look::around(&order["at"], &text("path")),
        _ => report(count, &uri, &headers),
    }
}

fn report(count: u64, uri: &str, headers: &HeaderMap) -> Response {
    let headers: BTreeMap<_, _> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let report = json!({
        "count": count,
        "pid": std::process::id(),
        "uri": uri,
        "headers": headers,
        "environment": environment(),
    });
    (
        [(header::CONTENT_TYPE, "application/json")],
        report.to_string(),
    )
        .into_response()
}

/// Sends one event, and the next only when a file says that it was read.
fn stream(dir: PathBuf, cut: bool) -> Response {
    let events = futures_util::stream::unfold(0_u32, move |number| {
        let read = dir.join(format!("read-{number}"));
        async move {
            if number > 0 {
                while !read.exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            let next = number + 1;
            let event = match number {
                // Half an event, for a stream that is cut in it.
                1 if cut => "data: {\"item\":".to_owned(),
                0..3 => format!("data: {{\"item\": {next}}}\n\n"),
                _ => return None,
            };
            Some((Ok::<_, Infallible>(Bytes::from(event)), next))
        }
    });
    event_stream(Body::from_stream(events))
}

fn rush(count: u64) -> Response {
    let event = |number| Ok::<_, Infallible>(Bytes::from(format!("data: {{\"n\": {number}}}\n\n")));
    event_stream(Body::from_stream(
        futures_util::stream::iter(0..count).map(event),
    ))
}

fn event_stream(body: Body) -> Response {
    (
        [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")],
        body,
    )
        .into_response()
}

async fn upload(body: Body) -> Response {
    let mut chunks = body.into_data_stream();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => length += chunk.len(),
            Err(_) => return StatusCode::BAD_REQUEST.into_response(),
        }
    }
    json!({ "length": length }).to_string().into_response()
}

/// Writes a file when dropped.
struct Note(PathBuf);

impl Drop for Note {
    fn drop(&mut self) {
        let _ = std::fs::write(&self.0, "");
    }
}

/// Writes a file that is never seen half-written.
fn write_whole(path: &Path, content: &str) {
    let unfinished = path.with_extension(format!("unfinished-{}", std::process::id()));
    std::fs::write(&unfinished, content).expect("the folder of the test is there");
    std::fs::rename(unfinished, path).expect("the folder of the test is there");
}

#[expect(
    clippy::disallowed_methods,
    reason = "this program stands for an agent, which reads its environment"
)]
fn environment() -> BTreeMap<String, String> {
    std::env::vars().collect()
}
