//! A project of a test: files in a folder, and what the project file says.

use std::fs;
use std::path::{Path, PathBuf};

use agentcore_host::EngineChoice;

use super::super::{ImageError, Prepared, Recipe, Request, write};
use crate::config::entrypoint::{Search, Target};
use crate::config::env::Env;
use crate::error::{CliError, Kind};
use crate::model::image::ImageReference;
use crate::model::project::{AgentConfig, ProjectFile};

/// The plain function that serves everything here.
pub(super) const AGENT: &str = "\
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
def handle(payload):
    return {\"said\": payload}

if __name__ == \"__main__\":
    app.run()
";

/// A project with one agent, `my_agent`.
pub(super) struct Project {
    folder: tempfile::TempDir,
    yaml: String,
    pub(super) base: Option<ImageReference>,
    /// Where the host binaries are.
    pub(super) hosts: PathBuf,
    /// The variables of the shell.
    pub(super) variables: Vec<(String, String)>,
}

impl Project {
    /// A project of these files; `yaml` is what the project file says about the agent, a line each.
    pub(super) fn new(yaml: &[&str], files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Self {
            hosts: folder.path().join("no-hosts"),
            folder,
            yaml: yaml.join("\n    "),
            base: None,
            variables: Vec::new(),
        };
        for (path, text) in files {
            project.put(path, text);
        }
        project
    }

    pub(super) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub(super) fn recipe(&self) -> Result<Recipe, ImageError> {
        let config = self.config();
        let target = self.target(&config);
        let mut variables = self.variables.clone();
        let hosts = self.hosts.to_str().unwrap().to_owned();
        variables.push(("AGENTCORE_HOST_DIR".to_owned(), hosts));
        let pairs = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Recipe::of(&Request {
            agent: &"my_agent".parse().unwrap(),
            root: self.root(),
            config: &config,
            target: &target,
            engine: EngineChoice::Auto,
            base: self.base.as_ref(),
            env: &Env::from_variables(pairs),
            program: Path::new("/nowhere/agentcore"),
        })
    }

    pub(super) fn write(&self) -> Result<Prepared, ImageError> {
        write(self.recipe()?)
    }

    /// What the user is told of a project of which no image can be made.
    pub(super) fn refusal(&self) -> CliError {
        self.write().unwrap_err().into()
    }

    fn config(&self) -> AgentConfig {
        let yaml = format!("version: 1\nagents:\n  my_agent:\n    {}\n", self.yaml);
        let mut file: ProjectFile = crate::config::yaml::read(&yaml, ".agentcore.yaml").unwrap();
        file.agents.swap_remove_index(0).unwrap().1
    }

    fn target(&self, config: &AgentConfig) -> Target {
        let search = Search {
            path: &config.entrypoint.path.in_project(self.root()),
            shown: config.entrypoint.path.as_str(),
            language: config.language,
            bin: config.bin.as_deref(),
            class: Kind::Configuration,
        };
        search.resolve().unwrap()
    }
}
