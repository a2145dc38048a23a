//! Pythons with packages that tests and measurements need: the official SDK and what else ours is compared with, and the
//! frameworks of the examples.
//!
//! They lie under the target folder, each made once for a given list of packages; nothing of ours depends on them.

use std::fs;
use std::path::PathBuf;

use crate::sh::{Cmd, Result, root, say, target_dir};

/// The examples that need packages.
const FRAMEWORKS: [&str; 3] = ["langgraph-python", "pydantic-ai-python", "strands-python"];

/// Returns the interpreter that has the packages of `python-peers.txt`, and makes it first if it is not there.
pub(crate) fn with_peers() -> Result<PathBuf> {
    let list = root().join("xtask/python-peers.txt");
    let what = "the Python packages that tests and measurements compare with";
    environment("python-peers", what, &[list])
}

/// The same for robyn, which measurements compare with and nothing else does.
pub(crate) fn with_robyn() -> Result<PathBuf> {
    let list = root().join("xtask/python-robyn.txt");
    environment(
        "python-robyn",
        "robyn, which measurements compare with",
        &[list],
    )
}

/// The same for what the examples with a framework require, all in one environment: most of it they have in common.
pub(crate) fn with_frameworks() -> Result<PathBuf> {
    let lists = FRAMEWORKS.map(|it| root().join("examples").join(it).join("requirements.txt"));
    environment(
        "python-frameworks",
        "the frameworks of the examples",
        &lists,
    )
}

/// An interpreter with no packages, which is all that ours needs.
pub(crate) fn alone() -> Result<PathBuf> {
    environment("python-alone", "a Python without packages", &[])
}

/// The interpreter of the environment `name`, with the packages of the requirements files `lists`.
fn environment(name: &str, what: &str, lists: &[PathBuf]) -> Result<PathBuf> {
    let folder = target_dir()?.join(name);
    let python = folder.join("bin/python");
    let stamp = folder.join("installed.txt");
    let requirements = lists
        .iter()
        .map(fs::read_to_string)
        .collect::<std::io::Result<String>>()?;
    // The stamp is written last: a folder whose installation was cut short is made again.
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|it| it == requirements) {
        return Ok(python);
    }
    say(&format!("Installing {what}"));
    Cmd::new("python3")
        .words("-m venv --clear")
        .args([&folder])
        .run()?;
    if !lists.is_empty() {
        let install = Cmd::new(&python).words("-m pip install --quiet --disable-pip-version-check");
        let install = lists
            .iter()
            .fold(install, |it, list| it.words("-r").args([list]));
        install.run()?;
    }
    fs::write(&stamp, requirements)?;
    Ok(python)
}
