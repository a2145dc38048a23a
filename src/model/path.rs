//! Paths as a project file stores them: relative to the file, with forward slashes, never outside its folder.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use super::Invalid;

/// A path inside the project: normalised (`a/./b/../c` is `a/c`), `.` for the project's folder itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProjectPath(String);

text_value!(ProjectPath, as_str);

impl ProjectPath {
    /// The project's own folder.
    pub(crate) fn root() -> Self {
        Self(".".to_owned())
    }

    /// Whether this is the project's own folder.
    pub(crate) fn is_root(&self) -> bool {
        self.0 == "."
    }

    /// The path in the project at `root`, absolute if `root` is.
    pub(crate) fn in_project(&self, root: &Path) -> PathBuf {
        if self.is_root() {
            root.to_owned()
        } else {
            root.join(&self.0)
        }
    }
}

impl FromStr for ProjectPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut parts: Vec<&str> = Vec::new();
        if text.is_empty() {
            return Err(Invalid::new("the path is empty").hint("use `.` for the project's folder"));
        }
        for component in Path::new(text).components() {
            match component {
                Component::Normal(part) => parts.extend(part.to_str()),
                Component::CurDir => {}
                Component::ParentDir if !parts.is_empty() => drop(parts.pop()),
                Component::ParentDir => {
                    return Err(Invalid::new(format!("`{text}` is outside the project"))
                        .hint("keep everything that the agent needs in the project's folder"));
                }
                Component::RootDir | Component::Prefix(_) => {
                    return Err(Invalid::new(format!("`{text}` is an absolute path"))
                        .hint("write it relative to the project file"));
                }
            }
        }
        if parts.is_empty() {
            return Ok(Self::root());
        }
        Ok(Self(parts.join("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_stay_inside() {
        let normal = |text: &str| text.parse::<ProjectPath>().map(|path| path.to_string());
        assert_eq!(normal("./a//b/../c.py").as_deref(), Ok("a/c.py"));
        assert_eq!(normal(".").as_deref(), Ok("."));
        assert_eq!(normal("a/..").as_deref(), Ok("."));
        for outside in ["..", "../x", "a/../../x", "/abs", ""] {
            assert!(normal(outside).is_err(), "{outside}");
        }
    }
}
