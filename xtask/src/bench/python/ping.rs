//! How long `/ping` takes while 64 handlers burn CPU, each for half a second, again and again.

use std::fmt;

use super::super::report::Report;
use super::super::{Bench, number};
use super::turns::Contest;
use super::{Handler, Place, Who};
use crate::sh::Result;

/// Without robyn: its pings take half a minute each then, and tell nothing more.
const WHO: [Who; 3] = [
    Who::Host { workers: 1 },
    Who::Host { workers: 2 },
    Who::OfficialSdk,
];

const BURN: &str = r#"{"burn_millis": 500}"#;

#[derive(Debug, Clone, Copy)]
struct Burning(Handler);

impl fmt::Display for Burning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ping, 64 {} handlers burn CPU", self.0)
    }
}

/// Measures a server of its own each time: what burns still is not the next one's load.
pub(in super::super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let place = Place::new(bench)?;
    let contest = Contest {
        who: &WHO,
        cases: &[Burning(Handler::Sync), Burning(Handler::Async)],
        measured: [("p50", "ms"), ("p99", "ms")],
    };
    let line = format!("ping --busy 64 --seconds {}", bench.seconds);
    contest.hold(bench, report, |who, Burning(handler)| {
        let told = bench.load(&line, &place.start(who, handler)?, BURN)?;
        Ok([number(&told, "p50_ms")?, number(&told, "p99_ms")?])
    })
}
