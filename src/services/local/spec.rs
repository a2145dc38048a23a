//! What one process sandbox runs: the command line of an agent, made ready by `launch`.
//!
//! A Python agent is served by this program's own `serve`, told everything that was found out already; a Rust agent is
//! its executable.

use std::path::{Path, PathBuf};

use agentcore_host::{EngineChoice, Interpreter};
use agentcore_local::{ProcessSpec, SandboxSpec};

use super::environment::Variables;
use crate::services::python::Described;

/// A Python agent that is ready to be served.
#[derive(Debug)]
pub(crate) struct PythonLaunch {
    /// The file.
    pub(crate) file: PathBuf,
    /// The app in it, if one is chosen.
    pub(crate) app: Option<String>,
    /// The folder that is importable beside the file's own.
    pub(crate) source_root: PathBuf,
    /// Which engine is wanted.
    pub(crate) engine: EngineChoice,
    /// What runs it.
    pub(crate) interpreter: Interpreter,
    /// Where the worker's package is.
    pub(crate) package_dir: PathBuf,
}

/// A path that cannot be part of a command line.
#[derive(Debug, thiserror::Error)]
#[error("the path `{}` is not valid UTF-8", .0.display())]
pub(crate) struct NotText(PathBuf);

/// What runs a Python agent; `program` is this program.
///
/// # Errors
///
/// Fails if a path is not UTF-8.
pub(crate) fn python(
    program: PathBuf,
    launch: PythonLaunch,
    mut env: Variables,
) -> Result<SandboxSpec, NotText> {
    let PythonLaunch {
        file,
        app,
        source_root,
        engine,
        interpreter,
        package_dir,
    } = launch;
    let mut entrypoint = text(&file)?;
    if let Some(app) = app {
        entrypoint = format!("{entrypoint}:{app}");
    }
    // In a sandbox HOME is another folder, and with it the place of packages that were installed with `--user`.
    if let Some(base) = &interpreter.user_base {
        env.entry("PYTHONUSERBASE".to_owned())
            .or_insert(text(base)?);
    }
    // What an agent prints belongs in the log when it is printed.
    env.entry("PYTHONUNBUFFERED".to_owned())
        .or_insert_with(|| "1".to_owned());
    let described =
        serde_json::to_string(&Described::from(interpreter)).map_err(|_| NotText(file))?;
    let args = vec![
        // What it would say of itself, the front door says of the sandbox.
        "--quiet".to_owned(),
        "serve".to_owned(),
        entrypoint,
        "--engine".to_owned(),
        engine.to_string(),
        "--source-root".to_owned(),
        text(&source_root)?,
        "--package-dir".to_owned(),
        text(&package_dir)?,
        "--interpreter".to_owned(),
        described,
    ];
    Ok(ProcessSpec {
        program,
        args,
        cwd: source_root,
        env,
    }
    .into())
}

/// What runs a Rust agent.
pub(crate) fn rust(executable: PathBuf, cwd: PathBuf, env: Variables) -> SandboxSpec {
    ProcessSpec {
        program: executable,
        args: Vec::new(),
        cwd,
        env,
    }
    .into()
}

fn text(path: &Path) -> Result<String, NotText> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| NotText(path.to_owned()))
}
