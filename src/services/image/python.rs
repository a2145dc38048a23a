//! The Dockerfile of a Python agent.
//!
//! What changes least comes first: a changed line of code repeats one step.

use super::dockerfile::{exec, fill};
use super::recipe::PythonRecipe;
use crate::model::name::AgentName;

const TEMPLATE: &str = include_str!("../../../templates/python.Dockerfile");
const COPY_SOURCE: &str = "COPY --chown=10001:10001 . /app";
const USER: &str = "USER 10001:10001";

impl PythonRecipe {
    /// The Dockerfile of the image.
    pub(super) fn dockerfile(&self, agent: &AgentName) -> String {
        let source = match self.dependencies.after_source() {
            // Root, because the image's packages are root's.
            Some(command) => format!("{COPY_SOURCE}\nRUN {command}\n{USER}"),
            None => format!("{USER}\n{COPY_SOURCE}"),
        };
        fill(
            TEMPLATE,
            &[
                ("agent", agent.as_str()),
                ("base", self.base.as_str()),
                ("dependencies", &self.dependencies.before_source()),
                ("entrypoint", &exec(&self.command())),
                ("source", &source),
            ],
        )
    }

    /// What the image runs.
    fn command(&self) -> Vec<String> {
        // A file called `-x.py` is no flag.
        let prefix = if self.file.starts_with('-') { "./" } else { "" };
        let mut entrypoint = format!("{prefix}{}", self.file);
        if let Some(app) = &self.app {
            entrypoint = format!("{entrypoint}:{app}");
        }
        let engine = self.engine.to_string();
        [
            "/usr/local/bin/agentcore-host",
            "serve",
            &entrypoint,
            "--source-root",
            "/app",
            "--engine",
            &engine,
            // The image's own: a virtual environment among the copied files was made for another machine.
            "--python",
            "python3",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}
