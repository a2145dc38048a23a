//! `cargo xtask demo`: the main job end to end, on a fresh machine, shown as it happens.
//!
//! It runs only the program that users run, as they run it, and fails loudly if an answer is wrong.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::sh::{
    Cmd, Failed, Result, agent_builds, copy_rust_agent, heading, root, say, target_dir, text,
};

/// The arguments of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {}

/// Builds everything, then shows a Python and a Rust agent.
pub(crate) fn run(_: &DemoArgs) -> Result<()> {
    heading("build");
    Cmd::cargo("build --workspace --locked").run()?;
    let (target, agent_builds) = (target_dir()?, agent_builds()?);

    heading("a Python agent, with no Python package installed");
    let project = tempfile::Builder::new()
        .prefix("agentcore-demo-")
        .tempdir()?;
    fs::copy(
        root().join("examples/sessions-python/agent.py"),
        project.path().join("agent.py"),
    )?;
    show(
        &Demo::new(project.path(), &target, &agent_builds),
        "agent.py",
    )?;

    heading("a Rust agent");
    let project = tempfile::Builder::new()
        .prefix("agentcore-demo-")
        .tempdir()?;
    copy_rust_agent(
        &root().join("examples/sessions-rust"),
        &project.path().join("agent"),
        "",
    )?;
    show(&Demo::new(project.path(), &target, &agent_builds), "agent")?;

    heading("done");
    say("Both agents remembered their sessions, and no session saw another.");
    Ok(())
}

/// Configures, launches, invokes and stops the agent at `entrypoint`.
fn show(demo: &Demo, entrypoint: &str) -> Result<()> {
    demo.show(&[
        "configure",
        "--entrypoint",
        entrypoint,
        "--name",
        "demo-agent",
        "--non-interactive",
    ])?;
    let running = Running(demo);
    // Containers would need an image to start from, and a network to fetch it.
    demo.show(&["launch", "--local", "--detach", "--sandbox", "process"])?;
    // The agent counts the calls that its process has seen: a session finds its own, and no other's.
    demo.invoke("first-conversation", 1)?;
    demo.invoke("first-conversation", 2)?;
    demo.invoke("second-conversation", 1)?;
    demo.show(&["status", "--local"])?;
    running.stop()
}

/// The program, in the folder of a project.
struct Demo {
    project: PathBuf,
    programs: PathBuf,
    agent_builds: PathBuf,
}

impl Demo {
    fn new(project: &Path, target: &Path, agent_builds: &Path) -> Self {
        Self {
            project: project.to_owned(),
            programs: target.join("debug"),
            agent_builds: agent_builds.to_owned(),
        }
    }

    /// Shows one command and what it says, and returns its standard output.
    fn show(&self, args: &[&str]) -> Result<String> {
        let command = self.command(args);
        let shown = command.shown().to_owned();
        say(&format!("\n$ {shown}"));
        let output = command.telling().output()?;
        let answer = text(&output.stdout);
        if !answer.is_empty() {
            say(answer.trim_end());
        }
        if output.status.success() {
            Ok(answer)
        } else {
            Err(Failed(format!("`{shown}` failed ({})", output.status)))
        }
    }

    /// Invokes the agent in `session` and checks that it has seen `calls` calls there.
    fn invoke(&self, session: &str, calls: u64) -> Result<()> {
        let answer = self.show(&[
            "invoke",
            r#"{"prompt": "Remember this"}"#,
            "--session-id",
            session,
        ])?;
        let seen = serde_json::from_str::<Value>(&answer)
            .ok()
            .and_then(|it| it["count"].as_u64());
        if seen == Some(calls) {
            return Ok(());
        }
        Err(Failed(format!(
            "`{session}` should have seen {calls} calls, but the answer is {}",
            answer.trim()
        )))
    }

    fn command(&self, args: &[&str]) -> Cmd {
        let shown = Cmd::new("agentcore").args(args).shown().to_owned();
        Cmd::new(self.programs.join("agentcore"))
            .args(args.iter().map(OsStr::new))
            .env("CARGO_TARGET_DIR", &self.agent_builds)
            .dir(&self.project)
            .shown_as(&shown)
    }
}

/// An agent that may run: stopped also if the demo fails half-way. Stopping what does not run is no error.
struct Running<'a>(&'a Demo);

impl Running<'_> {
    fn stop(self) -> Result<()> {
        let stopped = self.0.show(&["stop", "--local"]);
        std::mem::forget(self);
        stopped.map(drop)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.command(&["stop", "--local"]).output().is_err() {
            say("The agent could not be stopped; run `agentcore stop --local` in its folder");
        }
    }
}
