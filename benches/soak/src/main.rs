//! The soak: many invocations of one agent from many connections, of which some vanish; every whole answer is checked, and in the
//! end nothing may be left of them.
//!
//! It starts the agent itself, on this machine. What it asks is drawn from a seed, so that a run can be repeated as far as the
//! machine's own order of things allows.

mod agent;
mod ask;
mod check;
mod client;
mod drive;
mod pings;
mod plan;
mod run;
mod tally;
mod websocket;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

type Failure = Box<dyn Error + Send + Sync>;

/// Fires invocations at the agent of the soak and looks for what leaks
#[derive(Debug, Parser)]
struct Args {
    /// The agent's program
    #[arg(long)]
    agent: PathBuf,
    /// How many invocations to fire, beside those of the warm-up
    #[arg(long)]
    invocations: u64,
    /// How many connections are open at a time
    #[arg(long, default_value_t = 200)]
    connections: u64,
    /// What to draw the invocations from
    #[arg(long)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run::run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line about what was done.
fn say(line: &str) {
    // Nobody is there to be told, and the exit code still says how it ended.
    let _ = writeln!(std::io::stdout(), "{line}");
}
