//! What is written as an agent's entrypoint: a path, and for a Python file which app of it.
//!
//! Only the text is judged here; what the path is on the disk is `config::entrypoint`'s matter.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Invalid;
use super::path::ProjectPath;

/// An entrypoint of a project file: `agent.py`, `agent.py:app`, a folder, a `Cargo.toml` or a Rust source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entrypoint {
    /// Where it is in the project.
    pub(crate) path: ProjectPath,
    /// The name of the app in a Python file, if one is chosen.
    pub(crate) app: Option<String>,
}

/// Takes `file.py:app` apart; a text without an app is all path.
pub(crate) fn split_app(text: &str) -> Result<(&str, Option<&str>), Invalid> {
    let Some((path, app)) = text
        .rsplit_once(':')
        .filter(|(path, _)| Path::new(path).extension() == Some(OsStr::new("py")))
    else {
        return Ok((text, None));
    };
    if is_python_name(app) {
        return Ok((path, Some(app)));
    }
    Err(
        Invalid::new(format!("`{app}` in `{text}` is not a Python name"))
            .hint("name the app's variable after the colon, as in `agent.py:app`"),
    )
}

fn is_python_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

impl FromStr for Entrypoint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (path, app) = split_app(text)?;
        Ok(Self {
            path: path.parse()?,
            app: app.map(str::to_owned),
        })
    }
}

impl fmt::Display for Entrypoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.app {
            Some(app) => write!(f, "{}:{app}", self.path),
            None => write!(f, "{}", self.path),
        }
    }
}

impl Serialize for Entrypoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Entrypoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|invalid: Invalid| serde::de::Error::custom(invalid.in_lines()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_chosen_after_a_colon_of_a_python_file_only() {
        assert_eq!(split_app("agent.py:app"), Ok(("agent.py", Some("app"))));
        assert_eq!(split_app("a:b/agent.py"), Ok(("a:b/agent.py", None)));
        assert_eq!(split_app("odd:name"), Ok(("odd:name", None)));
        assert!(split_app("agent.py:").is_err());
        assert!(split_app("agent.py:1st").is_err());
        assert_eq!(
            "./a/agent.py:app"
                .parse::<Entrypoint>()
                .unwrap()
                .to_string(),
            "a/agent.py:app"
        );
    }
}
