//! How sessions are kept apart: what was asked for, which engine answers, and why it is what it is.
//!
//! Nothing falls back in silence. `auto` means containers where an engine answers and processes where none does; an engine
//! that somebody named and that cannot be used from here is refused, because whoever named it expects containers.

use std::path::Path;

use agentcore_docker::{Engine, FindError, find};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::image::ImageReference;

/// How sessions are kept apart, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum SandboxArg {
    /// One container a session if a Docker engine answers, otherwise one process a session
    #[default]
    Auto,
    /// One container a session
    Docker,
    /// One process a session, which is no security boundary
    Process,
}

/// What was asked for, by `--sandbox` or by a flag that means only one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Containers, if an engine answers.
    Auto,
    /// Containers and nothing else.
    Docker,
    /// Processes, for this reason.
    Process(&'static str),
}

/// How sessions will be kept apart.
#[derive(Debug)]
pub(super) enum Decision {
    /// By processes.
    Process {
        /// Why.
        reason: String,
    },
    /// By containers of this engine.
    Docker(Engine),
}

/// How sessions are kept apart, as `launch` reports it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SandboxReport {
    kind: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<EngineReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct EngineReport {
    name: String,
    version: String,
    endpoint: String,
}

impl Request {
    /// What `sandbox` and the flags that belong to one kind mean together.
    pub(super) fn resolve(
        sandbox: SandboxArg,
        python: Option<&Path>,
        base_image: Option<&ImageReference>,
    ) -> Result<Self, CliError> {
        match (sandbox, python.is_some(), base_image.is_some()) {
            (SandboxArg::Docker, true, _) | (SandboxArg::Auto, true, true) => Err(CliError::usage(
                "`--python` names an interpreter of this machine, and a container has its own",
            )
            .hint("leave out `--python`; `python` in the project file or `--base-image` chooses the Python of an image")),
            (SandboxArg::Process, _, true) => Err(CliError::usage(
                "`--base-image` is for containers, and `--sandbox process` starts none",
            )
            .hint("leave out one of the two")),
            (SandboxArg::Process, _, false) => Ok(Self::Process("as told by `--sandbox`")),
            (SandboxArg::Auto, true, false) => {
                Ok(Self::Process("`--python` names an interpreter of this machine"))
            }
            // A fallback would leave the image out that was asked for.
            (SandboxArg::Docker, false, _) | (SandboxArg::Auto, false, true) => Ok(Self::Docker),
            (SandboxArg::Auto, false, false) => Ok(Self::Auto),
        }
    }

    /// Looks for an engine, unless none is wanted.
    ///
    /// # Errors
    ///
    /// Fails with class 9 if there must be one and none answers, or if the one that was named cannot be used from here.
    pub(super) async fn decide(self, ctx: &Context) -> Result<Decision, CliError> {
        if let Self::Process(reason) = self {
            let reason = reason.to_owned();
            return Ok(Decision::Process { reason });
        }
        match find(&ctx.env.docker()?).await {
            Ok(engine) => Ok(Decision::Docker(engine)),
            Err(error) if self == Self::Auto && is_silence(&error) => Ok(Decision::Process {
                reason: error.to_string(),
            }),
            Err(error) => Err(refusal(&error)),
        }
    }
}

/// Whether nobody answers, as opposed to an engine that was named and cannot be used.
fn is_silence(error: &FindError) -> bool {
    matches!(error, FindError::None { .. } | FindError::Chosen { .. })
}

fn refusal(error: &FindError) -> CliError {
    let mut failure = CliError::new(Kind::Engine, error.to_string());
    if let Some(hint) = error.hint() {
        failure = failure.hint(hint);
    }
    if let Some(cause) = std::error::Error::source(error) {
        failure = failure.caused_by(cause.to_string());
    }
    failure.hint("run each session in a process instead, with `--sandbox process`")
}

impl Decision {
    /// What the user is told, as the end of a sentence.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Process { reason } => reason.clone(),
            Self::Docker(engine) => format!(
                "{} {} answers at {}",
                engine.name(),
                engine.version(),
                engine.endpoint()
            ),
        }
    }

    /// The same for programs, with the image that containers are made from.
    pub(super) fn report(&self, image: Option<String>) -> SandboxReport {
        let (kind, engine) = match self {
            Self::Process { .. } => ("process", None),
            Self::Docker(engine) => ("docker", Some(EngineReport::of(engine))),
        };
        SandboxReport {
            kind,
            reason: self.reason(),
            engine,
            image,
        }
    }

    /// Tells the user.
    pub(super) fn say(&self, ctx: &Context, agent: &str) {
        let sandbox = match self {
            Self::Process { .. } => "process",
            Self::Docker(_) => "container",
        };
        ctx.printer.status(&format!(
            "Each session of `{agent}` gets a {sandbox} of its own: {}.",
            self.reason()
        ));
        if matches!(self, Self::Process { .. }) {
            ctx.printer
                .status("A process is no security boundary: the agent can do whatever you can do.");
        }
    }
}

impl EngineReport {
    fn of(engine: &Engine) -> Self {
        Self {
            name: engine.name().to_owned(),
            version: engine.version().to_owned(),
            endpoint: engine.endpoint().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        sandbox: SandboxArg,
        python: Option<&str>,
        base: Option<&str>,
    ) -> Result<Request, String> {
        let base = base.map(|it| it.parse().expect("the name of an image"));
        Request::resolve(sandbox, python.map(Path::new), base.as_ref())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_for_one_kind_of_sandbox_chooses_it() {
        use SandboxArg::{Auto, Docker, Process};
        let (python, base) = (Some("/usr/bin/python3"), Some("python:3.12"));
        assert_eq!(resolve(Auto, None, None), Ok(Request::Auto));
        assert_eq!(resolve(Docker, None, None), Ok(Request::Docker));
        assert_eq!(resolve(Auto, None, base), Ok(Request::Docker));
        assert_eq!(resolve(Docker, None, base), Ok(Request::Docker));
        for sandbox in [Auto, Process] {
            let request = resolve(sandbox, python, None);
            assert!(matches!(request, Ok(Request::Process(_))), "{request:?}");
        }
    }

    #[test]
    fn flags_for_different_kinds_exclude_each_other() {
        use SandboxArg::{Auto, Docker, Process};
        let (python, base) = (Some("python3"), Some("python:3.12"));
        for (sandbox, python, base) in [
            (Docker, python, None),
            (Auto, python, base),
            (Process, None, base),
            (Process, python, base),
        ] {
            assert!(resolve(sandbox, python, base).is_err(), "{sandbox:?}");
        }
    }
}
