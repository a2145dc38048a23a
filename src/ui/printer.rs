//! The printer: results to stdout, talk to stderr, in the format that was asked for.
//!
//! With `--output json` stdout gets one JSON object with `schema_version` and nothing else; the talk stays text on
//! stderr, so that a pipe to `jq` always works.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::error::{CliError, Kind};

/// The version of the JSON that stdout carries; it grows when a key changes its meaning or goes away.
pub(crate) const SCHEMA_VERSION: u32 = 1;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object, or one a line for streams.
    Json,
}

impl OutputFormat {
    /// The format a command line asks for, even when the rest of it cannot be parsed.
    pub(crate) fn asked_for_in(args: &[OsString]) -> Self {
        let words = args.iter().take_while(|it| *it != "--");
        let mut previous_is_output = false;
        for word in words {
            if word == "--output=json" || (previous_is_output && word == "json") {
                return Self::Json;
            }
            previous_is_output = word == "--output";
        }
        Self::Text
    }
}

/// Where everything is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    format: OutputFormat,
    quiet: bool,
    command: &'static str,
}

/// What surrounds every result and every failure in JSON.
#[derive(Serialize)]
struct Envelope<'a, B> {
    schema_version: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    command: &'a str,
    #[serde(flatten)]
    body: B,
}

#[derive(Serialize)]
struct Failed<'a> {
    error: &'a CliError,
}

impl Printer {
    /// A printer for `command`; `quiet` leaves out status lines.
    pub(crate) fn new(format: OutputFormat, quiet: bool, command: &'static str) -> Self {
        Self {
            format,
            quiet,
            command,
        }
    }

    /// Whether stdout carries JSON.
    pub(crate) fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Whether status lines are left out.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Prints the result of the command: the only thing a pipe will see.
    pub(crate) fn report<R: fmt::Display + Serialize>(self, report: &R) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match self.format {
            OutputFormat::Text => writeln!(stdout, "{report}")?,
            OutputFormat::Json => self.write_json(&mut stdout, report)?,
        }
        Ok(stdout.flush()?)
    }

    /// Says what is happening or was done; silent with `--quiet`.
    pub(crate) fn status(self, text: &str) {
        if !self.quiet {
            talk(format_args!("{text}"));
        }
    }

    /// Says what the user should know even with `--quiet`.
    #[expect(clippy::unused_self, reason = "who wants to talk needs a printer")]
    pub(crate) fn warn(self, text: &str) {
        talk(format_args!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// Says what the user could do next; silent with `--quiet`.
    pub(crate) fn hint(self, text: &str) {
        if !self.quiet {
            talk(format_args!("{HINT}hint:{HINT:#} {text}"));
        }
    }

    /// Shows a failure: on stderr as text, or on stdout as JSON.
    pub(crate) fn error(self, error: &CliError) {
        if error.kind() == Kind::BrokenPipe {
            return;
        }
        if self.is_json() {
            let mut stdout = io::stdout().lock();
            // Nobody is left to tell about a failed write of a failure.
            let _ = self
                .write_json(&mut stdout, Failed { error })
                .and_then(|()| Ok(stdout.flush()?));
            return;
        }
        if let Some(details) = error.details_text() {
            talk(format_args!("{}", details.trim_end()));
        }
        talk(format_args!("{ERROR}error:{ERROR:#} {error}"));
        for cause in error.causes() {
            talk(format_args!("  caused by: {cause}"));
        }
        for hint in error.hints() {
            talk(format_args!("{HINT}hint:{HINT:#} {hint}"));
        }
    }

    fn write_json(self, out: &mut impl Write, body: impl Serialize) -> Result<(), CliError> {
        let envelope = Envelope {
            schema_version: SCHEMA_VERSION,
            command: self.command,
            body,
        };
        // Compact, so that one result is one line for tools that read lines.
        let text = serde_json::to_string(&envelope).map_err(io::Error::from)?;
        Ok(writeln!(out, "{text}")?)
    }
}

/// Writes one line to stderr. A stderr that nobody reads must not end the program.
fn talk(line: fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_found_in_a_command_line_that_does_not_parse() {
        let asked = |line: &str| {
            OutputFormat::asked_for_in(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
        };
        assert_eq!(
            asked("agentcore configure --wrong --output json"),
            OutputFormat::Json
        );
        assert_eq!(asked("agentcore --output=json wrong"), OutputFormat::Json);
        assert_eq!(
            asked("agentcore invoke json --output text"),
            OutputFormat::Text
        );
        assert_eq!(
            asked("agentcore invoke -- --output json"),
            OutputFormat::Text
        );
    }
}
