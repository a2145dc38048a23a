//! `agentcore launch --local`: runs an agent on this machine behind a front door, one sandbox a session.
//!
//! This file decides what will run; making the agent ready is `launch/prepare`, being the front door is `front_door`.

mod environment;
mod prepare;
mod report;
mod sandbox;

use std::path::PathBuf;
use std::process::ExitCode;

use agentcore_host::EngineChoice;
use agentcore_local::{Limits, SandboxSpec};

use self::environment::EnvArg;
pub(super) use self::prepare::{build, python_search};
use self::report::LaunchReport;
use self::sandbox::{SandboxArg, SandboxKind};
use super::chosen::Chosen;
use super::front_door::{self, Watched};
use super::signals::{Asked, Signals};
use crate::context::Context;
use crate::error::CliError;
use crate::model::Invalid;
use crate::model::choices::{Engine, Protocol};
use crate::model::lifecycle::{Lifecycle, SessionSeconds};
use crate::services::local::ask;
use crate::services::local::detach::Background;
use crate::services::local::door::DoorError;
use crate::services::local::environment::Variables;
use crate::services::local::plan::{self, DEFAULT_PORTS, Plan, Port};
use crate::services::local::record::{Presence, Record};
use crate::services::local::stop;

/// What was typed after `launch`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "In the foreground it runs until Ctrl-C (exit code 130) or SIGTERM (exit code 0)."
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
    /// Run a Python agent with this interpreter
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Serve a Python agent with this engine: auto, native or sdk
    #[arg(long, value_name = "ENGINE")]
    engine: Option<EngineChoice>,
}

/// What will happen.
#[derive(Debug)]
struct Settings {
    chosen: Chosen,
    sandbox: SandboxKind,
    place: Place,
    restart: bool,
    port: Option<u16>,
    limits: Limits,
    variables: Variables,
    python: Option<PathBuf>,
    engine: EngineChoice,
}

/// Where the front door runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Foreground,
    Background,
}

pub(crate) fn run(ctx: &Context, args: LaunchArgs) -> Result<ExitCode, CliError> {
    let settings = Settings::resolve(args, ctx)?;
    let before = running(&settings)?;
    settings.say(ctx);
    let spec = prepare::sandbox(ctx, &settings)?;
    if before != Before::Nothing {
        ctx.printer.status("Stopping the one that runs.");
        stop::stop(&settings.chosen.places(), &settings.chosen.orphan_mark())?;
    }
    let Settings {
        chosen,
        sandbox,
        place,
        port,
        limits,
        ..
    } = settings;
    forget_session(&chosen)?;
    let port = match (port, before) {
        (Some(port), _) => Port::Only(port),
        (None, Before::Running(record)) => Port::Preferably(record.port),
        (None, Before::Starting | Before::Nothing) => Port::FirstFree,
    };
    let plan = make_plan(ctx, &chosen, spec, limits, port);
    let on_ready = |record: &Record| {
        if port == Port::FirstFree && record.port != *DEFAULT_PORTS.start() {
            let taken = DEFAULT_PORTS.start();
            ctx.printer.status(&format!(
                "Port {taken} is in use; listening on {} instead.",
                record.port
            ));
        }
        ctx.printer.report(&LaunchReport::new(
            &chosen,
            sandbox,
            place == Place::Background,
            record,
        ))
    };
    match place {
        Place::Foreground => front_door::hold(ctx, plan, Watched::ToTheEnd, on_ready).map(Asked::exit_code),
        Place::Background => detach(&plan).and_then(|started| match started {
            Started::Ready(record) => {
                on_ready(&record)?;
                ctx.printer.hint("see what it does with `agentcore logs --local --follow`, end it with `agentcore stop --local`");
                Ok(ExitCode::SUCCESS)
            }
            Started::CalledOff(asked) => Ok(asked.exit_code()),
        }),
    }
}

/// A port as it is typed.
pub(super) fn port(text: &str) -> Result<u16, Invalid> {
    text.parse().map_err(|_| {
        Invalid::new(format!("`{text}` is not a port"))
            .hint("use a number from 1 to 65535, or 0 for any free port")
    })
}

impl Settings {
    fn resolve(args: LaunchArgs, ctx: &Context) -> Result<Self, CliError> {
        let LaunchArgs {
            agent,
            local,
            detach,
            port,
            sandbox,
            restart,
            max_sandboxes,
            env,
            env_file,
            aws_credentials,
            python,
            engine,
        } = args;
        if !local {
            return Err(
                CliError::usage("this version runs agents on this machine only")
                    .hint("add `--local`"),
            );
        }
        let chosen = Chosen::resolve(ctx, agent.as_deref())?;
        let config = &chosen.config;
        if let Some(protocol) = config.protocol.filter(|it| *it != Protocol::Http) {
            let message = format!(
                "`{}` speaks {}, and this version runs only HTTP agents",
                chosen.name,
                protocol.as_str()
            );
            return Err(CliError::configuration(message)
                .hint("run its file without AgentCore, or write `protocol: HTTP` if it has `/invocations`"));
        }
        let given = environment::Given {
            env,
            files: env_file,
            aws_credentials,
        };
        let variables = given.resolve(ctx, config.environment.as_ref())?;
        let engine = engine.unwrap_or(match config.engine {
            None | Some(Engine::Auto) => EngineChoice::Auto,
            Some(Engine::Native) => EngineChoice::Native,
            Some(Engine::Sdk) => EngineChoice::Sdk,
        });
        Ok(Self {
            sandbox: sandbox.decide()?,
            place: if detach {
                Place::Background
            } else {
                Place::Foreground
            },
            restart,
            port,
            limits: limits(config.lifecycle.unwrap_or_default(), max_sandboxes),
            variables,
            python,
            engine,
            chosen,
        })
    }

    /// What the user should know before the agent starts.
    fn say(&self, ctx: &Context) {
        let name = &self.chosen.name;
        ctx.printer.status(&format!(
            "Each session of `{name}` gets a process of its own: {}.",
            self.sandbox.reason
        ));
        ctx.printer
            .status("A process is no security boundary: the agent can do whatever you can do.");
        if self.chosen.config.authorizer.is_some() {
            ctx.printer.status(&format!(
                "The authorizer of `{name}` is not enforced on this machine yet."
            ));
        }
    }
}

fn limits(lifecycle: Lifecycle, max_sandboxes: Option<u32>) -> Limits {
    let Lifecycle {
        idle_timeout,
        max_lifetime,
    } = lifecycle;
    let lifetime = max_lifetime.unwrap_or(SessionSeconds::DEFAULT_LIFETIME);
    // A lifetime that is shorter than the default idle time makes both the same, as the service does.
    let idle = idle_timeout.unwrap_or(SessionSeconds::DEFAULT_IDLE.min(lifetime));
    let max_sandboxes = max_sandboxes.map_or_else(Limits::default_max_sandboxes, |it| {
        usize::try_from(it).unwrap_or(usize::MAX)
    });
    Limits {
        max_sandboxes,
        idle_timeout: idle.duration(),
        max_lifetime: lifetime.duration(),
        ..Limits::default()
    }
}

/// What runs already, and is to be replaced.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Starting,
    Running(Record),
}

/// Tells what runs already.
///
/// # Errors
///
/// Fails if something does and is not to be replaced.
fn running(settings: &Settings) -> Result<Before, CliError> {
    let Settings {
        chosen, restart, ..
    } = settings;
    let before = match chosen.places().look().map_err(DoorError::State)? {
        Presence::Absent | Presence::Stale(_) => return Ok(Before::Nothing),
        Presence::Starting => Before::Starting,
        Presence::Running(record) => Before::Running(record),
    };
    if *restart {
        return Ok(before);
    }
    let record = match before {
        Before::Running(record) => Some(record),
        Before::Starting | Before::Nothing => None,
    };
    if let Some(record) = &record
        && ask::ask(record).is_err()
        && ask::has_died(&chosen.places()).map_err(DoorError::State)?
    {
        return Ok(Before::Nothing);
    }
    Err(DoorError::AlreadyRunning {
        agent: chosen.name.to_string(),
        record,
    }
    .into())
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
    chosen: &Chosen,
    spec: SandboxSpec,
    limits: Limits,
    port: Port,
) -> Plan {
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

/// What became of the background program.
enum Started {
    Ready(Record),
    CalledOff(Asked),
}

fn detach(plan: &Plan) -> Result<Started, CliError> {
    let program = prepare::this_program()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let mut background = Background::start(&program, plan).await?;
        tokio::select! {
            ready = background.ready() => Ok(Started::Ready(ready?)),
            asked = signals.asked() => {
                background.end().await;
                Ok(Started::CalledOff(asked))
            }
        }
    })
}
