//! Finding and reading the project: the nearest folder upwards that holds a project file.

use std::fs;
use std::path::{Path, PathBuf};

use super::state::{State, StateStore};
use super::{toolkit, yaml};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::name::AgentName;
use crate::model::nearest;
use crate::model::project::{AgentConfig, ProjectFile};

/// The name of our project file.
pub(crate) const FILE_NAME: &str = ".agentcore.yaml";

/// One project, read.
#[derive(Debug)]
pub(crate) struct Project {
    /// The folder that the file's paths are relative to.
    pub(crate) root: PathBuf,
    /// What the file says.
    pub(crate) file: ProjectFile,
    /// Which file it is.
    pub(crate) origin: Origin,
    /// What could not be taken over from a toolkit file, in sentences.
    notes: Vec<String>,
    initial_state: State,
}

/// Which file a project was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `.agentcore.yaml`, with its text.
    Native {
        /// What is in the file, to the letter.
        text: String,
    },
    /// The Python toolkit's `.bedrock_agentcore.yaml`.
    Toolkit,
}

impl Project {
    /// Reads the project of `cwd`: the nearest folder upwards that holds a project file.
    ///
    /// # Errors
    ///
    /// Fails with class 3 if that file cannot be read or is wrong.
    pub(crate) fn find(cwd: &Path) -> Result<Option<Self>, CliError> {
        match cwd.ancestors().find(|folder| file_in(folder).is_some()) {
            Some(folder) => Self::in_folder(folder, cwd),
            None => Ok(None),
        }
    }

    /// Reads the project file of `folder` itself; its path is shown relative to `cwd` where it is below it.
    ///
    /// # Errors
    ///
    /// Fails with class 3 if the file cannot be read or is wrong.
    pub(crate) fn in_folder(folder: &Path, cwd: &Path) -> Result<Option<Self>, CliError> {
        let Some(path) = file_in(folder) else {
            return Ok(None);
        };
        let shown = shown(&path, cwd);
        let bytes = fs::read(&path).map_err(|error| {
            CliError::configuration(format!("cannot read `{shown}`"))
                .caused_by(error)
                .hint("check the permissions of the file")
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            CliError::configuration(format!("`{shown}` is not valid UTF-8"))
                .caused_by(error.utf8_error())
                .hint("save the file as UTF-8")
        })?;
        let root = folder.to_owned();
        if path.ends_with(toolkit::FILE_NAME) {
            let toolkit::Imported { file, state, notes } = toolkit::read(&text, &shown, folder)?;
            return Ok(Some(Self {
                root,
                file,
                origin: Origin::Toolkit,
                notes,
                initial_state: state,
            }));
        }
        let file: ProjectFile = yaml::read(&text, &shown)?;
        check_default_agent(&file, &shown)?;
        let origin = Origin::Native { text };
        Ok(Some(Self {
            root,
            file,
            origin,
            notes: Vec::new(),
            initial_state: State::default(),
        }))
    }

    /// The same as [`find`](Self::find) for commands that need a project; says what a toolkit file could not give.
    ///
    /// # Errors
    ///
    /// Fails with class 3 if there is no project, or its file is wrong.
    pub(crate) fn load_required(ctx: &Context) -> Result<Self, CliError> {
        let project = Self::find(&ctx.cwd)?.ok_or_else(|| {
            CliError::configuration(format!(
                "there is no `{FILE_NAME}` in this folder or above it"
            ))
            .hint("run `agentcore configure --entrypoint FILE` in your project's folder")
        })?;
        for note in &project.notes {
            ctx.printer.warn(note);
        }
        Ok(project)
    }

    /// The agent called `name`, or the default agent.
    ///
    /// # Errors
    ///
    /// Fails with class 5 if there is no such agent, and with class 2 if none is named and none is the default.
    pub(crate) fn agent(&self, name: Option<&str>) -> Result<(&AgentName, &AgentConfig), CliError> {
        let agents = &self.file.agents;
        match (name, &self.file.default_agent) {
            (Some(name), _) => self.named(name),
            (None, Some(default)) => self.named(default.as_str()),
            (None, None) if agents.len() == 1 => Ok(agents.first().expect("there is one agent")),
            (None, None) if agents.is_empty() => {
                Err(CliError::configuration("the project has no agents")
                    .hint("add one with `agentcore configure --entrypoint FILE`"))
            }
            (None, None) => Err(CliError::usage(
                "no agent is named, and the project has no default agent",
            )
            .hint(format!("name one with `--agent`: {}", self.names()))),
        }
    }

    /// Where the project's state is kept.
    pub(crate) fn state(&self) -> StateStore {
        StateStore::new(&self.root, self.initial_state.clone())
    }

    /// What the state is before anything is kept: what a toolkit file recorded.
    pub(crate) fn initial_state(&self) -> &State {
        &self.initial_state
    }

    /// What could not be taken over from a toolkit file, in sentences.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    fn named(&self, name: &str) -> Result<(&AgentName, &AgentConfig), CliError> {
        // Who configured `my-agent` was told of the underscore, and may still type the hyphen.
        let found = AgentName::typed(name)
            .ok()
            .and_then(|typed| self.file.agents.get_key_value(&typed.name));
        found.ok_or_else(|| {
            let error = CliError::new(Kind::NotFound, format!("the project has no agent `{name}`"));
            match nearest(name, self.file.agents.keys().map(AgentName::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None if self.file.agents.is_empty() => {
                    error.hint("add it with `agentcore configure`")
                }
                None => error.hint(format!("the project has: {}", self.names())),
            }
        })
    }

    fn names(&self) -> String {
        self.file
            .agents
            .keys()
            .map(AgentName::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The project file further up than `folder`, if there is one.
pub(crate) fn file_above(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().skip(1).find_map(file_in)
}

/// The project file of `folder`; ours before the toolkit's.
fn file_in(folder: &Path) -> Option<PathBuf> {
    [FILE_NAME, toolkit::FILE_NAME]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

/// How `path` is shown to a person who stands in `cwd`.
pub(crate) fn shown(path: &Path, cwd: &Path) -> String {
    match path.strip_prefix(cwd) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => below.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

pub(super) fn check_default_agent(file: &ProjectFile, shown: &str) -> Result<(), CliError> {
    let Some(default) = &file.default_agent else {
        return Ok(());
    };
    if file.agents.contains_key(default) {
        return Ok(());
    }
    let error = CliError::configuration(format!(
        "{shown}: `default_agent` names `{default}`, which is not in `agents`"
    ));
    Err(
        match nearest(default.as_str(), file.agents.keys().map(AgentName::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("name one of the agents, or remove the key"),
        },
    )
}
