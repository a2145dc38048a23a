//! `agentcore launch --local`: runs an agent on this machine behind a front door, one sandbox a session.
//!
//! This file has the order of things. What will happen is decided in `launch/settings` and `launch/sandbox`, making the
//! agent ready is `launch/prepare`, being the front door is `front_door`.

mod before;
mod container;
mod environment;
mod prepare;
mod process;
mod report;
mod sandbox;
mod settings;

use std::path::PathBuf;
use std::process::ExitCode;

use agentcore_host::EngineChoice;
use agentcore_local::{Limits, SandboxKind, SandboxSpec};

use self::before::Before;
use self::environment::EnvArg;
use self::prepare::Ready;
pub(super) use self::process::{build, python_search};
use self::report::LaunchReport;
use self::sandbox::{Decision, SandboxArg};
use self::settings::{Place, Settings};
use super::chosen::Chosen;
use super::front_door::{self, Watched};
use super::signals::{Asked, Stage};
use crate::context::Context;
use crate::error::CliError;
use crate::model::Invalid;
use crate::model::image::ImageReference;
use crate::services::local::detach::Background;
use crate::services::local::plan::{self, DEFAULT_PORTS, Plan, Port};
use crate::services::local::record::Record;

/// What was typed after `launch`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In the foreground it runs until Ctrl-C (exit code 130) or SIGTERM (exit code 0).\n\
        The Dockerfile of containers is `.agentcore/<agent>/Dockerfile`, unless the project has one of its own; what \
        the last build said is in `.agentcore/logs/<agent>.build.log`."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct LaunchArgs {
    /// Run this agent instead of the project's default
    #[arg(long, short, value_name = "NAME")]
    agent: Option<String>,
    /// Run the agent on this machine
    #[arg(long, short)]
    local: bool,
    /// Return when the agent is ready, and let it run in the background
    #[arg(long, short)]
    detach: bool,
    /// Listen on this port of 127.0.0.1, 0 for any free one [default: the first free one from 8080 to 8099]
    #[arg(long, short, value_parser = port, allow_negative_numbers = true)]
    port: Option<u16>,
    /// How sessions are kept apart
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    sandbox: SandboxArg,
    /// Keep this many sandboxes ready for sessions to come [default: 1 with containers, 0 with processes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16), allow_negative_numbers = true)]
    spares: Option<u16>,
    /// Build the image on this one instead of the project's or `python:X.Y-slim`; means containers
    #[arg(long, value_name = "IMAGE")]
    base_image: Option<ImageReference>,
    /// Replace the agent that runs already
    #[arg(long)]
    restart: bool,
    /// Run at most this many sessions at a time [default: what the free memory allows, at least 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_sandboxes: Option<u32>,
    /// Give the agent a variable; `NAME` alone takes its value from this shell
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<EnvArg>,
    /// Give the agent the variables of this file, one `NAME=VALUE` a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Give the agent the AWS credentials and the region of this shell
    #[arg(long)]
    aws_credentials: bool,
    /// Run a Python agent with this interpreter of this machine; means processes
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Serve a Python agent with this engine: auto, native or sdk
    #[arg(long, value_name = "ENGINE")]
    engine: Option<EngineChoice>,
}

pub(crate) fn run(ctx: &Context, args: LaunchArgs) -> Result<ExitCode, CliError> {
    let settings = Settings::resolve(args, ctx)?;
    let before = Before::of(&settings)?;
    let mut stage = Stage::new()?;
    let ready = match prepare::sandbox(ctx, &settings, &mut stage)? {
        Ok(ready) => ready,
        Err(asked) => {
            stage.leave();
            return Ok(asked.exit_code());
        }
    };
    before.end(ctx, &settings.chosen)?;
    if let (Decision::Docker(engine), Some(image)) = (&ready.decision, &ready.image)
        && before != Before::Nothing
        // Until just now the image of the build before was in use.
        && let Err(asked) =
            stage.wait_unless_asked(container::remove_earlier(&settings, engine, image))?
    {
        stage.leave();
        return Ok(asked.exit_code());
    }
    forget_session(&settings.chosen)?;
    let port = before.port(settings.port);
    let Ready {
        spec,
        decision,
        image,
    } = ready;
    let plan = make_plan(ctx, &settings, spec, decision.limits(&settings), port);
    let on_ready = |record: &Record| {
        let detached = settings.place == Place::Background;
        say_ready(ctx, record, port);
        let sandbox = decision.report(image.map(|it| it.tag));
        let report = LaunchReport::new(&settings.chosen, sandbox, detached, record);
        ctx.printer.report(&report)
    };
    match settings.place {
        Place::Foreground => {
            front_door::hold(ctx, stage, plan, Watched::ToTheEnd, on_ready).map(Asked::exit_code)
        }
        Place::Background => match detach(ctx, stage, &plan)? {
            Ok(record) => {
                on_ready(&record)?;
                ctx.printer.hint("see what it does with `agentcore logs --local --follow`, end it with `agentcore stop --local`");
                Ok(ExitCode::SUCCESS)
            }
            Err(asked) => Ok(asked.exit_code()),
        },
    }
}

/// A port as it is typed.
pub(super) fn port(text: &str) -> Result<u16, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(format!("`{text}` is not a port"))
            .hint("use a number from 1 to 65535, or 0 for any free port")
    })
}

/// A new launch has new sandboxes: no session of before can be continued.
fn forget_session(chosen: &Chosen) -> Result<(), CliError> {
    let state = chosen.project.state();
    state.make_folder()?;
    if chosen.state()?.local.last_session.is_some() {
        state.update(|it| it.agent_mut(&chosen.name).local.last_session = None)?;
    }
    Ok(())
}

fn make_plan(
    ctx: &Context,
    settings: &Settings,
    spec: SandboxSpec,
    limits: Limits,
    port: Port,
) -> Plan {
    let chosen = &settings.chosen;
    let aws = chosen.config.aws.as_ref();
    let text = |value: Option<String>, default: &str| value.unwrap_or_else(|| default.to_owned());
    let region = text(
        aws.and_then(|it| it.region.as_ref())
            .map(ToString::to_string),
        "us-west-2",
    );
    let account = text(
        aws.and_then(|it| it.account.as_ref())
            .map(ToString::to_string),
        "000000000000",
    );
    Plan {
        agent: chosen.name.to_string(),
        arn: plan::local_arn(&region, &account, chosen.name.as_str()),
        instance: plan::new_instance(),
        spec,
        limits,
        port,
        places: chosen.places(),
        orphan_mark: chosen.orphan_mark(),
        temp_dir: plan::temp_dir(ctx.env.temp_dir()),
    }
}

/// What is worth saying of a front door beyond its report.
fn say_ready(ctx: &Context, record: &Record, port: Port) {
    if port == Port::FirstFree && record.port != *DEFAULT_PORTS.start() {
        let taken = DEFAULT_PORTS.start();
        ctx.printer.status(&format!(
            "Port {taken} is in use; listening on {} instead.",
            record.port
        ));
    }
    for engine in &record.unseen {
        ctx.printer.warn(&format!(
            "containers of an earlier launch may be left on the Docker engine at {engine}, which does not answer"
        ));
        ctx.printer.hint(
            "start that engine; `agentcore stop --local` and the next launch look for them again",
        );
    }
}

/// Starts a front door in the background and waits until it is ready, or until somebody asks for the end.
fn detach(ctx: &Context, mut stage: Stage, plan: &Plan) -> Result<Result<Record, Asked>, CliError> {
    let program = process::this_program()?;
    // From here on, so that no signal finds the one that was started and not the one who waits for it.
    stage.listen()?;
    let (progress, starting) = (ctx.progress(), front_door::starting(&plan.agent));
    let starting = match &plan.spec.kind {
        // A container takes long enough to be announced where only lines are shown, too.
        SandboxKind::Container(_) => progress.begin(&starting),
        _ => progress.watch(&starting),
    };
    let mut background = stage.wait(Background::start(&program, plan))?;
    let waited = stage.wait_unless_asked(background.ready())?;
    if waited.is_err() {
        stage.wait(background.end());
    }
    drop(starting);
    match waited {
        Ok(ready) => Ok(Ok(ready?)),
        Err(asked) => Ok(Err(asked)),
    }
}
