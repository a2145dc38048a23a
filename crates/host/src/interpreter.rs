//! Which Python runs the agent: the search, and one question to the interpreter that was found.
//!
//! The order is what users expect of a tool: the one they name, the virtual environment that is active, the
//! `.venv` of the project, `python3`. An interpreter is asked who it is, so that a launcher shim is followed once.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::probe::{self, Answer, ProbeError};

/// The oldest Python that the native engine's package runs on.
pub const OLDEST: (u8, u8) = (3, 9);

/// A Python interpreter that has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// What the interpreter calls itself (`sys.executable`): the real one, where a launcher shim was found first.
    pub executable: PathBuf,
    /// Its version, as in `(3, 12, 1)`.
    pub version: (u8, u8, u8),
    /// The version of the official `bedrock-agentcore` distribution, if this interpreter can import it.
    pub official_sdk: Option<String>,
    /// The folder of packages installed with `--user`, which depends on the home folder.
    pub user_base: Option<PathBuf>,
    /// Where it was found.
    pub found_by: FoundBy,
}

/// Where an interpreter was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundBy {
    /// It was named.
    Given,
    /// The active virtual environment (`VIRTUAL_ENV`).
    VirtualEnv,
    /// The `.venv` of this folder.
    DotVenv(PathBuf),
    /// `python3` or `python` on `PATH`.
    Path,
}

/// Where to look. The environment is the caller's to read.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// An interpreter, a name to look up on `PATH`, or the folder of a virtual environment; nothing else is tried then.
    pub given: Option<PathBuf>,
    /// The value of `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// Folders whose `.venv` is tried, nearest first. The first is also where a launcher shim is run.
    pub folders: Vec<PathBuf>,
    /// The value of `PATH`.
    pub path: OsString,
}

/// Why there is no interpreter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterpreterError {
    /// Nothing was found where interpreters are looked for.
    #[error("no Python interpreter was found (tried {tried})")]
    NotFound {
        /// What was looked at, as a list for people.
        tried: String,
    },
    /// There is a file, and it does not answer as Python does.
    #[error("`{}` does not work as a Python interpreter: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
    /// Python, but too old.
    #[error("`{}` is Python {}.{}, and an agent needs Python {}.{} or newer", path.display(), version.0, version.1, OLDEST.0, OLDEST.1)]
    TooOld {
        /// The interpreter.
        path: PathBuf,
        /// Its version.
        version: (u8, u8, u8),
    },
    /// A named interpreter, or the active virtual environment, is not there.
    #[error("{what} has no Python interpreter: `{}` does not exist", path.display())]
    Missing {
        /// Who named it.
        what: &'static str,
        /// What was expected to exist.
        path: PathBuf,
    },
}

impl Interpreter {
    /// Finds the interpreter and asks it who it is (one child process, two where the first answer will not do).
    ///
    /// # Errors
    ///
    /// Fails if none is found, or if the one that takes precedence does not work or is too old. On `PATH`, `python`
    /// is tried when `python3` will not do.
    pub fn find(search: &Search) -> Result<Self, InterpreterError> {
        if let Some(given) = &search.given {
            let path = resolve_given(given, search)?;
            return Self::ask(&path, search, FoundBy::Given);
        }
        if let Some(environment) = &search.virtual_env {
            let path = in_environment(environment).ok_or_else(|| InterpreterError::Missing {
                what: "the active virtual environment (`VIRTUAL_ENV`)",
                path: environment.join("bin/python"),
            })?;
            return Self::ask(&path, search, FoundBy::VirtualEnv);
        }
        for folder in &search.folders {
            if let Some(path) = in_environment(&folder.join(".venv")) {
                return Self::ask(&path, search, FoundBy::DotVenv(folder.clone()));
            }
        }
        Self::on_path(search)
    }

    fn on_path(search: &Search) -> Result<Self, InterpreterError> {
        let mut first_failure = None;
        for path in ["python3", "python"]
            .iter()
            .filter_map(|name| look_up(name, search))
        {
            match Self::ask(&path, search, FoundBy::Path) {
                Ok(interpreter) => return Ok(interpreter),
                Err(failure) => first_failure = first_failure.or(Some(failure)),
            }
        }
        Err(first_failure.unwrap_or_else(|| InterpreterError::NotFound {
            tried: tried(search),
        }))
    }

    fn ask(path: &Path, search: &Search, found_by: FoundBy) -> Result<Self, InterpreterError> {
        let folder = search.folders.first().map(PathBuf::as_path);
        // Absolute, because the child starts in another folder.
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = absolute.as_path();
        let answer = probe::ask(path, folder, &search.path).map_err(|ProbeError(reason)| {
            InterpreterError::Unusable {
                path: path.to_owned(),
                reason,
            }
        })?;
        let Answer {
            executable,
            version,
            official_sdk,
            user_base,
        } = answer;
        let executable = executable.unwrap_or_else(|| path.to_owned());
        if (version.0, version.1) < OLDEST {
            return Err(InterpreterError::TooOld {
                path: executable,
                version,
            });
        }
        Ok(Self {
            executable,
            version,
            official_sdk,
            user_base,
            found_by,
        })
    }
}

impl InterpreterError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => {
                "install Python 3.9 or newer, or name an interpreter with `--python`"
            }
            Self::Unusable { .. } => "repair it, or name another interpreter with `--python`",
            Self::TooOld { .. } => {
                "create a virtual environment with a newer Python, or name one with `--python`"
            }
            Self::Missing { .. } => {
                "deactivate or recreate the virtual environment, or name an interpreter with `--python`"
            }
        }
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        write!(
            f,
            "Python {major}.{minor}.{patch} at `{}` ({})",
            self.executable.display(),
            self.found_by
        )
    }
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as told"),
            Self::VirtualEnv => f.write_str("the active virtual environment"),
            Self::DotVenv(folder) => write!(f, "the virtual environment of `{}`", folder.display()),
            Self::Path => f.write_str("found on PATH"),
        }
    }
}

fn resolve_given(given: &Path, search: &Search) -> Result<PathBuf, InterpreterError> {
    let is_bare_name = given.components().count() == 1 && !given.exists();
    if is_bare_name {
        let found = given.to_str().and_then(|name| look_up(name, search));
        return found.ok_or_else(|| InterpreterError::NotFound {
            tried: format!("`{}` on PATH", given.display()),
        });
    }
    if given.is_dir() {
        return in_environment(given).ok_or_else(|| InterpreterError::Missing {
            what: "the folder given as interpreter",
            path: given.join("bin/python"),
        });
    }
    if given.exists() {
        return Ok(given.to_owned());
    }
    Err(InterpreterError::Missing {
        what: "the path given as interpreter",
        path: given.to_owned(),
    })
}

fn in_environment(environment: &Path) -> Option<PathBuf> {
    ["bin/python", "bin/python3"]
        .iter()
        .map(|name| environment.join(name))
        .find(|path| path.exists())
}

fn look_up(name: &str, search: &Search) -> Option<PathBuf> {
    std::env::split_paths(&search.path)
        .filter(|folder| !folder.as_os_str().is_empty())
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn tried(search: &Search) -> String {
    let mut tried: Vec<String> = search
        .folders
        .iter()
        .map(|folder| format!("`{}`", folder.join(".venv").display()))
        .collect();
    tried.push("`python3` and `python` on PATH".to_owned());
    tried.join(", ")
}
