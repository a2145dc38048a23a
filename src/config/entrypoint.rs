//! What an entrypoint is on the disk: a Python file, or a binary of a Rust package.
//!
//! Nothing is built or run here but `cargo metadata`, which needs no network.

use std::fs;
use std::path::{Component, Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand, Package, TargetKind};

use crate::error::{CliError, Kind};
use crate::model::Invalid;
use crate::model::choices::Language;
use crate::model::path::ProjectPath;

/// The files that a folder of a Python agent is searched for.
const PYTHON_CANDIDATES: [&str; 4] = ["agent.py", "app.py", "main.py", "__main__.py"];

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A Python file.
    Python {
        /// The file, absolute.
        file: PathBuf,
    },
    /// A binary of a Rust package.
    Rust(RustTarget),
}

impl Target {
    /// What it is written in.
    pub(crate) fn language(&self) -> Language {
        match self {
            Self::Python { .. } => Language::Python,
            Self::Rust(_) => Language::Rust,
        }
    }
}

/// A binary of a Rust package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RustTarget {
    /// The package's `Cargo.toml`, absolute.
    pub(crate) manifest: PathBuf,
    /// The name of the package.
    pub(crate) package: String,
    /// The name of the binary.
    pub(crate) bin: String,
    /// Whether the package has other binaries.
    pub(crate) one_of_several: bool,
}

/// What is looked for, and how to speak of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    /// The file or folder, absolute and without an app's name.
    pub(crate) path: &'a Path,
    /// The same, as the user wrote it.
    pub(crate) shown: &'a str,
    /// The language, if somebody decided it.
    pub(crate) language: Option<Language>,
    /// The Rust binary, if somebody decided it.
    pub(crate) bin: Option<&'a str>,
    /// The class of a mistake: usage where it was typed, configuration where it was read from a file.
    pub(crate) class: Kind,
}

impl Search<'_> {
    /// Finds out what is at the path.
    ///
    /// # Errors
    ///
    /// Fails with the search's class if there is nothing that can run, or more than one thing.
    pub(crate) fn resolve(self) -> Result<Target, CliError> {
        let Self {
            path,
            shown,
            language,
            ..
        } = self;
        let metadata =
            fs::metadata(path).map_err(|error| self.wrong(missing(shown, self.class, &error)))?;
        let target = if metadata.is_dir() {
            self.in_folder()?
        } else {
            self.file()?
        };
        match (&target, language) {
            (Target::Python { .. }, Some(Language::Rust)) => Err(self.wrong(
                Invalid::new(format!("`{shown}` is not Rust")).hint("leave out `--language`"),
            )),
            (Target::Rust(_), Some(Language::Python)) => Err(self.wrong(
                Invalid::new(format!("`{shown}` is not Python")).hint("leave out `--language`"),
            )),
            (Target::Python { .. }, _) if self.bin.is_some() => Err(self.wrong(
                Invalid::new(format!(
                    "`{shown}` is a Python agent, which has no binaries"
                ))
                .hint("leave out `--bin`"),
            )),
            _ => Ok(target),
        }
    }

    /// The binaries to choose from, and which of them cargo itself would take; none if there is no choice, or somebody
    /// made it.
    ///
    /// # Errors
    ///
    /// Fails with the search's class if there is a package that cargo cannot read.
    pub(crate) fn binaries(self) -> Result<Option<Choice>, CliError> {
        let manifest = if self.path.is_dir() {
            self.path.join("Cargo.toml")
        } else {
            self.path.to_owned()
        };
        let is_package = manifest.ends_with("Cargo.toml") && manifest.is_file();
        if self.bin.is_some() || self.language == Some(Language::Python) || !is_package {
            return Ok(None);
        }
        let binaries = binaries(&self.cargo_metadata(&manifest)?, &manifest);
        let default = binaries.iter().position(|it| it.is_default);
        Ok((binaries.len() > 1).then(|| Choice {
            default: default.unwrap_or(0),
            names: binaries.into_iter().map(|it| it.name).collect(),
        }))
    }

    fn file(self) -> Result<Target, CliError> {
        let Self { path, shown, .. } = self;
        let extension = path.extension().and_then(|it| it.to_str());
        match extension {
            Some("py") => Ok(Target::Python { file: path.to_owned() }),
            Some("rs") => self.rust_source(),
            Some("toml") if path.ends_with("Cargo.toml") => self.rust_manifest(path, None),
            _ => Err(self.wrong(
                Invalid::new(format!("`{shown}` is neither a Python file nor part of a Rust package"))
                    .hint("give a `.py` file, a folder, a `Cargo.toml` or the source file of a Rust binary"),
            )),
        }
    }

    fn in_folder(self) -> Result<Target, CliError> {
        let Self {
            path,
            shown,
            language,
            ..
        } = self;
        let manifest = Some(path.join("Cargo.toml"))
            .filter(|it| it.is_file() && language != Some(Language::Python));
        let found: Vec<&str> = PYTHON_CANDIDATES
            .into_iter()
            .filter(|name| language != Some(Language::Rust) && path.join(name).is_file())
            .collect();
        match (manifest, found.as_slice()) {
            (Some(manifest), []) => self.rust_manifest(&manifest, None),
            (None, [name]) => Ok(Target::Python {
                file: path.join(name),
            }),
            (Some(_), _) => Err(self.wrong(
                Invalid::new(format!(
                    "`{shown}` holds a Rust package and {}",
                    found.join(", ")
                ))
                .hint("give the file, or decide with `--language`"),
            )),
            (None, []) => Err(self.wrong(
                Invalid::new(format!(
                    "`{shown}` holds no agent that is known by its name"
                ))
                .hint(format!(
                    "give the file; a folder is searched for {}, Cargo.toml",
                    PYTHON_CANDIDATES.join(", ")
                )),
            )),
            (None, [_, ..]) => Err(self.wrong(
                Invalid::new(format!(
                    "`{shown}` holds more than one agent: {}",
                    found.join(", ")
                ))
                .hint(format!(
                    "give the file, for example `{}`",
                    Path::new(shown).join(found[0]).display()
                )),
            )),
        }
    }

    fn rust_source(self) -> Result<Target, CliError> {
        let manifest = self
            .path
            .ancestors()
            .skip(1)
            .map(|it| it.join("Cargo.toml"))
            .find(|it| it.is_file());
        let manifest = manifest.ok_or_else(|| {
            self.wrong(
                Invalid::new(format!("`{}` belongs to no Rust package", self.shown))
                    .hint("there is no `Cargo.toml` in its folder or above it; make one with `cargo init`"),
            )
        })?;
        self.rust_manifest(&manifest, Some(self.path))
    }

    /// Chooses a binary of the package, or of the workspace's packages, whose manifest is at `manifest`.
    fn rust_manifest(self, manifest: &Path, source: Option<&Path>) -> Result<Target, CliError> {
        let metadata = self.cargo_metadata(manifest)?;
        let binaries = binaries(&metadata, manifest);
        let names = || {
            binaries
                .iter()
                .map(|it| it.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let is_wanted = |it: &&Binary| match (self.bin, source) {
            (Some(bin), _) => it.name == bin,
            (None, Some(source)) => same_file(&it.source, source),
            (None, None) => binaries.len() == 1 || it.is_default,
        };
        if let Some(binary) = binaries.iter().find(is_wanted) {
            return Ok(Target::Rust(RustTarget {
                manifest: binary.manifest.clone(),
                package: binary.package.clone(),
                bin: binary.name.clone(),
                one_of_several: binaries.len() > 1,
            }));
        }
        let shown = self.shown;
        Err(self.wrong(match (self.bin, source) {
            _ if binaries.is_empty() => {
                Invalid::new(format!("the Rust package of `{shown}` has no binary"))
                    .hint("add a `src/main.rs` that starts the agent")
            }
            (Some(bin), _) => Invalid::new(format!(
                "the Rust package of `{shown}` has no binary `{bin}`"
            ))
            .hint(format!("it has {}", names())),
            (None, Some(_)) => {
                Invalid::new(format!("`{shown}` is not the source file of a binary")).hint(format!(
                    "name one of the package's binaries with `--bin`: {}",
                    names()
                ))
            }
            (None, None) => Invalid::new(format!(
                "the Rust package of `{shown}` has several binaries: {}",
                names()
            ))
            .hint(format!(
                "choose one with `--bin`, for example `--bin {}`",
                binaries[0].name
            )),
        }))
    }

    fn cargo_metadata(self, manifest: &Path) -> Result<Metadata, CliError> {
        let mut command = MetadataCommand::new();
        command.manifest_path(manifest).no_deps();
        // In the package's folder, so that its own toolchain file counts.
        command.current_dir(manifest.parent().unwrap_or(Path::new(".")));
        command.exec().map_err(|error| match error {
            cargo_metadata::Error::CargoMetadata { stderr } => CliError::new(
                self.class,
                format!("cargo cannot read the package of `{}`", self.shown),
            )
            .details(stderr)
            .hint("correct its `Cargo.toml`"),
            cargo_metadata::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => {
                CliError::other(format!(
                    "`{}` is a Rust package, and there is no `cargo`",
                    self.shown
                ))
                .hint(
                    "install Rust from https://rustup.rs and make sure that `cargo` is in the PATH",
                )
            }
            other => CliError::other("`cargo metadata` failed").caused_by(other),
        })
    }

    fn wrong(self, invalid: Invalid) -> CliError {
        CliError::invalid(self.class, invalid)
    }
}

/// What there is to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) names: Vec<String>,
    /// The index of the one that is taken where nobody chooses.
    pub(crate) default: usize,
}

/// The files of `folder` that an agent may begin in, likelier ones first: those that are known by their names, and
/// where there are none, every Python file that is not a test or part of the packaging.
pub(crate) fn candidates(folder: &Path, language: Option<Language>) -> Vec<String> {
    let is_file = |name: &&str| folder.join(name).is_file();
    let python = PYTHON_CANDIDATES
        .into_iter()
        .filter(|_| language != Some(Language::Rust));
    let rust = Some("Cargo.toml").filter(|_| language != Some(Language::Python));
    let known: Vec<_> = python.chain(rust).filter(is_file).collect();
    if !known.is_empty() || language == Some(Language::Rust) {
        return known.into_iter().map(str::to_owned).collect();
    }
    let is_agent = |name: &String| {
        let stem = name.strip_suffix(".py").unwrap_or_default();
        let is_test = stem.starts_with("test_") || stem.ends_with("_test");
        let helps = ["", "setup", "conftest", "__init__"].contains(&stem);
        !is_test && !helps
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|it| it.path().is_file());
    let mut names: Vec<_> = files
        .filter_map(|it| it.file_name().into_string().ok())
        .filter(is_agent)
        .collect();
    names.sort();
    names
}

struct Binary {
    name: String,
    package: String,
    manifest: PathBuf,
    source: PathBuf,
    is_default: bool,
}

/// The binaries of the package at `manifest`; of every member, if that is the manifest of a workspace only.
fn binaries(metadata: &Metadata, manifest: &Path) -> Vec<Binary> {
    let its_own = metadata
        .packages
        .iter()
        .find(|it| same_file(it.manifest_path.as_std_path(), manifest));
    match its_own {
        Some(package) => binaries_of(package).collect(),
        None => metadata
            .workspace_packages()
            .into_iter()
            .flat_map(binaries_of)
            .collect(),
    }
}

fn binaries_of(package: &Package) -> impl Iterator<Item = Binary> {
    let targets = package
        .targets
        .iter()
        .filter(|it| it.kind.contains(&TargetKind::Bin));
    targets.map(|target| Binary {
        name: target.name.clone(),
        package: package.name.to_string(),
        manifest: package.manifest_path.clone().into_std_path_buf(),
        source: target.src_path.clone().into_std_path_buf(),
        is_default: package.default_run.as_ref() == Some(&target.name),
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn missing(shown: &str, class: Kind, error: &std::io::Error) -> Invalid {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            let hint = if class == Kind::Usage {
                "check the path; it is relative to the folder in which the command runs"
            } else {
                "correct `entrypoint` in the project file, relative to that file, or run `agentcore configure --entrypoint FILE`"
            };
            Invalid::new(format!("there is no `{shown}`")).hint(hint)
        }
        _ => Invalid::new(format!("cannot read `{shown}`: {error}")),
    }
}

/// The path that was typed as `text` in `cwd`, as the project at `root` stores it.
///
/// # Errors
///
/// Fails if it is outside the project.
pub(crate) fn path_in_project(text: &str, cwd: &Path, root: &Path) -> Result<ProjectPath, Invalid> {
    let path = without_dots(&cwd.join(text));
    let inside = path
        .strip_prefix(root)
        .map(Path::to_owned)
        .or_else(|error| {
            // The same folder may be reached by different names.
            let (path, root) = (
                fs::canonicalize(&path).map_err(|_| error.clone())?,
                fs::canonicalize(root).map_err(|_| error)?,
            );
            path.strip_prefix(root).map(Path::to_owned)
        });
    let outside = || {
        Invalid::new(format!("`{text}` is outside of the project's folder")).hint(format!(
            "move it below `{}`, or configure the agent in a folder above both",
            root.display()
        ))
    };
    let inside = inside.map_err(|_| outside())?;
    let inside = inside
        .to_str()
        .ok_or_else(|| Invalid::new(format!("the path `{text}` is not valid UTF-8")))?;
    if inside.is_empty() {
        Ok(ProjectPath::root())
    } else {
        inside.parse()
    }
}

/// Takes `.` and `..` out of an absolute path without asking the disk.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// The dependency file that the agent has when nobody names one: beside its code, else at the top of the project.
pub(crate) fn dependency_file(root: &Path, entrypoint: &ProjectPath) -> Option<ProjectPath> {
    let path = entrypoint.in_project(root);
    let beside = if path.is_dir() {
        path
    } else {
        path.parent()?.to_owned()
    };
    let folders = [beside.as_path(), root];
    let mut candidates = folders
        .into_iter()
        .flat_map(|folder| ["requirements.txt", "pyproject.toml"].map(|name| folder.join(name)));
    let found = candidates.find(|it| it.is_file())?;
    found.strip_prefix(root).ok()?.to_str()?.parse().ok()
}
