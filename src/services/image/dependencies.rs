//! How the dependencies of a Python agent get into its image: by pip, before the agent's own files, so that a changed
//! line of code installs nothing again.
//!
//! Where pip needs the agent's own files, it runs after them.

use std::fs;
use std::path::Path;

use super::dockerfile::{copy, shell};
use super::pyproject::Pyproject;
use super::requirements::{Needs, folder_of};
use crate::model::Invalid;
use crate::model::path::ProjectPath;

/// pip in an image, where there is neither a cache nor another user to protect, and no newer pip to be told of.
const PIP: &str = "PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir --disable-pip-version-check";

/// What the dependencies of an agent are listed in; paths are those in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dependencies {
    /// There are none.
    None,
    /// A requirements file.
    Requirements {
        /// The file.
        file: ProjectPath,
        /// What pip needs to read it.
        needs: Needs,
    },
    /// A `pyproject.toml`.
    Pyproject {
        /// The file.
        file: ProjectPath,
        /// What it says.
        said: Pyproject,
    },
}

impl Dependencies {
    /// Reads the dependency file at `file` in `source`.
    ///
    /// # Errors
    ///
    /// Fails if it is neither a requirements file nor a `pyproject.toml`, or if an image could not be made from it.
    pub(super) fn of(source: &Path, file: ProjectPath) -> Result<Self, Invalid> {
        let path = file.in_project(source);
        if !path.is_file() {
            return Err(
                Invalid::new(format!("there is no dependency file `{file}`")).hint(
                    "correct `dependencies` in the project file, or leave it out if there are none",
                ),
            );
        }
        if file.as_str().chars().any(char::is_control) {
            return Err(Invalid::new(
                "the path of the dependency file has control characters",
            ));
        }
        if path.file_name().is_some_and(|it| it == "pyproject.toml") {
            let text = fs::read_to_string(&path)
                .map_err(|error| Invalid::new(format!("cannot read `{file}`: {error}")))?;
            let said = Pyproject::parse(&text, file.as_str())?;
            return Ok(Self::Pyproject { file, said });
        }
        match path.extension().and_then(|it| it.to_str()) {
            Some("txt" | "in") => {
                let needs = Needs::of(source, &file)?;
                Ok(Self::Requirements { file, needs })
            }
            _ => Err(
                Invalid::new(format!("`{file}` is no dependency file that pip reads"))
                    .hint("name a requirements file (`*.txt` or `*.in`) or a `pyproject.toml`"),
            ),
        }
    }

    /// The files and folders of the source that pip needs.
    pub(super) fn paths(&self) -> Vec<&ProjectPath> {
        match self {
            Self::None => Vec::new(),
            Self::Requirements { needs, .. } => needs.files.iter().chain(&needs.folders).collect(),
            Self::Pyproject { file, said } => said.is_package.then_some(file).into_iter().collect(),
        }
    }

    /// The instructions before the agent's files are copied; may be empty.
    pub(super) fn before_source(&self) -> String {
        match self {
            Self::Requirements { file, needs } if !needs.everything() => {
                let mut lines: Vec<String> = needs
                    .files
                    .iter()
                    .map(|it| copy(it.as_str(), &format!("/app/{it}")))
                    .collect();
                let folders = needs.folders.iter();
                lines.extend(folders.map(|it| copy(it.as_str(), &format!("/app/{it}/"))));
                lines.push(format!("RUN {}", install_file(file)));
                lines.join("\n")
            }
            Self::Pyproject { said, .. } if !said.requirements.is_empty() => {
                let list = said.requirements.iter().map(|it| shell(it));
                let list: Vec<_> = std::iter::once(format!("RUN {PIP} --"))
                    .chain(list.map(|it| format!("    {it}")))
                    .collect();
                list.join(" \\\n")
            }
            Self::None | Self::Requirements { .. } | Self::Pyproject { .. } => String::new(),
        }
    }

    /// The command that runs as root after the agent's files are copied, if there is one.
    pub(super) fn after_source(&self) -> Option<String> {
        match self {
            Self::Requirements { file, needs } if needs.everything() => {
                Some(format!("HOME=/root && {}", install_file(file)))
            }
            Self::Pyproject { file, said } if said.is_package => {
                let without = if said.is_dynamic { "" } else { "--no-deps " };
                let package = match folder_of(file) {
                    "" => "/tmp/source".to_owned(),
                    folder => format!("/tmp/source/{folder}"),
                };
                // A copy, because what builds a package leaves things beside its source.
                Some(format!(
                    "HOME=/root && cp -R /app /tmp/source && {PIP} {without}{} && rm -rf /tmp/source",
                    shell(&package)
                ))
            }
            Self::None | Self::Requirements { .. } | Self::Pyproject { .. } => None,
        }
    }

    /// What the user should know, if it costs time.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Requirements { file, needs } if needs.everything() => Some(format!(
                "`{file}` names the source itself, so every change of it installs the dependencies again."
            )),
            Self::Pyproject { file, said } if said.is_dynamic => Some(format!(
                "The dependencies of `{file}` are known only when it is built, so every change of the source installs them again."
            )),
            Self::Pyproject { file, said } if said.is_package => Some(format!(
                "`{file}` describes a package: it is installed in the image, its dependencies before it."
            )),
            Self::None | Self::Requirements { .. } | Self::Pyproject { .. } => None,
        }
    }
}

/// Runs pip in the folder of the requirements file, which is what relative paths in it are relative to.
fn install_file(file: &ProjectPath) -> String {
    let text = file.as_str();
    let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
    let install = format!("{PIP} -r {}", shell(name));
    if folder.is_empty() {
        install
    } else {
        format!("cd {} && {install}", shell(&format!("./{folder}")))
    }
}
