//! The one error type of the command line: what happened, of which class, and what to do about it.
//!
//! Libraries and services have their own small errors; they become a [`CliError`] at the border of a command, and
//! only there is a class chosen. The class alone decides the exit code.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::Invalid;

/// The class of a failure; its number is the exit code that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Anything that has no class of its own.
    Other,
    /// The command line itself is wrong or incomplete.
    Usage,
    /// The project file, another input file or an environment variable is wrong.
    Configuration,
    /// Credentials are missing, or do not permit it.
    Credentials,
    /// What was asked for does not exist or does not run.
    NotFound,
    /// A limit was reached; trying later may work.
    Throttled,
    /// Something did not answer in time.
    TimedOut,
    /// The agent's own code failed.
    Agent,
    /// The Docker engine is missing or failed.
    Engine,
    /// The user pressed Ctrl-C.
    Interrupted,
    /// The reader of our output went away; nothing to tell, and no failure.
    BrokenPipe,
}

impl Kind {
    /// The exit code of the class.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Credentials => 4,
            Self::NotFound => 5,
            Self::Throttled => 6,
            Self::TimedOut => 7,
            Self::Agent => 8,
            Self::Engine => 9,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
    details: Option<String>,
}

impl CliError {
    /// An error of class `kind`; `message` is a lower-case clause without a full stop.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
            details: None,
        }
    }

    /// An error that has no class of its own.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Kind::Other, message)
    }

    /// A wrong or incomplete command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A wrong project file, input file or environment variable.
    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new(Kind::Configuration, message)
    }

    /// A wrong value, of class `kind`, with the hint that its rule gives.
    pub(crate) fn invalid(kind: Kind, invalid: Invalid) -> Self {
        let error = Self::new(kind, invalid.message);
        match invalid.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// Adds what the user can do, in the imperative.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Remembers the cause; its text is shown after the message.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// Adds text that belongs before the error line, such as a traceback or the end of a log.
    #[must_use]
    pub(crate) fn details(mut self, details: impl Into<String>) -> Self {
        self.details = Some(details.into());
        self
    }

    /// The class of the failure.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }

    /// The hints, in the order in which they were added.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The text to show before the error line, if there is any.
    pub(crate) fn details_text(&self) -> Option<&str> {
        self.details.as_deref()
    }

    /// The texts of the causes, outermost first.
    pub(crate) fn causes(&self) -> Vec<String> {
        std::iter::successors(self.source(), |error| (*error).source())
            .map(ToString::to_string)
            .collect()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|it| it as _)
    }
}

/// The `error` object of `--output json`.
impl Serialize for CliError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            kind: Kind,
            exit_code: u8,
            message: &'a str,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            causes: Vec<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            details: Option<&'a str>,
        }
        let Self {
            kind,
            message,
            hints,
            source: _,
            details,
        } = self;
        Wire {
            kind: *kind,
            exit_code: kind.code(),
            message,
            causes: self.causes(),
            hint: (!hints.is_empty()).then(|| hints.join("; ")),
            details: details.as_deref(),
        }
        .serialize(serializer)
    }
}

/// A failed write to stdout: quiet if the reader is gone.
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Kind::BrokenPipe, "nobody reads the output any more");
        }
        Self::other("cannot read or write").caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_exit_code() {
        let codes = [
            Kind::BrokenPipe,
            Kind::Other,
            Kind::Usage,
            Kind::Configuration,
            Kind::Credentials,
            Kind::NotFound,
            Kind::Throttled,
            Kind::TimedOut,
            Kind::Agent,
            Kind::Engine,
            Kind::Interrupted,
        ]
        .map(Kind::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]);
    }

    #[test]
    fn the_json_form_carries_class_code_causes_and_hints() {
        let cause = std::io::Error::other("the disk is full");
        let error = CliError::configuration("cannot write `a`")
            .caused_by(cause)
            .hint("free space")
            .hint("try again");
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            serde_json::json!({
                "kind": "configuration", "exit_code": 3, "message": "cannot write `a`",
                "causes": ["the disk is full"], "hint": "free space; try again",
            })
        );
    }
}
