//! Streams of 1,000 events, one after the other: events a second, and the time to the first event.

use super::super::report::Report;
use super::super::{Bench, number};
use super::turns::Contest;
use super::{Handler, Kept, Place, Who};
use crate::sh::Result;

const EVENTS: u32 = 1000;

const WHO: [Who; 3] = [
    Who::Host { workers: 1 },
    Who::OfficialSdk,
    Who::Robyn { processes: 1 },
];

/// Measures generators of both kinds.
pub(in super::super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let place = Place::new(bench)?;
    let contest = Contest {
        who: &place.there(&WHO, report),
        cases: &[Handler::SyncGenerator, Handler::AsyncGenerator],
        measured: [
            ("events a second", "1/s"),
            ("first event, p50", "ms"),
            ("first event, p99", "ms"),
        ],
    };
    let mut kept = Kept::new(&place);
    let line = format!("stream --events {EVENTS} --seconds {}", bench.seconds);
    let body = format!(r#"{{"events": {EVENTS}}}"#);
    contest.hold(bench, report, |who, handler| {
        let told = bench.load(&line, kept.server(who, handler)?, &body)?;
        Ok([
            number(&told, "events_per_second")?,
            number(&told, "first_event_ms")?,
            number(&told, "first_event_p99_ms")?,
        ])
    })
}
