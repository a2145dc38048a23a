//! Making the agent ready to start again and again, as the sandbox that was decided on needs it.
//!
//! For `--sandbox docker` everything that needs no engine comes first, so that what is wrong with the project is told, and
//! the Dockerfile is there, also where no engine answers.

use agentcore_local::SandboxSpec;

use super::container;
use super::process;
use super::sandbox::{Decision, Request};
use super::settings::Settings;
use crate::commands::signals::{Asked, Stage};
use crate::config::entrypoint::{Search, Target};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::services::image::BuiltImage;

/// An agent whose sandboxes can be started.
pub(super) struct Ready {
    /// What a sandbox runs.
    pub(super) spec: SandboxSpec,
    /// How sandboxes are kept apart, and why so.
    pub(super) decision: Decision,
    /// The image, if there is one.
    pub(super) image: Option<BuiltImage>,
}

/// Decides how sessions are kept apart, says so, and makes the agent ready, unless somebody asks for the end meanwhile.
///
/// # Errors
///
/// Fails if there is nothing to run at the entrypoint, if it cannot be built or served, or if there is no engine where
/// there must be one.
pub(super) fn sandbox(
    ctx: &Context,
    settings: &Settings,
    stage: &mut Stage,
) -> Result<Result<Ready, Asked>, CliError> {
    let target = target(settings)?;
    let mut written = None;
    if settings.sandbox == Request::Docker {
        written = Some(container::write(ctx, settings, &target)?);
    }
    let decision = stage.wait(settings.sandbox.decide(ctx))?;
    say(ctx, settings, &decision);
    let engine = match &decision {
        Decision::Process { .. } => {
            return Ok(Ok(Ready {
                spec: process::spec(ctx, settings, target)?,
                decision,
                image: None,
            }));
        }
        Decision::Docker(engine) => engine,
    };
    let recipe = match written {
        Some(recipe) => recipe,
        None => container::write(ctx, settings, &target)?,
    };
    let built = stage.wait_unless_asked(container::build(ctx, settings, engine, &recipe))?;
    let image = match built {
        Ok(built) => built?,
        Err(asked) => return Ok(Err(asked)),
    };
    Ok(Ok(Ready {
        spec: container::spec(ctx, settings, engine, &image).into(),
        image: Some(image),
        decision,
    }))
}

fn target(settings: &Settings) -> Result<Target, CliError> {
    let config = &settings.chosen.config;
    let path = &config.entrypoint.path;
    let shown = path.to_string();
    let search = Search {
        path: &path.in_project(&settings.chosen.project.root),
        shown: &shown,
        language: config.language,
        bin: config.bin.as_deref(),
        class: Kind::Configuration,
    };
    search.resolve()
}

/// What the user should know before the agent starts.
fn say(ctx: &Context, settings: &Settings, decision: &Decision) {
    let name = &settings.chosen.name;
    decision.say(ctx, name.as_str());
    if settings.chosen.config.authorizer.is_some() {
        ctx.printer.status(&format!(
            "The authorizer of `{name}` is not enforced on this machine yet."
        ));
    }
}
