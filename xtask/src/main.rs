//! The project's chores: `cargo xtask demo | test | bench | soak | hosts`, which README, `justfile` and `.ci/run` call.
//!
//! It runs the tools of contributors and the programs of users; it knows nothing that they do not say.

mod bench;
mod demo;
mod hosts;
mod python;
mod python_tests;
mod sh;
mod soak;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use sh::Failed;

/// The project's chores
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Chore {
    /// Build everything, then configure, launch and invoke a Python and a Rust agent on this machine
    Demo(demo::DemoArgs),
    /// Run everything that must hold before a change lands: format, lints, tests, docs, licences, fuzzing, a soak
    Test(test::TestArgs),
    /// Measure beside the peers, in one run on one machine; nothing here passes or fails by time
    Bench(bench::BenchArgs),
    /// Fire a million invocations at one agent, leave many of them, and look for what leaks
    Soak(soak::SoakArgs),
    /// Build `agentcore-host` for containers, static, beside the release build of `agentcore`
    Hosts(hosts::HostsArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().chore {
        Chore::Demo(args) => demo::run(&args),
        Chore::Test(args) => test::run(&args, continuous_integration()),
        Chore::Bench(args) => bench::run(&args),
        Chore::Soak(args) => soak::run(&args),
        Chore::Hosts(args) => hosts::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(reason)) => {
            sh::complain(&reason);
            ExitCode::FAILURE
        }
    }
}

/// Whether this run is CI's, where a step that cannot run is a failure.
#[expect(
    clippy::disallowed_methods,
    reason = "the entry point of the chores; nothing else here reads the environment"
)]
fn continuous_integration() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
