//! The `agentcore` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    agentcore_cli::run(std::env::args_os())
}
