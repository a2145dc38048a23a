//! What `launch --local` will do: the command line, the project and the environment, put together.

use std::path::PathBuf;

use agentcore_host::EngineChoice;
use agentcore_local::Limits;

use super::LaunchArgs;
use super::environment::{self, Wanted};
use super::sandbox::{Decision, Request};
use crate::commands::chosen::Chosen;
use crate::context::Context;
use crate::error::CliError;
use crate::model::choices::{Engine, Protocol};
use crate::model::image::ImageReference;
use crate::model::lifecycle::SessionSeconds;

/// What will happen.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) chosen: Chosen,
    pub(super) sandbox: Request,
    pub(super) place: Place,
    pub(super) restart: bool,
    pub(super) port: Option<u16>,
    max_sandboxes: Option<u32>,
    spares: Option<u16>,
    pub(super) variables: Wanted,
    pub(super) python: Option<PathBuf>,
    pub(super) engine: EngineChoice,
    pub(super) base_image: Option<ImageReference>,
}

/// Where the front door runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Foreground,
    Background,
}

impl Settings {
    pub(super) fn resolve(args: LaunchArgs, ctx: &Context) -> Result<Self, CliError> {
        let LaunchArgs {
            agent,
            local,
            detach,
            port,
            sandbox,
            spares,
            base_image,
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
        let sandbox = Request::resolve(sandbox, python.as_deref(), base_image.as_ref())?;
        let chosen = Chosen::resolve(ctx, agent.as_deref())?;
        let config = &chosen.config;
        speaks_http(&chosen)?;
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
            sandbox,
            place: if detach {
                Place::Background
            } else {
                Place::Foreground
            },
            restart,
            port,
            max_sandboxes,
            spares,
            variables,
            python,
            engine,
            base_image,
            chosen,
        })
    }
}

fn speaks_http(chosen: &Chosen) -> Result<(), CliError> {
    match chosen.config.protocol {
        None | Some(Protocol::Http) => Ok(()),
        Some(other) => {
            let message = format!(
                "`{}` speaks {}, and this version runs only HTTP agents",
                chosen.name,
                other.as_str()
            );
            Err(CliError::configuration(message)
                .hint("run its file without AgentCore, or write `protocol: HTTP` if it has `/invocations`"))
        }
    }
}

impl Decision {
    /// How many sandboxes there are, and how long they live.
    pub(super) fn limits(&self, settings: &Settings) -> Limits {
        let lifecycle = settings.chosen.config.lifecycle.unwrap_or_default();
        let lifetime = lifecycle
            .max_lifetime
            .unwrap_or(SessionSeconds::DEFAULT_LIFETIME);
        // A lifetime that is shorter than the default idle time makes both the same, as the service does.
        let idle = lifecycle
            .idle_timeout
            .unwrap_or(SessionSeconds::DEFAULT_IDLE.min(lifetime));
        let max_sandboxes = settings
            .max_sandboxes
            .map_or_else(Limits::default_max_sandboxes, |it| {
                usize::try_from(it).unwrap_or(usize::MAX)
            });
        // A container takes a second to start, a process a tenth of one.
        let spares = settings.spares.unwrap_or(match self {
            Self::Process { .. } => 0,
            Self::Docker(_) => 1,
        });
        Limits {
            max_sandboxes,
            spares: spares.into(),
            idle_timeout: idle.duration(),
            max_lifetime: lifetime.duration(),
            ..Limits::default()
        }
    }
}
