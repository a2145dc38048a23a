//! The state beside a project: what launches and calls produced, in `.agentcore/state.json`.
//!
//! It is ours, not the user's: git ignores the folder, and losing the file loses nothing that cannot be found again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::write;
use crate::error::CliError;
use crate::model::name::AgentName;

/// The name of the folder, in the project's folder.
pub(crate) const FOLDER: &str = ".agentcore";

/// What is known of each agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct State {
    version: Version,
    #[serde(default)]
    agents: BTreeMap<AgentName, AgentState>,
}

/// The version of the file's form: 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Version;

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        1
    }
}

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if version == 1 {
            Ok(Self)
        } else {
            Err(format!(
                "its version is {version}, this program knows version 1"
            ))
        }
    }
}

/// What is known of one agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct AgentState {
    /// On this machine.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) local: LocalState,
    /// In the cloud.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) cloud: CloudState,
    /// What the Python toolkit had recorded of its resources, by its own keys, without its nulls.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) toolkit: Map<String, Value>,
}

/// An agent on this machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct LocalState {
    /// The session of the last successful call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_session: Option<String>,
}

/// An agent in the cloud.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct CloudState {
    /// The id of its runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The ARN of its runtime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arn: Option<String>,
    /// The session of the last successful call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_session: Option<String>,
}

impl State {
    /// What is known of `name`, if anything is.
    pub(crate) fn agent(&self, name: &AgentName) -> Option<&AgentState> {
        self.agents.get(name)
    }

    /// What is known of `name`, to change it.
    pub(crate) fn agent_mut(&mut self, name: &AgentName) -> &mut AgentState {
        self.agents.entry(name.clone()).or_default()
    }
}

/// The state of one project: where it is kept, and what it is while nothing is kept yet.
#[derive(Debug, Clone)]
pub(crate) struct StateStore {
    folder: PathBuf,
    initial: State,
}

impl StateStore {
    /// The state of the project at `root`; `initial` counts as long as there is no file.
    pub(crate) fn new(root: &Path, initial: State) -> Self {
        Self {
            folder: root.join(FOLDER),
            initial,
        }
    }

    /// Reads the state.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read or is damaged.
    pub(crate) fn load(&self) -> Result<State, CliError> {
        let path = self.file();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                CliError::configuration(format!("`{}` cannot be understood", path.display()))
                    .caused_by(error)
                    .hint("delete it: the next `launch` finds again what it knew of deployments")
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.initial.clone()),
            Err(error) => {
                Err(CliError::other(format!("cannot read `{}`", path.display())).caused_by(error))
            }
        }
    }

    /// Changes the state; of several writers each sees what the one before it wrote.
    ///
    /// # Errors
    ///
    /// Fails if the state cannot be read, or the folder cannot be written.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, CliError> {
        self.make_folder()?;
        let path = self.file();
        let failed = |error: io::Error| {
            CliError::other(format!("cannot write `{}`", path.display())).caused_by(error)
        };
        let lock = File::create(self.folder.join("state.lock")).map_err(failed)?;
        // Held until `lock` is dropped; a process that dies lets go of it too.
        lock.lock().map_err(failed)?;
        let before = self.load()?;
        let mut state = before.clone();
        let result = change(&mut state);
        if state != before || !path.exists() {
            let mut text =
                serde_json::to_vec_pretty(&state).map_err(|error| failed(error.into()))?;
            text.push(b'\n');
            write::replace(&path, &text).map_err(failed)?;
        }
        Ok(result)
    }

    /// Makes the folder, with the `.gitignore` that keeps it out of commits, and returns it.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be written.
    pub(crate) fn make_folder(&self) -> Result<&Path, CliError> {
        let ignore = self.folder.join(".gitignore");
        let made = fs::create_dir_all(&self.folder).and_then(|()| {
            if ignore.exists() {
                Ok(())
            } else {
                write::replace(&ignore, b"*\n")
            }
        });
        made.map_err(|error| {
            CliError::other(format!(
                "cannot write the folder `{}`",
                self.folder.display()
            ))
            .caused_by(error)
            .hint("check the permissions of the project's folder")
        })?;
        Ok(&self.folder)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("state.json")
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> AgentName {
        text.parse().unwrap()
    }

    #[test]
    fn parallel_writers_lose_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = StateStore::new(root.path(), State::default());
        std::thread::scope(|scope| {
            for index in 0..16 {
                let store = &store;
                scope.spawn(move || {
                    store
                        .update(|state| {
                            state
                                .agent_mut(&name(&format!("a{index}")))
                                .local
                                .last_session = Some(index.to_string());
                        })
                        .unwrap();
                });
            }
        });
        let state = store.load().unwrap();
        for index in 0..16 {
            let agent = state.agent(&name(&format!("a{index}"))).unwrap();
            assert_eq!(agent.local.last_session, Some(index.to_string()));
        }
        assert_eq!(
            fs::read_to_string(root.path().join(".agentcore/.gitignore")).unwrap(),
            "*\n"
        );
    }

    #[test]
    fn reading_creates_nothing_and_the_initial_state_counts_until_a_file_is_there() {
        let root = tempfile::tempdir().unwrap();
        let mut initial = State::default();
        initial.agent_mut(&name("a")).cloud.id = Some("a-0123456789".to_owned());
        let store = StateStore::new(root.path(), initial.clone());
        assert_eq!(store.load().unwrap(), initial);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

        store
            .update(|state| state.agent_mut(&name("b")).local.last_session = Some("s".to_owned()))
            .unwrap();
        let reread = StateStore::new(root.path(), State::default())
            .load()
            .unwrap();
        assert_eq!(reread.agent(&name("a")), initial.agent(&name("a")));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(FOLDER)).unwrap();
        fs::write(root.path().join(".agentcore/state.json"), "{").unwrap();
        let error = StateStore::new(root.path(), State::default())
            .load()
            .unwrap_err();
        assert!(error.hints()[0].starts_with("delete it"));
    }
}
