//! From the start of a program to the first healthy `/ping` of the agent, beside an interpreter that does nothing.
//!
//! The package of ours is unpacked and everything is compiled before, as it is from a user's second start on.

use std::fmt;
use std::time::Instant;

use super::super::Bench;
use super::super::report::{Report, median};
use super::turns::Contest;
use super::{Handler, Place, Who};
use crate::sh::Result;

/// How often each is started in one round; the round's sample is the median.
const STARTS: u32 = 5;

const WHO: [Who; 6] = [
    Who::Host { workers: 1 },
    Who::Cli,
    Who::File,
    Who::OfficialSdk,
    Who::Robyn { processes: 1 },
    Who::EmptyPython,
];

#[derive(Debug, Clone, Copy)]
struct Hello;

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("agent")
    }
}

/// Measures each way to start ours.
pub(in super::super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let place = Place::new(bench)?;
    let who = place.there(&WHO, report);
    for &who in &who {
        time(&place, who)?;
    }
    let contest = Contest {
        who: &who,
        cases: &[Hello],
        measured: [("start to first ping", "ms")],
    };
    contest.hold(bench, report, |who, Hello| {
        let times: Result<Vec<f64>> = (0..STARTS).map(|_| time(&place, who)).collect();
        Ok([median(&times?)])
    })
}

/// Starts one of them once; milliseconds.
fn time(place: &Place<'_>, who: Who) -> Result<f64> {
    let took = if who == Who::EmptyPython {
        let command = place.command(who, Handler::Sync, 0)?;
        let started = Instant::now();
        command.quietly()?;
        started.elapsed()
    } else {
        place.start_timed(who, Handler::Sync)?.1
    };
    Ok(took.as_secs_f64() * 1e3)
}
