//! Containers: a new session's first byte, cold and with a warm spare, and what `invoke` adds to curl.
//!
//! The image is a Rust agent's, which needs no base image. Beside a new session stands what the engine itself takes to
//! create and start a container of that image until it answers `/ping`.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::Bench;
use super::report::{Report, Row, median};
use super::server::free_port;
use crate::sh::{Cmd, Failed, Result, copy_rust_agent, root, text};

/// New sessions in one round.
const SESSIONS: usize = 5;

/// Between two sessions that find a warm spare: long enough for the next spare to be ready.
const PAUSE_MILLIS: u32 = 2500;

/// Invocations in one round.
const INVOCATIONS: u32 = 20;

const ENGINE: &str = "the engine's create + start + ready";

const BODY: &str = r#"{"prompt": "hi"}"#;

/// Measures the Rust hello agent in containers.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let project = tempfile::tempdir()?;
    let agent = project.path().join("hello-rust");
    copy_rust_agent(&root().join("examples/hello-rust"), &agent, "")?;
    bench
        .agentcore(project.path())?
        .words("configure --entrypoint hello-rust --name hello --non-interactive")
        .quietly()?;
    let mut cold = Row::new("Rust hello in a container, new session, cold", ENGINE, "ms");
    let mut warm = Row::new(
        "Rust hello in a container, new session, warm spare",
        ENGINE,
        "ms",
    );
    let mut invoke = Row::new(
        "agentcore invoke, one answer from a container",
        "curl",
        "ms",
    );
    for round in 0..bench.rounds {
        bench.round(round);
        let door = Door::open(bench, project.path(), 0)?;
        let times = door.sessions(0)?;
        drop(door);
        let engine = median(&engine_alone(project.path())?);
        // The first session has the sandbox that was started with the front door.
        cold.push(median(&times[1..]), engine);
        let door = Door::open(bench, project.path(), 1)?;
        warm.push(median(&door.sessions(PAUSE_MILLIS)?), engine);
        let (ours, curl) = door.invocations()?;
        invoke.push(ours, curl);
    }
    let over: Vec<f64> = (invoke.ours.iter().zip(&invoke.theirs))
        .map(|(ours, curl)| ours - curl)
        .collect();
    crate::sh::say(&format!(
        "`agentcore invoke` takes {:.1} ms more than curl (median of the rounds)",
        median(&over)
    ));
    for row in [cold, warm, invoke] {
        report.add(row);
    }
    Ok(())
}

/// A front door over containers, closed when dropped.
struct Door<'a> {
    bench: &'a Bench,
    project: &'a Path,
    url: String,
}

impl<'a> Door<'a> {
    fn open(bench: &'a Bench, project: &'a Path, spares: u32) -> Result<Self> {
        let port = free_port()?;
        let launch =
            format!("launch --local --detach --sandbox docker --spares {spares} --port {port}");
        bench.agentcore(project)?.words(&launch).quietly()?;
        Ok(Self {
            bench,
            project,
            url: format!("http://127.0.0.1:{port}/invocations"),
        })
    }

    /// Opens new sessions one after the other; milliseconds to the first byte of each.
    fn sessions(&self, pause_millis: u32) -> Result<Vec<f64>> {
        let output = Cmd::new(self.bench.program("bench-load")?)
            .args(["sessions", "--url", &self.url, "--body", BODY])
            .args(["--count", &(SESSIONS + 1).to_string()])
            .args(["--pause-millis", &pause_millis.to_string()])
            .output()?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            Failed(format!(
                "the load generator failed: {}",
                text(&output.stderr).trim()
            ))
        })
    }

    /// The median of one invocation in one session, by our program and by curl, in milliseconds.
    fn invocations(&self) -> Result<(f64, f64)> {
        let (mut ours, mut curls) = (Vec::new(), Vec::new());
        let header = "x-amzn-bedrock-agentcore-runtime-session-id: bench";
        for _ in 0..INVOCATIONS {
            let invoke = self.bench.agentcore(self.project)?;
            ours.push(time(invoke.args([
                "--quiet",
                "invoke",
                BODY,
                "--local",
                "--session-id",
                "bench",
            ]))?);
            let curl = Cmd::new("curl").args(["-sf", "-H", header, "-d", BODY, &self.url]);
            curls.push(time(curl)?);
        }
        Ok((median(&ours), median(&curls)))
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        let stop = self.bench.agentcore(self.project);
        if let Err(Failed(reason)) = stop.and_then(|it| it.words("stop --local").quietly()) {
            crate::sh::say(&format!("`agentcore stop --local` failed: {reason}"));
        }
    }
}

/// Milliseconds of each start of the newest image of `project` by the engine alone.
fn engine_alone(project: &Path) -> Result<Vec<f64>> {
    let project = project.canonicalize()?;
    let label = format!("agentcore.project={}", project.display());
    let output = Cmd::new("python3")
        .args([root().join("benches/peers/engine_start.py")])
        .args([label, SESSIONS.to_string()])
        .output()?;
    serde_json::from_slice(&output.stdout).map_err(|_| {
        Failed(format!(
            "the engine alone failed: {}",
            text(&output.stderr).trim()
        ))
    })
}

/// Milliseconds that a command takes; it must succeed.
fn time(command: Cmd) -> Result<f64> {
    let shown = command.shown().to_owned();
    let mut command = command.into_command();
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    if status.success() {
        Ok(took)
    } else {
        Err(Failed(format!("`{shown}` failed ({status})")))
    }
}
