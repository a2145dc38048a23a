//! What a process sandbox runs: a Rust agent is built, for a Python agent the interpreter is found and the engine decided,
//! once.

use std::path::{Path, PathBuf};

use agentcore_host::{Interpreter, Search, unpack_python_package};
use agentcore_local::SandboxSpec;

use super::settings::Settings;
use crate::config::entrypoint::{RustTarget, Target};
use crate::config::shared::Isolation;
use crate::context::Context;
use crate::error::CliError;
use crate::services::local::spec::{self, PythonLaunch};
use crate::services::{cargo, python};

/// What a process of the agent at `target` runs.
///
/// # Errors
///
/// Fails if it cannot be built or served.
pub(super) fn spec(
    ctx: &Context,
    settings: &Settings,
    target: Target,
) -> Result<SandboxSpec, CliError> {
    let chosen = &settings.chosen;
    let root = &chosen.project.root;
    let source = chosen.config.source.as_ref().map(|it| it.in_project(root));
    let variables = settings.variables.for_sandbox(ctx, Isolation::Process);
    match target {
        Target::Rust(target) => {
            let executable = build(ctx, &target)?;
            let package = target.manifest.parent().unwrap_or(root).to_owned();
            Ok(spec::rust(executable, source.unwrap_or(package), variables))
        }
        Target::Python { file } => {
            let source = source.unwrap_or_else(|| root.clone());
            let launch = python_launch(ctx, settings, file, source)?;
            spec::python(this_program()?, launch, variables)
                .map_err(|error| CliError::configuration(error.to_string()))
        }
    }
}

/// Builds a Rust agent and returns its executable.
pub(crate) fn build(ctx: &Context, target: &RustTarget) -> Result<PathBuf, CliError> {
    let RustTarget {
        manifest,
        package: _,
        bin,
        one_of_several: _,
    } = target;
    ctx.printer
        .status(&format!("Building `{bin}` for release."));
    Ok(cargo::build(manifest, bin)?)
}

/// The file of this program, to be started again.
pub(super) fn this_program() -> Result<PathBuf, CliError> {
    std::env::current_exe()
        .map_err(|error| CliError::other("cannot tell where this program is").caused_by(error))
}

/// Where an interpreter for the agent in `file` is looked for.
pub(crate) fn python_search(
    ctx: &Context,
    given: Option<&Path>,
    file: &Path,
    top: &Path,
) -> Search {
    Search {
        // A path is the shell's; a bare name is looked up.
        given: given.map(|it| {
            if it.components().count() > 1 {
                ctx.cwd.join(it)
            } else {
                it.to_owned()
            }
        }),
        virtual_env: ctx.env.virtual_env(),
        folders: python::folders(file, top),
        path: ctx.env.search_path(),
    }
}

fn python_launch(
    ctx: &Context,
    settings: &Settings,
    file: PathBuf,
    source_root: PathBuf,
) -> Result<PythonLaunch, CliError> {
    let Settings {
        chosen,
        python: given,
        engine,
        ..
    } = settings;
    let search = python_search(ctx, given.as_deref(), &file, &chosen.project.root);
    let interpreter = Interpreter::find(&search)?;
    let decision = engine.decide(&interpreter)?;
    ctx.printer.status(&decision.to_string());
    let state_dir = chosen.project.state();
    let cache = state_dir.make_folder()?.join("cache").join("python");
    let package_dir = unpack_python_package(&cache).map_err(|error| {
        CliError::other(format!("cannot write `{}`", cache.display())).caused_by(error)
    })?;
    let app = chosen.config.entrypoint.app.clone();
    Ok(PythonLaunch {
        file,
        app,
        source_root,
        engine: *engine,
        interpreter,
        package_dir,
    })
}
