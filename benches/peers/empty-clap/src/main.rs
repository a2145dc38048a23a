//! A peer of the measurements: the least that a command line of this kind costs.
//!
//! It parses its arguments, builds an async runtime, and ends.

use clap::Parser;

/// Do nothing
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {}

fn main() -> std::io::Result<()> {
    let Cli {} = Cli::parse();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async { Ok(()) })
}
