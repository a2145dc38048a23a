//! How sessions are kept apart: what was asked for, what this version has, and why.

use serde::Serialize;

use crate::error::{CliError, Kind};

/// How sessions are kept apart, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum SandboxArg {
    /// The best that this version has: processes.
    #[default]
    Auto,
    /// One container a session.
    Docker,
    /// One process a session.
    Process,
}

/// How sessions are kept apart, and why so.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct SandboxKind {
    kind: &'static str,
    pub(super) reason: &'static str,
}

impl SandboxKind {
    fn process(reason: &'static str) -> Self {
        Self {
            kind: "process",
            reason,
        }
    }
}

impl SandboxArg {
    /// What it will be.
    pub(super) fn decide(self) -> Result<SandboxKind, CliError> {
        match self {
            Self::Auto => Ok(SandboxKind::process("this version knows no containers")),
            Self::Process => Ok(SandboxKind::process("as told by `--sandbox`")),
            Self::Docker => Err(
                CliError::new(Kind::Engine, "this version knows no containers")
                    .hint("use `--sandbox process`"),
            ),
        }
    }
}
