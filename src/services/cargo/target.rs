//! The Rust target of an image: whether its standard library is installed, and installing it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::static_build::{OnTold, StaticBuildError, Told};

/// The target of a static program for the architecture that Rust calls `architecture`.
pub(super) fn triple(architecture: &str) -> String {
    format!("{architecture}-unknown-linux-musl")
}

/// Makes sure that the toolchain of the package in `folder` can compile for `target`, and returns the toolchain's folder.
///
/// # Errors
///
/// Fails if the target is missing and cannot be installed.
pub(super) async fn ensure(
    folder: &Path,
    target: &str,
    on_told: OnTold<'_>,
) -> Result<PathBuf, StaticBuildError> {
    let sysroot = PathBuf::from(ask_rustc(folder, &["--print", "sysroot"]).await?);
    if is_installed(folder, target).await? {
        return Ok(sysroot);
    }
    let missing = |reason: String| StaticBuildError::NoTarget {
        target: target.to_owned(),
        reason,
    };
    on_told(Told::Step(format!("rustup target add {target}")));
    let output = match run(folder, "rustup", &["target", "add", target]).await {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(missing("there is no `rustup` to install it".to_owned()));
        }
        Err(error) => return Err(missing(format!("`rustup` cannot be run: {error}"))),
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in said.lines() {
        on_told(Told::Line(line.to_owned()));
    }
    // Two launches at once ask for the same target: the other one may have been first, and `rustup` minds.
    let is_there = is_installed(folder, target).await?;
    if !output.status.success() && !is_there {
        let last = said.lines().rfind(|it| !it.trim().is_empty());
        return Err(missing(format!(
            "`rustup` failed: {}",
            last.unwrap_or("it does not say why")
        )));
    }
    if is_there {
        Ok(sysroot)
    } else {
        Err(missing(
            "`rustup` does not manage the `rustc` that is used".to_owned(),
        ))
    }
}

async fn is_installed(folder: &Path, target: &str) -> Result<bool, StaticBuildError> {
    let args = ["--print", "target-libdir", "--target", target];
    let library = PathBuf::from(ask_rustc(folder, &args).await?);
    Ok(library.is_dir())
}

async fn ask_rustc(folder: &Path, args: &[&str]) -> Result<String, StaticBuildError> {
    let output =
        run(folder, "rustc", args)
            .await
            .map_err(|error| StaticBuildError::NotStarted {
                program: "rustc",
                source: error,
            })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(StaticBuildError::Rustc(said.trim().to_owned()))
}

/// Runs a program in the package's folder, so that its toolchain file counts.
async fn run(folder: &Path, program: &str, args: &[&str]) -> io::Result<Output> {
    Command::new(OsStr::new(program))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
}
