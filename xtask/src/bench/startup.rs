//! How long the command line takes to start, beside a program that does nothing but parse an empty command line with
//! the same parser and build the same kind of async runtime.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::Bench;
use super::report::{Report, Row, median};
use crate::sh::{Failed, Result};

/// How often a program is started in one round; the round's sample is the median.
const STARTS: u32 = 20;

const PEER: &str = "empty clap + tokio program";

/// Measures `--help`, `--version` and `configure --non-interactive`.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (ours, peer) = (
        bench.program("agentcore")?,
        bench.program("bench-empty-clap")?,
    );
    let mut rows = ["--help", "--version", "configure --non-interactive"].map(|what| {
        (
            what,
            Row::new(format!("start-up, agentcore {what}"), PEER, "ms"),
        )
    });
    let projects = tempfile::tempdir()?;
    for round in 0..bench.rounds {
        bench.round(round);
        for (what, row) in &mut rows {
            let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
            for start in 0..STARTS {
                let project = projects.path().join(format!("{round}-{start}"));
                let configure = [
                    "configure",
                    "--entrypoint",
                    "agent.py",
                    "--name",
                    "bench",
                    "--non-interactive",
                ];
                let (our_args, their_args) = match *what {
                    "--help" => (&["--help"] as &[&str], &["--help"] as &[&str]),
                    "--version" => (&["--version"] as _, &["--version"] as _),
                    _ => (&configure as _, &["--version"] as _),
                };
                make_project(&project)?;
                our_times.push(time(&ours, our_args, &project)?);
                their_times.push(time(&peer, their_args, &project)?);
            }
            row.push(median(&our_times), median(&their_times));
        }
    }
    for (_, row) in rows {
        report.add(row);
    }
    Ok(())
}

/// A folder with an agent and no project file: `configure` does its whole work each time.
fn make_project(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    fs::write(
        folder.join("agent.py"),
        "from bedrock_agentcore import BedrockAgentCoreApp\n",
    )?;
    Ok(())
}

/// The time from the start of `program` to its end, in milliseconds.
fn time(program: &Path, args: &[&str], folder: &Path) -> Result<f64> {
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let took = started.elapsed();
    if status.success() {
        return Ok(took.as_secs_f64() * 1e3);
    }
    Err(Failed(format!(
        "`{} {}` failed ({status})",
        program.display(),
        args.join(" ")
    )))
}
