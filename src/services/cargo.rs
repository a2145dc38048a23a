//! Building a Rust agent: cargo does it, and says in JSON where the executable is.
//!
//! Nothing is guessed about target folders or workspaces. What the compiler has to say goes to stderr as it comes; a build
//! for an image, which is static and may be for another machine, is `static_build`.

mod c_compiler;
mod linker;
mod said;
mod static_build;
mod target;

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use cargo_metadata::Message;

pub(crate) use self::static_build::{StaticBuild, StaticBuildError, Told};
use crate::error::CliError;

/// Why there is no executable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// There is no cargo, or it cannot be started.
    #[error("cannot run `cargo`")]
    Cargo(#[source] io::Error),
    /// The build failed; the compiler has said why.
    #[error("`cargo build` failed for `{}` ({status})", manifest.display())]
    Failed {
        /// The package that was to be built.
        manifest: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
    },
    /// Cargo's messages could not be read.
    #[error("cannot read what `cargo build` says")]
    Messages(#[source] io::Error),
    /// The build was done and gave no such executable.
    #[error("`cargo build` made no executable `{bin}`")]
    NoExecutable {
        /// The binary that was asked for.
        bin: String,
    },
}

/// Builds the binary `bin` of the package at `manifest` for release and returns the executable.
///
/// # Errors
///
/// Fails if cargo cannot be run, the build fails, or no such executable comes out of it.
pub(crate) fn build(manifest: &Path, bin: &str) -> Result<PathBuf, BuildError> {
    let mut child = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--message-format=json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .args(["--bin", bin])
        // Cargo reads `.cargo/config.toml` and the toolchain file from the folder that it runs in.
        .current_dir(manifest.parent().unwrap_or(Path::new("/")))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(BuildError::Cargo)?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let executable = find_executable(stdout, bin);
    let status = child.wait().map_err(BuildError::Cargo)?;
    if !status.success() {
        return Err(BuildError::Failed {
            manifest: manifest.to_owned(),
            status,
        });
    }
    executable
        .map_err(BuildError::Messages)?
        .ok_or_else(|| BuildError::NoExecutable {
            bin: bin.to_owned(),
        })
}

/// The last executable of the binary `bin` in cargo's messages, read to their end.
fn find_executable(messages: impl io::Read, bin: &str) -> io::Result<Option<PathBuf>> {
    let mut found = None;
    for message in Message::parse_stream(BufReader::new(messages)) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.is_bin()
            && artifact.target.name == bin
            && let Some(executable) = artifact.executable
        {
            found = Some(executable.into_std_path_buf());
        }
    }
    Ok(found)
}

impl From<BuildError> for CliError {
    fn from(error: BuildError) -> Self {
        let message = error.to_string();
        match error {
            BuildError::Cargo(cause) => Self::other(message)
                .caused_by(cause)
                .hint("install Rust (https://rustup.rs), or put `cargo` on the PATH"),
            BuildError::Failed { .. } => Self::other(message)
                .hint("repair what the compiler reports above and run the command again"),
            BuildError::Messages(cause) => Self::other(message).caused_by(cause),
            BuildError::NoExecutable { bin } => Self::other(message).hint(format!(
                "check the `[[bin]]` sections of the package for `{bin}`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_the_one_that_cargo_names_for_the_binary() {
        let artifact = |name: &str, kind: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"p","manifest_path":"/p/Cargo.toml","target":{{"kind":["{kind}"],"crate_types":["{kind}"],"name":"{name}","src_path":"/p/src/main.rs","edition":"2024","doc":true,"doctest":false,"test":true}},"profile":{{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false}},"features":[],"filenames":[],"executable":{executable},"fresh":false}}"#
            )
        };
        let messages = [
            artifact("agent", "lib", "null"),
            artifact("other", "bin", r#""/t/release/other""#),
            artifact("agent", "bin", r#""/t/release/agent""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ]
        .join("\n");
        let find = |bin| find_executable(messages.as_bytes(), bin).expect("messages are JSON");
        assert_eq!(find("agent"), Some("/t/release/agent".into()));
        assert_eq!(find("missing"), None);
    }
}
