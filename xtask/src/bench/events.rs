//! Events a second of a streaming Rust agent, on threads of its own and on those of the server, and the time to its first event,
//! beside a bare axum server that streams the same.

use super::report::{Report, Row};
use super::server::Server;
use super::{Bench, number};
use crate::sh::Result;

/// How many events a stream has, and how many streams make one sample.
const EVENTS: u32 = 20_000;
const STREAMS: u32 = 5;

/// How many short streams make one sample of the time to the first event.
const FIRSTS: u32 = 200;

const PEER: &str = "bare axum";

/// Measures both kinds of threads.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let program = bench.program("bench-stream")?;
    let own = Server::listening(&program, &[])?;
    let shared = Server::listening(&program, &["shared"])?;
    let peer = Server::listening(&bench.program("bench-bare-axum")?, &[])?;
    let mut all = [
        ("Rust stream", own),
        ("Rust stream on the server's threads", shared),
    ]
    .map(|(case, server)| {
        let rate = Row::new(format!("{case}, events a second"), PEER, "1/s");
        let first = Row::new(format!("{case}, first event"), PEER, "ms");
        (server, rate, first)
    });
    for round in 0..bench.rounds {
        bench.round(round);
        let theirs = streams(bench, &peer)?;
        for (server, rate, first) in &mut all {
            let ours = streams(bench, server)?;
            rate.push(ours.0, theirs.0);
            first.push(ours.1, theirs.1);
        }
    }
    for (_, rate, first) in all {
        report.add(rate);
        report.add(first);
    }
    Ok(())
}

/// Events a second of long streams, and milliseconds to the first event of short ones.
fn streams(bench: &Bench, server: &Server) -> Result<(f64, f64)> {
    let read = |events: u32, count: u32| {
        let line = format!("stream --events {events} --count {count}");
        bench.load(&line, server, &format!(r#"{{"events": {events}}}"#))
    };
    Ok((
        number(&read(EVENTS, STREAMS)?, "events_per_second")?,
        number(&read(10, FIRSTS)?, "first_event_ms")?,
    ))
}
