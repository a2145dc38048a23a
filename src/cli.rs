//! The command line as clap sees it: global flags, one subcommand a file in `commands`, and the toolkit's multi-letter
//! short flags (`-er`), which clap does not know.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::commands::{configure, front_door, invoke, launch, logs, serve, status, stop};
use crate::context::Context;
use crate::error::CliError;
use crate::ui::printer::OutputFormat;

/// Write, run, ship and talk to agents for Amazon Bedrock AgentCore
#[derive(Debug, Parser)]
#[command(
    name = "agentcore",
    version,
    max_term_width = 100,
    propagate_version = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The name of the command that is called `word`.
    pub(crate) fn command_named(word: &str) -> Option<String> {
        Self::command()
            .find_subcommand(word)
            .map(|it| it.get_name().to_owned())
    }
}

/// The flags that every command takes.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Write results as text, or as JSON for programs
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        help_heading = "Global options"
    )]
    pub(crate) output: OutputFormat,
    /// Leave out status lines; results, warnings and errors stay
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add an agent to this folder's project, or change it
    Configure(Box<configure::ConfigureArgs>),
    /// Run the agent
    Launch(launch::LaunchArgs),
    /// Send a payload to the agent and print its answer
    Invoke(invoke::InvokeArgs),
    /// Show what runs
    Status(status::StatusArgs),
    /// Show what the agent wrote
    Logs(logs::LogsArgs),
    /// End what runs
    Stop(stop::StopArgs),
    /// Serve one agent in the foreground, without a project
    Serve(serve::ServeArgs),
    /// The background half of `launch --local --detach`
    #[command(hide = true)]
    FrontDoor(front_door::FrontDoorArgs),
}

impl Command {
    /// The word that was typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Configure(_) => "configure",
            Self::Launch(_) => "launch",
            Self::Invoke(_) => "invoke",
            Self::Status(_) => "status",
            Self::Logs(_) => "logs",
            Self::Stop(_) => "stop",
            Self::Serve(_) => "serve",
            Self::FrontDoor(_) => "front-door",
        }
    }

    /// Does it.
    pub(crate) fn run(self, ctx: &Context) -> Result<ExitCode, CliError> {
        match self {
            Self::Configure(args) => configure::run(ctx, *args),
            Self::Launch(args) => launch::run(ctx, args),
            Self::Invoke(args) => invoke::run(ctx, args),
            Self::Status(args) => status::run(ctx, args),
            Self::Logs(args) => logs::run(ctx, args),
            Self::Stop(args) => stop::run(ctx, args),
            Self::Serve(args) => serve::run(ctx, args),
            Self::FrontDoor(args) => front_door::run(ctx, args),
        }
    }
}

/// The toolkit's short flags of more than one letter, by command.
const SHORT_WORDS: &[(&str, &[(&str, &str)])] = &[
    (
        "configure",
        &[
            ("-er", "--execution-role"),
            ("-ecr", "--ecr"),
            ("-rf", "--requirements-file"),
            ("-ac", "--authorizer-config"),
            ("-rha", "--request-header-allowlist"),
            ("-lang", "--language"),
            ("-ni", "--non-interactive"),
        ],
    ),
    ("launch", &[("-env", "--env")]),
    ("invoke", &[("-bt", "--bearer-token")]),
];

/// Replaces the toolkit's multi-letter short flags (`-er X`, `-er=X`) by their long names, up to a `--`.
pub(crate) fn expand_short_words(args: Vec<OsString>) -> Vec<OsString> {
    let Some((at, words)) = args.iter().enumerate().find_map(|(at, arg)| {
        let (_, words) = SHORT_WORDS.iter().find(|(command, _)| arg == command)?;
        Some((at, *words))
    }) else {
        return args;
    };
    let end = args.iter().position(|it| it == "--").unwrap_or(args.len());
    let expand = |(index, arg): (usize, OsString)| {
        if index <= at || index >= end {
            arg
        } else {
            expand_one(words, arg)
        }
    };
    args.into_iter().enumerate().map(expand).collect()
}

fn expand_one(words: &[(&str, &str)], arg: OsString) -> OsString {
    let Some(text) = arg.to_str() else { return arg };
    let (flag, value) = match text.split_once('=') {
        Some((flag, value)) => (flag, Some(value)),
        None => (text, None),
    };
    match (words.iter().find(|(short, _)| *short == flag), value) {
        (Some((_, long)), Some(value)) => format!("{long}={value}").into(),
        (Some((_, long)), None) => (*long).into(),
        (None, _) => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let args: Vec<_> = expand_short_words(args)
            .into_iter()
            .map(|it| it.into_string().unwrap())
            .collect();
        args.join(" ")
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn short_words_of_the_toolkit_become_long_flags() {
        assert_eq!(
            expanded("agentcore configure -er role -ni"),
            "agentcore configure --execution-role role --non-interactive"
        );
        assert_eq!(
            expanded("agentcore --output json configure -ac={}"),
            "agentcore --output json configure --authorizer-config={}"
        );
        assert_eq!(
            expanded("agentcore configure -e a.py -n x"),
            "agentcore configure -e a.py -n x"
        );
        assert_eq!(
            expanded("agentcore invoke -- -bt"),
            "agentcore invoke -- -bt"
        );
        assert_eq!(expanded("agentcore status -er"), "agentcore status -er");
    }

    #[test]
    fn every_short_word_names_a_flag_that_exists() {
        let cli = Cli::command();
        for (command, words) in SHORT_WORDS {
            let command = cli.find_subcommand(command).expect("the command exists");
            for (short, long) in *words {
                let found = command
                    .get_arguments()
                    .any(|it| it.get_long() == long.strip_prefix("--"));
                assert!(
                    found,
                    "{short} stands for {long}, which `{}` does not have",
                    command.get_name()
                );
            }
        }
    }
}
