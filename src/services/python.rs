//! The Python behind an agent: asked once who it is, and described to whoever starts it later, so that nobody asks again.

use std::path::{Path, PathBuf};

use agentcore_host::{FoundBy, Interpreter, InterpreterError, SdkMissing};
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// What is known of an interpreter, in a form that travels to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Described {
    executable: PathBuf,
    version: (u8, u8, u8),
    #[serde(skip_serializing_if = "Option::is_none")]
    official_sdk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_base: Option<PathBuf>,
}

/// The folders whose virtual environment an agent in `file` may use, nearest first: its own, up to `top`, and `top`.
pub(crate) fn folders(file: &Path, top: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = file
        .ancestors()
        .skip(1)
        .take_while(|it| it.starts_with(top))
        .map(Path::to_owned)
        .collect();
    if folders.is_empty() {
        folders.extend(file.parent().map(Path::to_owned));
        folders.push(top.to_owned());
    }
    folders
}

impl From<Interpreter> for Described {
    fn from(interpreter: Interpreter) -> Self {
        let Interpreter {
            executable,
            version,
            official_sdk,
            user_base,
            found_by: _,
        } = interpreter;
        Self {
            executable,
            version,
            official_sdk,
            user_base,
        }
    }
}

impl From<Described> for Interpreter {
    fn from(described: Described) -> Self {
        let Described {
            executable,
            version,
            official_sdk,
            user_base,
        } = described;
        Self {
            executable,
            version,
            official_sdk,
            user_base,
            found_by: FoundBy::Given,
        }
    }
}

impl From<InterpreterError> for CliError {
    fn from(error: InterpreterError) -> Self {
        let hint = match &error {
            // A flag may have named it, or a virtual environment that is active or stands beside the agent.
            InterpreterError::Missing { .. } => {
                "check the path, or deactivate or recreate the virtual environment"
            }
            _ => error.hint(),
        };
        Self::other(error.to_string()).hint(hint)
    }
}

impl From<SdkMissing> for CliError {
    fn from(error: SdkMissing) -> Self {
        Self::configuration(error.to_string()).hint(error.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_environments_are_looked_for_from_the_file_up() {
        let folders = |file, top| folders(Path::new(file), Path::new(top));
        assert_eq!(
            folders("/p/a/b/agent.py", "/p"),
            ["/p/a/b", "/p/a", "/p"].map(PathBuf::from)
        );
        assert_eq!(folders("/p/agent.py", "/p"), ["/p"].map(PathBuf::from));
        assert_eq!(
            folders("/elsewhere/agent.py", "/p"),
            ["/elsewhere", "/p"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_description_carries_everything_that_was_asked() {
        let described = Described {
            executable: "/usr/bin/python3".into(),
            version: (3, 12, 1),
            official_sdk: Some("1.25.0".into()),
            user_base: Some("/home/me/.local".into()),
        };
        let text = serde_json::to_string(&described).expect("it is plain data");
        let read: Described = serde_json::from_str(&text).expect("it was just written");
        assert_eq!(Described::from(Interpreter::from(read)), described);
    }
}
