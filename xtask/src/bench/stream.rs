//! A stream of 20,000 events from one local front door, decoded by `agentcore invoke` and by a Python loop over
//! `requests`.
//!
//! Ours is timed as a user feels it, from the start of the program to its end; of the Python program only the loop is
//! timed, which spares it the start of the interpreter.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use super::Bench;
use super::report::{Report, Row};
use super::server::free_port;
use crate::python;
use crate::sh::{Cmd, Failed, Result, copy_rust_agent, root, text};

const EVENTS: u64 = 20_000;

/// Measures the whole program beside the loop.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let python = python::with_peers()?;
    let project = tempfile::tempdir()?;
    let more = "futures-util = { version = \"0.3\", default-features = false }\n";
    copy_rust_agent(
        &root().join("benches/agents/stream"),
        &project.path().join("stream"),
        more,
    )?;
    let ours = |line: &str| bench.agentcore(project.path()).map(|it| it.words(line));
    let port = free_port()?;
    ours("configure --entrypoint stream --name stream --non-interactive")?.quietly()?;
    ours(&format!(
        "launch --local --detach --sandbox process --port {port}"
    ))?
    .quietly()?;
    let measured = turns(bench, report, project.path(), &python, port);
    ours("stop --local")?.quietly()?;
    measured
}

fn turns(
    bench: &Bench,
    report: &mut Report,
    project: &Path,
    python: &Path,
    port: u16,
) -> Result<()> {
    let mut row = Row::new(
        format!("invoke, {EVENTS} events"),
        "Python `requests` line loop",
        "ms",
    );
    let body = format!(r#"{{"events": {EVENTS}}}"#);
    let url = format!("http://127.0.0.1:{port}/invocations");
    for round in 0..bench.rounds {
        bench.round(round);
        row.push(
            invoke(bench.agentcore(project)?.args(["invoke", &body]))?,
            requests_loop(python, &url, &body)?,
        );
    }
    report.add(row);
    Ok(())
}

/// Runs our program into a file, and counts its lines afterwards.
fn invoke(command: Cmd) -> Result<f64> {
    let answer = tempfile::NamedTempFile::new()?;
    let shown = command.shown().to_owned();
    let mut command = command.into_command();
    command.stdout(answer.reopen()?).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let lines = lines(answer.path())?;
    if status.success() && lines == EVENTS {
        return Ok(took);
    }
    Err(Failed(format!(
        "`{shown}` wrote {lines} events of {EVENTS} ({status})"
    )))
}

fn lines(path: &Path) -> Result<u64> {
    let text = fs::read(path)?;
    Ok(text.split(|&byte| byte == b'\n').count() as u64 - 1)
}

fn requests_loop(python: &Path, url: &str, body: &str) -> Result<f64> {
    let script = root().join("benches/requests_loop.py");
    let output = Cmd::new(python)
        .args([&script])
        .args([url, body])
        .output()?;
    let told: Value = serde_json::from_slice(&output.stdout).map_err(|_| {
        Failed(format!(
            "the `requests` loop failed: {}",
            text(&output.stderr).trim()
        ))
    })?;
    match (told["events"].as_u64(), told["milliseconds"].as_f64()) {
        (Some(EVENTS), Some(milliseconds)) => Ok(milliseconds),
        _ => Err(Failed(format!(
            "the `requests` loop read {} events of {EVENTS}",
            told["events"]
        ))),
    }
}
