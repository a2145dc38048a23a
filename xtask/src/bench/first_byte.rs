//! The time from a new session id to the first byte of its answer, through `agentcore launch --local`: a sandbox is
//! started for each.
//!
//! Beside it stands what a session costs without us: a new process of the official SDK, from its start to its answer.

use std::path::Path;
use std::time::Instant;

use super::Bench;
use super::report::{Report, Row, median};
use super::server::{Server, free_port, official_sdk};
use crate::python;
use crate::sh::{Cmd, Failed, Result, copy_rust_agent, root, text};

/// New sessions in one round; fewer than the least that a front door allows at once.
const SESSIONS: usize = 8;

const PEER: &str = "a new process of the official SDK";

/// Measures the Python and the Rust hello agent.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let python = python::with_peers()?;
    let project = tempfile::tempdir()?;
    let file = root().join("examples/hello-python/agent.py");
    std::fs::copy(&file, project.path().join("agent.py"))?;
    let rust = project.path().join("hello-rust");
    copy_rust_agent(&root().join("examples/hello-rust"), &rust, "")?;
    for (language, entrypoint) in [("Python", "agent.py"), ("Rust", "hello-rust")] {
        let configure =
            format!("configure --entrypoint {entrypoint} --name {language} --non-interactive");
        bench
            .agentcore(project.path())?
            .words(&configure)
            .quietly()?;
        let mut cold = Row::new(
            format!("{language} hello, new session to first byte"),
            PEER,
            "ms",
        );
        let mut first = Row::new(
            format!("{language} hello, first session, sandbox kept ready"),
            PEER,
            "ms",
        );
        for round in 0..bench.rounds {
            bench.round(round);
            let times = sessions(bench, project.path(), language)?;
            let started = Instant::now();
            let _server = Server::start(|port| official_sdk(&python, &file, port))?;
            let theirs = started.elapsed().as_secs_f64() * 1e3;
            first.push(times[0], theirs);
            cold.push(median(&times[1..]), theirs);
        }
        report.add(cold);
        report.add(first);
    }
    Ok(())
}

/// Launches the agent, opens new sessions one after the other, stops it; returns milliseconds to the first byte.
fn sessions(bench: &Bench, project: &Path, name: &str) -> Result<Vec<f64>> {
    let port = free_port()?;
    let launch = format!("launch --local --detach --sandbox process --agent {name} --port {port}");
    bench.agentcore(project)?.words(&launch).quietly()?;
    let url = format!("http://127.0.0.1:{port}/invocations");
    let measured = Cmd::new(bench.program("bench-load")?)
        .args([
            "sessions",
            "--url",
            &url,
            "--body",
            r#"{"prompt": "hi"}"#,
            "--count",
            &(SESSIONS + 1).to_string(),
        ])
        .output();
    let stop = format!("stop --local --agent {name}");
    bench.agentcore(project)?.words(&stop).quietly()?;
    let output = measured?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        Failed(format!(
            "the load generator failed: {}",
            text(&output.stderr).trim()
        ))
    })
}
