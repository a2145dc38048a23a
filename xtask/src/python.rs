//! A Python with the official SDK and the packages that tests and measurements compare with.
//!
//! It lies under the target folder and is made once for a given list of packages; nothing of ours depends on it.

use std::fs;
use std::path::PathBuf;

use crate::sh::{Cmd, Result, say, target_dir};

/// What is installed, with exact versions.
const REQUIREMENTS: &str = include_str!("../python-peers.txt");

/// Returns the interpreter that has the packages of `python-peers.txt`, and makes it first if it is not there.
pub(crate) fn with_peers() -> Result<PathBuf> {
    let folder = target_dir()?.join("python-peers");
    let python = folder.join("bin/python");
    let stamp = folder.join("installed.txt");
    // The stamp is written last: a folder whose installation was cut short is made again.
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|it| it == REQUIREMENTS) {
        return Ok(python);
    }
    say("Installing the Python packages that tests and measurements compare with");
    Cmd::new("python3")
        .words("-m venv --clear")
        .args([&folder])
        .run()?;
    let list = crate::sh::root().join("xtask/python-peers.txt");
    Cmd::new(&python)
        .words("-m pip install --quiet --disable-pip-version-check -r")
        .args([&list])
        .run()?;
    fs::write(&stamp, REQUIREMENTS)?;
    Ok(python)
}
