//! A JSON text of 10 MB that the agent gives back: decoded and encoded by everyone in their own way.

use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::super::report::Report;
use super::super::{Bench, number};
use super::turns::Contest;
use super::{Handler, Kept, Place, Who};
use crate::sh::Result;

/// As many documents of two thousand characters as make 10 MB.
const DOCUMENTS: u32 = 4_930;
const WORDS: &str = "A few words of a document, as an agent is given them. ";
const REPEATED: usize = 37;

const WHO: [Who; 5] = [
    Who::Host { workers: 1 },
    Who::Host { workers: 2 },
    Who::OfficialSdk,
    Who::Robyn { processes: 1 },
    Who::Robyn { processes: 2 },
];

#[derive(Debug, Clone, Copy)]
struct Connections(u32);

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "10 MB echo, {} connections", self.0)
    }
}

/// Measures the sync handler, which does not keep a loop from its other calls.
pub(in super::super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let place = Place::new(bench)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("body.json");
    let megabytes = write_body(&file)?;
    let body = format!("@{}", file.display());
    let contest = Contest {
        who: &place.there(&WHO, report),
        cases: &[Connections(1), Connections(4)],
        measured: [
            ("requests a second", "1/s"),
            ("MB a second each way", "MB/s"),
            ("p50", "ms"),
        ],
    };
    let mut kept = Kept::new(&place);
    contest.hold(bench, report, |who, Connections(connections)| {
        // Twice as long as others: there are few of them in a second.
        let seconds = bench.seconds * 2.0;
        let line = format!("requests --connections {connections} --seconds {seconds} --echoed");
        let told = bench.load(&line, kept.server(who, Handler::Sync)?, &body)?;
        let rate = number(&told, "requests_per_second")?;
        Ok([rate, rate * megabytes, number(&told, "p50_ms")?])
    })
}

/// Writes the body, and returns how long it is in megabytes of 1,000,000 bytes.
fn write_body(file: &Path) -> Result<f64> {
    let text = WORDS.repeat(REPEATED);
    let document = |number| json!({ "name": format!("document {number}"), "text": text });
    let documents: Vec<_> = (0..DOCUMENTS).map(document).collect();
    let body = json!({ "documents": documents }).to_string();
    fs::write(file, &body)?;
    Ok(f64::from(u32::try_from(body.len()).unwrap_or(u32::MAX)) / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_ten_megabytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let megabytes = write_body(file.path()).unwrap();
        assert!((10.0..10.2).contains(&megabytes), "{megabytes}");
    }
}
