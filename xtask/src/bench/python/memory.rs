//! Memory of all processes of a server: after its first answer, and right after 64 and 256 connections were busy.

use super::super::Bench;
use super::super::report::Report;
use super::requests::load;
use super::turns::Contest;
use super::{Handler, Place, Who};
use crate::sh::Result;

const WHO: [Who; 5] = [
    Who::Host { workers: 1 },
    Who::Host { workers: 2 },
    Who::OfficialSdk,
    Who::Robyn { processes: 1 },
    Who::Robyn { processes: 2 },
];

/// Measures a new server each time: memory that was used once is not always given back.
pub(in super::super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let place = Place::new(bench)?;
    let contest = Contest {
        who: &place.there(&WHO, report),
        cases: &[Handler::Sync, Handler::Async],
        measured: [
            ("resident memory, idle", "MB"),
            ("resident memory after 64 connections", "MB"),
            ("resident memory after 256 connections", "MB"),
            ("proportional memory, idle", "MB"),
            ("proportional memory after 64 connections", "MB"),
            ("proportional memory after 256 connections", "MB"),
        ],
    };
    contest.hold(bench, report, |who, handler| {
        let server = place.start(who, handler)?;
        let mut memory = [0.0; 6];
        for (stage, connections) in [None, Some(64), Some(256)].into_iter().enumerate() {
            match connections {
                None => drop(bench.load(
                    "fill --count 1 --connections 1",
                    &server,
                    r#"{"prompt": "hi"}"#,
                )?),
                Some(connections) => drop(load(bench, &server, connections)?),
            }
            let now = server.memory()?;
            (memory[stage], memory[stage + 3]) = (now.resident, now.proportional);
        }
        Ok(memory)
    })
}
