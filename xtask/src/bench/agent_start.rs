//! How long the Rust hello agent takes from the start of its program to its first healthy `/ping`, beside a bare axum server.

use std::path::Path;

use super::Bench;
use super::report::{Report, Row, median};
use super::server::Server;
use crate::sh::Result;

/// How often a program is started in one round; the round's sample is the median.
const STARTS: u32 = 20;

/// Starts the two in turns.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (ours, peer) = (
        bench.program("hello-rust")?,
        bench.program("bench-bare-axum")?,
    );
    let mut row = Row::new("Rust hello, start to first ping", "bare axum", "ms");
    for round in 0..bench.rounds {
        bench.round(round);
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            our_times.push(time(&ours)?);
            their_times.push(time(&peer)?);
        }
        row.push(median(&our_times), median(&their_times));
    }
    report.add(row);
    Ok(())
}

/// Starts the program once; milliseconds.
fn time(program: &Path) -> Result<f64> {
    let (_server, took) = Server::listening_timed(program, &[])?;
    Ok(took.as_secs_f64() * 1e3)
}
