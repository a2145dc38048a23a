//! Shows what clap has to say: help and version as results, a wrong command line as an error of class 2.
//!
//! Clap's own error text is a paragraph; ours is one sentence and a hint, as everywhere else.

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::printer::{OutputFormat, Printer};
use crate::cli::Cli;
use crate::error::{CliError, Kind};
use crate::model::Invalid;

/// Prints help, version or the error in the command line `args`, and returns the exit code.
pub(crate) fn show(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let format = OutputFormat::asked_for_in(args);
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let lacks_command = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help || (lacks_command && format == OutputFormat::Text) {
        // A reader that went away (`agentcore --help | head`) is no failure worth a word.
        let _ = error.print();
        return ExitCode::from(if is_help { 0 } else { Kind::Usage.code() });
    }
    let error = as_cli_error(error, args);
    Printer::new(format, false, "").error(&error);
    error.exit_code()
}

fn as_cli_error(error: &clap::Error, args: &[OsString]) -> CliError {
    if let Some(invalid) = error.source().and_then(|it| it.downcast_ref::<Invalid>()) {
        let Invalid { message, hint } = invalid;
        let message = match text(error, ContextKind::InvalidArg) {
            Some(flag) => format!("`{}`: {message}", flag_name(&flag)),
            None => message.clone(),
        };
        return CliError::usage(message)
            .hint(hint.clone().unwrap_or_else(|| see_help(error, args)));
    }
    let plain = error.to_string();
    let first = plain.lines().next().unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "a command is missing".to_owned()
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = text(error, ContextKind::InvalidArg).unwrap_or_default();
            format!(
                "missing on the command line: `{}`",
                missing.replace(", ", "`, `")
            )
        }
        _ => backticks(first.strip_prefix("error: ").unwrap_or(first)),
    };
    let tip = plain
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("tip: ").map(backticks));
    let choices = text(error, ContextKind::ValidValue).map(|it| format!("use one of {it}"));
    CliError::usage(message).hint(tip.or(choices).unwrap_or_else(|| see_help(error, args)))
}

/// Names are in backticks here, and in single quotes in clap's texts.
fn backticks(text: &str) -> String {
    text.replace('\'', "`")
}

/// The text of one piece of clap's context, several values joined.
fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    }
}

/// `--region` of `--region <REGION>`.
fn flag_name(flag: &str) -> &str {
    flag.split(' ').next().unwrap_or(flag)
}

/// Names the help of the command that was typed.
fn see_help(error: &clap::Error, args: &[OsString]) -> String {
    let unknown = error.kind() == ErrorKind::InvalidSubcommand;
    let command = args
        .iter()
        .skip(1)
        .find_map(|it| Cli::command_named(it.to_str()?));
    match command.filter(|_| !unknown) {
        Some(command) => format!("see `agentcore {command} --help`"),
        None => "see `agentcore --help`".to_owned(),
    }
}
