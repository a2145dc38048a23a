//! What a container sandbox runs: the agent's image, written down and built, and how its containers are made.

use std::path::Path;

use agentcore_docker::{BuildEvent, Engine};
use agentcore_local::ContainerSpec;

use super::process;
use super::settings::Settings;
use crate::config::entrypoint::Target;
use crate::config::env::LISTEN;
use crate::config::shared::Isolation;
use crate::context::Context;
use crate::error::CliError;
use crate::services::image::{
    self, BuiltImage, ImageError, ImageIdentity, Prepared, Recipe, Request,
};
use crate::services::local::build_log::BuildLog;
use crate::services::local::plan;
use crate::ui::progress::{Told, plain};

/// What tells an agent that it is in a container.
const IN_CONTAINER: &str = "DOCKER_CONTAINER";
/// How many files that look like secrets are named.
const NAMED: usize = 5;

/// Writes down how the image is made; no engine is asked for anything.
///
/// # Errors
///
/// Fails if no image can be made from what the project says, or if its Dockerfile cannot be written.
pub(super) fn write(
    ctx: &Context,
    settings: &Settings,
    target: &Target,
) -> Result<Prepared, CliError> {
    let chosen = &settings.chosen;
    let recipe = Recipe::of(&Request {
        agent: &chosen.name,
        root: &chosen.project.root,
        config: &chosen.config,
        target,
        engine: settings.engine,
        base: settings.base_image.as_ref(),
        env: &ctx.env,
        program: &process::this_program()?,
    })?;
    Ok(image::write(recipe)?)
}

/// Builds the image, shows how far it is, and keeps all that is said in the agent's build log.
///
/// Dropped, it ends the build.
///
/// # Errors
///
/// Fails if the image cannot be built; the error shows the end of the log and where the whole of it is.
pub(super) async fn build(
    ctx: &Context,
    settings: &Settings,
    engine: &Engine,
    prepared: &Prepared,
) -> Result<BuiltImage, CliError> {
    say(ctx, prepared);
    let chosen = &settings.chosen;
    chosen.project.state().make_folder()?;
    let path = chosen.places().build_log();
    let mut log = BuildLog::create(&path).map_err(|error| {
        CliError::other(format!("cannot write `{}`", path.display())).caused_by(error)
    })?;
    let identity = identity(settings);
    let mut activity = ctx
        .progress()
        .begin(&format!("Building the image of `{}`", chosen.name));
    let mut on_event = |event: BuildEvent| {
        log.tell(&event);
        if let Some(told) = told(&event) {
            activity.tell(told);
        }
    };
    let built = image::build(engine, prepared, &identity, &mut on_event).await;
    drop(activity);
    built.map_err(|error| failure(error, prepared, &log))
}

/// Removes the images that were built before `image`, once nothing runs from them any more. What is still in use stays.
pub(super) async fn remove_earlier(settings: &Settings, engine: &Engine, image: &BuiltImage) {
    image::remove_earlier(engine, &identity(settings), &image.id).await;
}

/// How the containers of `image` are made.
pub(super) fn spec(
    ctx: &Context,
    settings: &Settings,
    engine: &Engine,
    image: &BuiltImage,
) -> ContainerSpec {
    let BuiltImage {
        id,
        tag: _,
        root,
        port,
    } = image;
    let mut env = settings.variables.for_sandbox(ctx, Isolation::Container);
    // An agent in the user's own image must listen where the engine reaches it, too.
    env.insert(IN_CONTAINER.to_owned(), "1".to_owned());
    env.insert(LISTEN.to_owned(), format!("0.0.0.0:{port}"));
    let project = project(settings);
    ContainerSpec {
        endpoint: engine.endpoint().clone(),
        image: id.clone(),
        port: *port,
        env,
        root: root.clone(),
        network: plan::network(Path::new(&project)),
        project,
        cpus: None,
        memory: ContainerSpec::MEMORY,
    }
}

/// What the user should know before the build.
fn say(ctx: &Context, prepared: &Prepared) {
    for note in prepared.notes() {
        ctx.printer.status(note);
    }
    let secrets = prepared.left_out_secrets();
    if secrets.is_empty() {
        return;
    }
    let mut names: Vec<String> = secrets
        .iter()
        .take(NAMED)
        .map(|it| format!("`{}`", plain(&it.to_string_lossy())))
        .collect();
    if secrets.len() > NAMED {
        names.push(format!("{} more", secrets.len() - NAMED));
    }
    ctx.printer.status(&format!(
        "Left out of the image, as they look like secrets: {}.",
        names.join(", ")
    ));
}

fn told(event: &BuildEvent) -> Option<Told<'_>> {
    match event {
        BuildEvent::Sent(bytes) => Some(Told::Sent(*bytes)),
        BuildEvent::Step {
            number,
            total,
            text,
        } => Some(Told::Step {
            number: *number,
            total: *total,
            text,
        }),
        BuildEvent::Output(line) => Some(Told::Output(line)),
        BuildEvent::Pull {
            image,
            current,
            total,
        } => Some(Told::Pull {
            image,
            current: *current,
            total: *total,
        }),
        _ => None,
    }
}

/// The end of the log belongs to a build that failed; an engine that failed speaks for itself.
fn failure(error: ImageError, prepared: &Prepared, log: &BuildLog) -> CliError {
    let failure = CliError::from(error);
    let end: Vec<String> = log.end().map(plain).collect();
    if failure.details_text().is_none() || end.is_empty() {
        return failure;
    }
    failure.details(end.join("\n")).hint(format!(
        "the whole build of `{}` is in `{}`",
        prepared.dockerfile().display(),
        log.path().display()
    ))
}

/// Whose image it is.
fn identity(settings: &Settings) -> ImageIdentity {
    let chosen = &settings.chosen;
    ImageIdentity {
        project: project(settings),
        agent: chosen.name.to_string(),
        mark: chosen.orphan_mark(),
    }
}

/// The project's folder, as a label.
fn project(settings: &Settings) -> String {
    let root = &settings.chosen.project.root;
    let root = root.canonicalize().unwrap_or_else(|_| root.clone());
    root.to_string_lossy().into_owned()
}
