//! The `agentcore` command line: configure, launch, invoke and look after agents for Amazon Bedrock `AgentCore`.
//!
//! Everything is behind [`run`]; the binary is only its door handle. `commands` holds one file a command, `services`
//! does the work, `model` is data and rules, `config` reads files and environment, and only `ui` prints.

mod cli;
mod commands;
mod config;
mod context;
mod error;
mod model;
mod services;
mod ui;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use context::Context;
use ui::printer::Printer;

/// Runs the command line `args` (program name first) and returns the exit code of the process.
///
/// Results go to stdout and everything else to stderr; with `--output json` stdout holds exactly one JSON object, on
/// success and on failure.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = cli::expand_short_words(args.into_iter().collect());
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return ui::usage::show(&error, &args),
    };
    let Cli { global, command } = cli;
    let printer = Printer::new(global.output, global.quiet, command.name());
    let outcome = Context::new(printer).and_then(|ctx| command.run(&ctx));
    outcome.unwrap_or_else(|error| {
        printer.error(&error);
        error.exit_code()
    })
}
