//! The `agentcore-host` program for containers: found in a folder that the user names, beside this program, or inside
//! it, and checked before it goes into an image.
//!
//! It is never built here: `cargo xtask hosts` does that, and releases carry both architectures
//! (feature `embed-hosts`).

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agentcore_docker::Architecture;

use super::elf::{Elf, Machine};
use crate::config::env;
use crate::error::CliError;

/// The folders that are looked in.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The one that the user names in the environment; nothing else is tried then.
    pub(crate) named: Option<PathBuf>,
    /// The one of this program.
    pub(crate) beside: PathBuf,
}

/// A program that runs in containers of one architecture.
#[derive(Debug)]
pub(crate) struct HostBinary {
    /// The program.
    pub(crate) bytes: Cow<'static, [u8]>,
}

/// Why there is no such program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostBinaryError {
    /// It was found nowhere.
    #[error("there is no `{name}`, which serves Python agents in containers (looked in {places})")]
    Missing {
        /// The name of the file.
        name: String,
        /// What was looked in, as a list for people.
        places: String,
    },
    /// It exists for x86-64 and 64-bit ARM only.
    #[error("Python agents run in containers of x86_64 and aarch64, and the Docker engine is {0}")]
    Architecture(String),
    /// There is a file, and it cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is a file, and it is not the program.
    #[error("`{}` cannot run in the container: {reason}", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Places {
    /// Finds the program for `architecture`.
    ///
    /// # Errors
    ///
    /// Fails if there is none, or the one that takes precedence is for another processor or needs a loader.
    pub(crate) fn find(&self, architecture: &Architecture) -> Result<HostBinary, HostBinaryError> {
        let wanted = Machine::named(architecture.rust())
            .ok_or_else(|| HostBinaryError::Architecture(architecture.rust().to_owned()))?;
        let name = file_name(architecture.rust());
        let folder = self.named.as_ref().unwrap_or(&self.beside);
        let path = folder.join(&name);
        match fs::read(&path) {
            Ok(bytes) => checked(Cow::Owned(bytes), wanted, &path),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(HostBinaryError::Unreadable {
                    path,
                    source: error,
                })
            }
            Err(_) => match embedded(wanted).filter(|_| self.named.is_none()) {
                Some(bytes) => checked(Cow::Borrowed(bytes), wanted, &path),
                None => Err(self.missing(name)),
            },
        }
    }

    fn missing(&self, name: String) -> HostBinaryError {
        let places = match &self.named {
            Some(named) => format!("`{}`, as `{}` says", named.display(), env::HOST_DIR),
            None => format!("`{}`", self.beside.display()),
        };
        HostBinaryError::Missing { name, places }
    }
}

/// What the file for the architecture that Rust calls `architecture` is called.
fn file_name(architecture: &str) -> String {
    format!("agentcore-host-{architecture}")
}

fn checked(
    bytes: Cow<'static, [u8]>,
    wanted: Machine,
    path: &Path,
) -> Result<HostBinary, HostBinaryError> {
    let unfit = |reason: String| HostBinaryError::Unfit {
        path: path.to_owned(),
        reason,
    };
    let elf =
        Elf::read(&bytes).map_err(|_| unfit("it is not a 64-bit Linux program".to_owned()))?;
    if elf.machine != wanted {
        return Err(unfit(format!(
            "it is for {}, and the container is {}",
            elf.machine.name(),
            wanted.name()
        )));
    }
    if !elf.is_static {
        return Err(unfit(
            "it is not static, and the image may not have its libraries".to_owned(),
        ));
    }
    Ok(HostBinary { bytes })
}

/// The program that this one carries, in a release.
#[cfg(feature = "embed-hosts")]
fn embedded(machine: Machine) -> Option<&'static [u8]> {
    // Built before (`cargo xtask hosts`), in the folder that the variable names when this program is compiled.
    macro_rules! host {
        ($name:literal) => {
            include_bytes!(concat!(
                env!(
                    "AGENTCORE_EMBED_HOSTS",
                    "the feature `embed-hosts` needs the absolute path of the folder with `agentcore-host-x86_64` and \
                     `agentcore-host-aarch64` in `AGENTCORE_EMBED_HOSTS`: run `cargo xtask hosts`"
                ),
                "/",
                $name
            ))
        };
    }
    match machine {
        Machine::X86_64 => Some(host!("agentcore-host-x86_64")),
        Machine::Aarch64 => Some(host!("agentcore-host-aarch64")),
        Machine::Other(_) => None,
    }
}

/// A program that was built without `embed-hosts` carries none.
#[cfg(not(feature = "embed-hosts"))]
fn embedded(_: Machine) -> Option<&'static [u8]> {
    None
}

impl From<HostBinaryError> for CliError {
    fn from(error: HostBinaryError) -> Self {
        let message = error.to_string();
        let hint = format!(
            "in a checkout of this program's source, run `cargo xtask hosts`; or set `{}` to the folder that holds it",
            env::HOST_DIR
        );
        match error {
            HostBinaryError::Missing { .. } | HostBinaryError::Unfit { .. } => Self::other(message)
                .hint(hint)
                .hint("or run each session in a process instead, with `--sandbox process`"),
            HostBinaryError::Unreadable { source, .. } => {
                Self::other(message).caused_by(source).hint(hint)
            }
            HostBinaryError::Architecture(_) => Self::new(crate::error::Kind::Engine, message)
                .hint("use another Docker engine, or `--sandbox process`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::program;
    use super::*;

    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;

    struct Folders {
        named: tempfile::TempDir,
        beside: tempfile::TempDir,
    }

    impl Folders {
        fn new() -> Self {
            Self {
                named: tempfile::tempdir().unwrap(),
                beside: tempfile::tempdir().unwrap(),
            }
        }

        fn places(&self, with_named: bool) -> Places {
            Places {
                named: with_named.then(|| self.named.path().to_owned()),
                beside: self.beside.path().to_owned(),
            }
        }
    }

    #[test]
    fn a_named_folder_comes_first_and_is_the_only_one() {
        let folders = Folders::new();
        let (here, there) = (
            program(X86_64, false),
            [program(X86_64, false), vec![1]].concat(),
        );
        fs::write(folders.beside.path().join("agentcore-host-x86_64"), &here).unwrap();
        let found = folders.places(false).find(&Architecture::X86_64).unwrap();
        assert_eq!(*found.bytes, here);

        let error = CliError::from(
            folders
                .places(true)
                .find(&Architecture::X86_64)
                .unwrap_err(),
        );
        assert!(error.to_string().contains("as `AGENTCORE_HOST_DIR` says"));

        fs::write(folders.named.path().join("agentcore-host-x86_64"), &there).unwrap();
        let found = folders.places(true).find(&Architecture::X86_64).unwrap();
        assert_eq!(*found.bytes, there);
    }

    #[test]
    #[cfg(not(feature = "embed-hosts"))]
    fn a_missing_program_says_where_it_comes_from() {
        let folders = Folders::new();
        let error = CliError::from(
            folders
                .places(false)
                .find(&Architecture::Aarch64)
                .unwrap_err(),
        );
        assert!(
            error
                .to_string()
                .starts_with("there is no `agentcore-host-aarch64`")
        );
        assert!(error.hints()[0].contains("cargo xtask hosts"));
        assert!(error.hints()[0].contains("AGENTCORE_HOST_DIR"));
    }

    #[test]
    fn a_program_that_cannot_run_there_is_refused_with_the_reason() {
        let cases = [
            (
                program(AARCH64, false),
                "it is for aarch64, and the container is x86_64",
            ),
            (
                program(X86_64, true),
                "it is not static, and the image may not have its libraries",
            ),
            (b"#!/bin/sh\n".to_vec(), "it is not a 64-bit Linux program"),
        ];
        for (bytes, reason) in cases {
            let folders = Folders::new();
            let path = folders.beside.path().join("agentcore-host-x86_64");
            fs::write(&path, bytes).unwrap();
            let error = folders
                .places(false)
                .find(&Architecture::X86_64)
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{}` cannot run in the container: {reason}", path.display())
            );
        }
    }

    #[test]
    fn an_engine_of_another_architecture_is_an_engine_error() {
        let error = Folders::new()
            .places(false)
            .find(&Architecture::parse("riscv64"))
            .unwrap_err();
        assert_eq!(CliError::from(error).kind(), crate::error::Kind::Engine);
    }
}
