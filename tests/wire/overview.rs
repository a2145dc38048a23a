//! Agents and commands as the overview page of the official SDK has them: every block of it in words of our own.
//!
//! The agents and what is asked of them are in `overview/`; those with a framework need the environment of the examples.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::exchange::Place;
use super::servers::{Process, Servers, start};
use super::table::{Server, Table};
use super::{PythonEngine, run};
use crate::frameworks;
use crate::live::Project;
use crate::support::{Home, python_with, workspace};

/// Agents of the overview on one engine.
struct Agents {
    engine: PythonEngine,
    /// The Python that has the official SDK.
    peers: PathBuf,
    /// The one that has Strands.
    frameworks: Option<PathBuf>,
}

impl Agents {
    fn command(&self, home: &Home, app: &str) -> Command {
        let engine = match self.engine {
            PythonEngine::Native => "native",
            PythonEngine::Sdk => "sdk",
        };
        let mut command = home.command(&["serve", "--engine", engine, "--python"]);
        match &self.frameworks {
            Some(python) if app.starts_with("strands") => {
                let folders = [python, &self.peers].map(|it| frameworks::packages_of(it));
                let model = workspace().join("examples/strands-python");
                let path = format!("{}:{}", model.display(), folders.join(":"));
                command.arg(python).env("PYTHONPATH", path);
            }
            _ => {
                command.arg(&self.peers);
            }
        }
        command.arg(folder().join(format!("{app}.py")));
        command
    }
}

impl Servers for Agents {
    type Running = Process;

    fn start(&self, app: &str) -> Result<Process, String> {
        let home = Home::new().env("PYTHONDONTWRITEBYTECODE", "1");
        let listen = format!("unix:{}", Process::socket_in(&home).display());
        let mut command = self.command(&home, app);
        command.env("AGENTCORE_LISTEN", listen);
        start(home, command)
    }

    fn place(&self, running: &Process) -> Place {
        Place::Unix(running.socket())
    }
}

#[test]
fn the_native_engine_runs_every_agent() {
    runs_every_agent(Server::Native, PythonEngine::Native);
}

#[test]
fn the_official_sdk_runs_every_agent() {
    runs_every_agent(Server::Sdk, PythonEngine::Sdk);
}

#[test]
fn every_command_is_accepted() {
    let project = Project::new();
    project.write(
        "my_agent.py",
        &std::fs::read_to_string(folder().join("synchronous.py")).unwrap(),
    );
    let configure = ["configure", "--entrypoint", "my_agent.py"];
    project
        .run(&[&configure[..], &["--name", "my-agent"]].concat())
        .says(&["`my_agent`"]);
    let authorizer = json!({ "customJWTAuthorizer": {
        "discoveryUrl": "https://id.example/.well-known/openid-configuration",
        "allowedClients": ["a-client"],
    }});
    let authorizer = authorizer.to_string();
    project
        .run(&[&configure[..], &["--authorizer-config", &authorizer]].concat())
        .expect_code(0);
    project.launch(&[]);
    let prompt = r#"{"prompt": "Hello"}"#;
    for more in [
        &[][..],
        &["--session-id", "conversation-123"],
        &["--session-id", "conversation-123"],
        &["--bearer-token", "a-token"],
    ] {
        let invoked = project.run(&[&["invoke", prompt], more].concat());
        let answer = "{\"result\": \"Heard: Hello\"}\n";
        assert_eq!(invoked.expect_code(0), answer, "{more:?}");
    }
}

/// Fails with everything that is wrong. Without Strands, its agents are left out, which is said.
fn runs_every_agent(server: Server, engine: PythonEngine) {
    let Some(peers) = python_with("bedrock_agentcore") else {
        return;
    };
    let frameworks = frameworks::python();
    let mut table = Table::read(&folder()).unwrap_or_else(|it| panic!("{it}"));
    if frameworks.is_none() {
        table.rows.retain(|row| !row.app.starts_with("strands"));
    }
    let agents = Agents {
        engine,
        peers,
        frameworks,
    };
    let failed = run::run(&table, server, &agents);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn folder() -> PathBuf {
    Path::new(workspace()).join("tests/wire/overview")
}
