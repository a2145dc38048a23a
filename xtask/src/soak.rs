//! `cargo xtask soak`: a million invocations of one agent, of which many are left in the middle, and then what is left of them.
//!
//! It builds the agent and the program that drives it, and starts that; what is asked and what must hold is in `benches/soak`.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::sh::{Cmd, Result, target_dir};

/// A full run, and one for every change.
const INVOCATIONS: u64 = 1_000_000;
const SHORT: u64 = 20_000;

/// The arguments of `cargo xtask soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// How many invocations to fire, beside those of the warm-up [default: 1000000, with --short 20000]
    #[arg(long)]
    invocations: Option<u64>,
    /// What to draw the invocations from; the run says which it was [default: the time]
    #[arg(long)]
    seed: Option<u64>,
    /// A run of less than a minute, of a build without optimisation
    #[arg(long)]
    short: bool,
}

/// Builds and soaks.
pub(crate) fn run(args: &SoakArgs) -> Result<()> {
    let SoakArgs {
        invocations,
        seed,
        short,
    } = *args;
    let profile = if short {
        // With the rest of the workspace, as the tests build it: alone, it would be built once more with fewer features.
        Cmd::cargo("build --workspace --locked").run()?;
        "debug"
    } else {
        Cmd::cargo("build --release --locked -p soak-agent -p soak").run()?;
        "release"
    };
    let invocations = invocations.unwrap_or(if short { SHORT } else { INVOCATIONS });
    let folder = target_dir()?.join(profile);
    Cmd::new(folder.join("soak"))
        .args(["--agent"])
        .args([folder.join("soak-agent")])
        .args(["--invocations", &invocations.to_string()])
        .args(["--seed", &seed.unwrap_or_else(now).to_string()])
        .run()
}

/// The step of `cargo xtask test`.
pub(crate) fn short() -> Result<()> {
    run(&SoakArgs {
        invocations: None,
        seed: None,
        short: true,
    })
}

/// A seed that is another one each time.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| it.as_secs())
}
