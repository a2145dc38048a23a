//! Requests a second and their p99 over 1 to 256 connections, in a thousand sessions by turns, so that all workers have
//! their part.

use std::fmt;

use serde_json::Value;

use super::super::report::Report;
use super::super::server::Server;
use super::super::{Bench, number};
use super::turns::Contest;
use super::{Handler, Kept, Place, Who};
use crate::sh::{Failed, Result};

const WHO: [Who; 5] = [
    Who::Host { workers: 1 },
    Who::Host { workers: 2 },
    Who::OfficialSdk,
    Who::Robyn { processes: 1 },
    Who::Robyn { processes: 2 },
];

const CONNECTIONS: [u32; 4] = [1, 16, 64, 256];

const SESSIONS: u32 = 1000;

#[derive(Debug, Clone, Copy)]
struct Case {
    handler: Handler,
    connections: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            handler,
            connections,
        } = self;
        write!(f, "{handler}, {connections} connections")
    }
}

/// Measures one kind of handler after the other, so that no more servers are there than need be.
pub(in super::super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let place = Place::new(bench)?;
    let who = place.there(&WHO, report);
    for handler in [Handler::Sync, Handler::Async] {
        let contest = Contest {
            who: &who,
            cases: &CONNECTIONS.map(|connections| Case {
                handler,
                connections,
            }),
            measured: [("requests a second", "1/s"), ("p99", "ms")],
        };
        let mut kept = Kept::new(&place);
        contest.hold(bench, report, |who, case| {
            load(bench, kept.server(who, handler)?, case.connections)
        })?;
    }
    Ok(())
}

/// Loads `server`, and checks that it answers what a hello agent answers.
pub(super) fn load(bench: &Bench, server: &Server, connections: u32) -> Result<[f64; 2]> {
    let seconds = bench.seconds;
    let line =
        format!("requests --connections {connections} --seconds {seconds} --sessions {SESSIONS}");
    let told = bench.load(&line, server, r#"{"prompt": "hi"}"#)?;
    let answer = told["answer"]
        .as_str()
        .and_then(|it| serde_json::from_str::<Value>(it).ok());
    if answer.as_ref().and_then(|it| it["result"].as_str()) != Some("You said: hi") {
        let (url, answer) = (server.url(), &told["answer"]);
        return Err(Failed(format!("{url} answered {answer}")));
    }
    Ok([
        number(&told, "requests_per_second")?,
        number(&told, "p99_ms")?,
    ])
}
