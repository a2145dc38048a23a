//! Requests a second of the Rust hello agent, on threads of its own and on those of the server, beside a bare axum server that
//! answers the same.

use serde_json::Value;

use super::report::{Report, Row};
use super::server::Server;
use super::{Bench, number};
use crate::sh::{Failed, Result};

const CONNECTIONS: [u32; 4] = [1, 16, 64, 256];

/// What is measured of each of ours, and its unit.
const MEASURED: [(&str, &str); 3] = [("requests a second", "1/s"), ("p50", "ms"), ("p99", "ms")];

/// Measures both kinds of threads.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let own = Server::listening(&bench.program("hello-rust")?, &[])?;
    let shared = Server::listening(&bench.program("bench-modes")?, &["shared"])?;
    let peer = Server::listening(&bench.program("bench-bare-axum")?, &[])?;
    let ours = [
        ("Rust hello", &own),
        ("Rust hello on the server's threads", &shared),
    ];
    compare(bench, report, &ours, ("bare axum", &peer))
}

/// Lets all take turns at every number of connections.
fn compare(
    bench: &Bench,
    report: &mut Report,
    ours: &[(&str, &Server)],
    (peer, theirs): (&'static str, &Server),
) -> Result<()> {
    let mut groups = CONNECTIONS.map(|connections| {
        let of_one = |(case, _): &(&str, &Server)| {
            MEASURED.map(|(what, unit)| {
                let case = format!("{case}, {what}, {connections} connections");
                Row::new(case, peer, unit)
            })
        };
        (connections, ours.iter().map(of_one).collect::<Vec<_>>())
    });
    for round in 0..bench.rounds {
        bench.round(round);
        for (connections, rows) in &mut groups {
            let theirs = load(bench, theirs, *connections)?;
            for ((_, server), rows) in ours.iter().zip(rows) {
                let ours = load(bench, server, *connections)?;
                for ((row, ours), theirs) in rows.iter_mut().zip(ours).zip(theirs) {
                    row.push(ours, theirs);
                }
            }
        }
    }
    for row in groups.into_iter().flat_map(|(_, rows)| rows).flatten() {
        report.add(row);
    }
    Ok(())
}

/// Loads `server` and checks that it answered what a hello agent answers; what was measured, in the order of [`MEASURED`].
fn load(bench: &Bench, server: &Server, connections: u32) -> Result<[f64; 3]> {
    let seconds = bench.seconds;
    let line = format!("requests --connections {connections} --seconds {seconds}");
    let told = bench.load(&line, server, r#"{"prompt": "hi"}"#)?;
    let answer = told["answer"]
        .as_str()
        .and_then(|it| serde_json::from_str::<Value>(it).ok());
    if answer.as_ref().and_then(|it| it["result"].as_str()) != Some("You said: hi") {
        return Err(Failed(format!(
            "{} answered {}",
            server.url(),
            told["answer"]
        )));
    }
    Ok([
        number(&told, "requests_per_second")?,
        number(&told, "p50_ms")?,
        number(&told, "p99_ms")?,
    ])
}
