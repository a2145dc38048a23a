//! How long `/ping` takes while a Rust agent is loaded, beside the same server's pings when nothing else is to do.
//!
//! Open streams are measured beside a bare axum server too. There is no such peer for handlers that block: they silence it.

use std::path::Path;

use super::report::{Report, Row};
use super::server::Server;
use super::{Bench, number};
use crate::sh::Result;

const UNLOADED: &str = "without load";
const BARE_AXUM: &str = "bare axum under the same";

/// A stream that goes on for longer than any measurement, with ten events a second.
const STREAM: &str = r#"{"events": 1000000, "pause_millis": 100}"#;

/// One kind of load.
struct Load {
    case: &'static str,
    /// The program of the agent, and its argument.
    program: &'static str,
    mode: &'static [&'static str],
    /// How many connections send `body` again and again.
    busy: &'static str,
    body: &'static str,
}

/// More than the agent has threads, in every row: two at least for an `async fn`, 512 for a plain `fn`.
const LOADS: [Load; 5] = [
    Load {
        case: "1,000 streams send",
        program: "bench-stream",
        mode: &[],
        busy: "1000 --answered",
        body: STREAM,
    },
    Load {
        case: "64 `async fn` block all threads for those",
        program: "bench-modes",
        mode: &[],
        busy: "64",
        body: r#"{"block_millis": 500}"#,
    },
    Load {
        case: "600 `fn` block all 512 threads for those",
        program: "bench-modes",
        mode: &["plain"],
        busy: "600",
        body: r#"{"block_millis": 500}"#,
    },
    Load {
        case: "64 `async fn` burn CPU",
        program: "bench-modes",
        mode: &[],
        busy: "64",
        body: r#"{"burn_millis": 500}"#,
    },
    Load {
        case: "64 `fn` burn CPU",
        program: "bench-modes",
        mode: &["plain"],
        busy: "64",
        body: r#"{"burn_millis": 500}"#,
    },
];

/// Measures each load on a server of its own.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let axum = bench.program("bench-bare-axum")?;
    let mut groups = LOADS.map(|load| {
        let peer = if load.body == STREAM { 2 } else { 1 };
        let rows = [UNLOADED, BARE_AXUM][..peer].iter().flat_map(|&peer| {
            ["p50", "p99"].map(|what| {
                let case = format!("Rust agent, ping {what}, {}", load.case);
                Row::new(case, peer, "ms")
            })
        });
        (rows.collect::<Vec<_>>(), load)
    });
    for round in 0..bench.rounds {
        bench.round(round);
        for (rows, load) in &mut groups {
            let program = bench.program(load.program)?;
            let ours = pings(bench, load, &program, load.busy)?;
            let unloaded = pings(bench, load, &program, "0")?;
            let axum = match rows.len() {
                4 => pings(bench, load, &axum, load.busy)?,
                _ => unloaded,
            };
            let theirs = unloaded.into_iter().chain(axum);
            for ((row, ours), theirs) in rows.iter_mut().zip(ours.into_iter().cycle()).zip(theirs) {
                row.push(ours, theirs);
            }
        }
    }
    for row in groups.into_iter().flat_map(|(rows, _)| rows) {
        report.add(row);
    }
    Ok(())
}

/// The median and the 99th percentile of pings under `busy` connections, in milliseconds.
fn pings(bench: &Bench, load: &Load, program: &Path, busy: &str) -> Result<[f64; 2]> {
    let server = Server::listening(program, load.mode)?;
    let line = format!("ping --busy {busy} --seconds {}", bench.seconds);
    let told = bench.load(&line, &server, load.body)?;
    Ok([number(&told, "p50_ms")?, number(&told, "p99_ms")?])
}
