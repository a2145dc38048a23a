//! Requests a second of the hello agents: the Rust one beside a bare axum server that answers the same, the Python one
//! beside the official SDK, which serves the same file.

use serde_json::Value;

use super::Bench;
use super::report::{Report, Row};
use super::server::{Server, official_sdk};
use crate::python;
use crate::sh::{Cmd, Failed, Result, root, text};

const CONNECTIONS: [u32; 4] = [1, 16, 64, 256];

/// Measures both languages; one that cannot be measured does not keep the other from it.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let rust = rust(bench, report);
    let python = python(bench, report);
    rust.and(python)
}

fn rust(bench: &Bench, report: &mut Report) -> Result<()> {
    let (ours, peer) = (
        bench.program("hello-rust")?,
        bench.program("bench-bare-axum")?,
    );
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let ours = Server::start(|port| Cmd::new(ours).env("AGENTCORE_LISTEN", listen(port)))?;
    let peer = Server::start(|port| Cmd::new(peer).env("AGENTCORE_LISTEN", listen(port)))?;
    compare(bench, report, ("Rust hello", "bare axum"), (&ours, &peer))
}

fn python(bench: &Bench, report: &mut Report) -> Result<()> {
    let (agentcore, python) = (bench.program("agentcore")?, python::with_peers()?);
    let file = root().join("examples/hello-python/agent.py");
    let ours = Server::start(|port| {
        let port = port.to_string();
        Cmd::new(agentcore)
            .args(["serve"])
            .args([&file])
            .args(["--engine", "native", "--port", &port])
    })?;
    let peer = Server::start(|port| official_sdk(&python, &file, port))?;
    compare(
        bench,
        report,
        ("Python hello", "official SDK"),
        (&ours, &peer),
    )
}

/// Lets the two take turns at every number of connections.
fn compare(
    bench: &Bench,
    report: &mut Report,
    (case, peer): (&str, &'static str),
    (ours, theirs): (&Server, &Server),
) -> Result<()> {
    let mut rows = CONNECTIONS.map(|connections| {
        let row = |what, unit| {
            Row::new(
                format!("{case}, {what}, {connections} connections"),
                peer,
                unit,
            )
        };
        (
            connections,
            row("requests a second", "1/s"),
            row("p50", "ms"),
            row("p99", "ms"),
        )
    });
    for round in 0..bench.rounds {
        bench.round(round);
        for (connections, rate, p50, p99) in &mut rows {
            let (ours, theirs) = (
                load(bench, ours, *connections)?,
                load(bench, theirs, *connections)?,
            );
            rate.push(ours.rate, theirs.rate);
            p50.push(ours.p50, theirs.p50);
            p99.push(ours.p99, theirs.p99);
        }
    }
    for (_, rate, p50, p99) in rows {
        for row in [rate, p50, p99] {
            report.add(row);
        }
    }
    Ok(())
}

/// What the load generator measured.
struct Load {
    rate: f64,
    p50: f64,
    p99: f64,
}

/// Loads `server` and checks that it answered what a hello agent answers.
fn load(bench: &Bench, server: &Server, connections: u32) -> Result<Load> {
    let output = Cmd::new(bench.program("bench-load")?)
        .args([
            "requests",
            "--url",
            &server.url(),
            "--body",
            r#"{"prompt": "hi"}"#,
        ])
        .args([
            "--connections",
            &connections.to_string(),
            "--seconds",
            &bench.seconds.to_string(),
        ])
        .output()?;
    let wrong = || {
        Failed(format!(
            "the load generator failed: {}",
            text(&output.stderr).trim()
        ))
    };
    let told: Value = serde_json::from_slice(&output.stdout).map_err(|_| wrong())?;
    let answer = told["answer"]
        .as_str()
        .and_then(|it| serde_json::from_str::<Value>(it).ok());
    if answer.as_ref().and_then(|it| it["result"].as_str()) != Some("You said: hi") {
        return Err(Failed(format!(
            "{} answered {}",
            server.url(),
            told["answer"]
        )));
    }
    let number = |name: &str| told[name].as_f64().ok_or_else(wrong);
    Ok(Load {
        rate: number("requests_per_second")?,
        p50: number("p50_ms")?,
        p99: number("p99_ms")?,
    })
}
