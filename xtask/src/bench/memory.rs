//! Resident memory of Rust agents: idle beside a bare axum server, and what 10,000 open sessions with small state add, beside
//! what as many requests without sessions add.

use super::Bench;
use super::report::{Report, Row};
use super::server::Server;
use crate::sh::{Failed, Result};

/// As many as an agent keeps unless it is told otherwise.
const SESSIONS: u32 = 10_000;

/// Measures new servers in each round: memory that was used once is not always given back.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let (hello, modes, peer) = (
        bench.program("hello-rust")?,
        bench.program("bench-modes")?,
        bench.program("bench-bare-axum")?,
    );
    let mut idle = Row::new("Rust hello, idle memory", "bare axum", "MB");
    let mut filled = Row::new(
        format!("Rust agent, memory above idle, {SESSIONS} sessions"),
        "requests without session",
        "MB",
    );
    for round in 0..bench.rounds {
        bench.round(round);
        idle.push(
            Server::listening(&hello, &[])?.resident_memory()?,
            Server::listening(&peer, &[])?.resident_memory()?,
        );
        let start = || Server::listening(&modes, &["sessions"]);
        filled.push(
            added(bench, &start()?, true)?,
            added(bench, &start()?, false)?,
        );
    }
    report.add(idle);
    report.add(filled);
    Ok(())
}

/// What the requests add to a server's memory, each in a session of its own or none in any.
fn added(bench: &Bench, server: &Server, in_sessions: bool) -> Result<f64> {
    let before = server.resident_memory()?;
    let option = if in_sessions { "" } else { "--no-session" };
    let line = format!("fill --count {SESSIONS} {option}");
    bench.load(&line, server, r#"{"prompt": "a few words to remember"}"#)?;
    let open = server.get("/sessions")?;
    let expected = if in_sessions { SESSIONS } else { 0 };
    if open.trim() == expected.to_string() {
        Ok(server.resident_memory()? - before)
    } else {
        Err(Failed(format!("{open} sessions are open, not {expected}")))
    }
}
