//! The turns that ours and several peers take, case by case and round by round.
//!
//! A peer that fails is left out of its case from then on, and the reason is noted; if ours fails, so does the group.

use std::fmt::Display;

use super::super::Bench;
use super::super::report::{Report, Row};
use super::Who;
use crate::sh::{Failed, Result, say};

/// What is compared.
pub(super) struct Contest<'a, C, const N: usize> {
    /// Ours and the peers.
    pub(super) who: &'a [Who],
    /// What each of them does in a round.
    pub(super) cases: &'a [C],
    /// What is measured each time: its name and its unit.
    pub(super) measured: [(&'a str, &'static str); N],
}

/// The samples of one of them in one case; `None` after a failure.
type Samples<const N: usize> = Option<Vec<[f64; N]>>;

impl<C: Copy + Display, const N: usize> Contest<'_, C, N> {
    /// Takes samples in all rounds, and reports each of ours beside each of its peers.
    pub(super) fn hold(
        &self,
        bench: &Bench,
        report: &mut Report,
        mut sample: impl FnMut(Who, C) -> Result<[f64; N]>,
    ) -> Result<()> {
        let mut all: Vec<Vec<Samples<N>>> = (self.cases.iter())
            .map(|_| vec![Some(Vec::new()); self.who.len()])
            .collect();
        for round in 0..bench.rounds {
            bench.round(round);
            for (&case, all) in self.cases.iter().zip(&mut all) {
                for (&who, samples) in self.who.iter().zip(all) {
                    let Some(taken) = samples else { continue };
                    match sample(who, case) {
                        Ok(fresh) => taken.push(fresh),
                        Err(Failed(reason)) if !who.is_ours() => {
                            *samples = None;
                            let reason = format!("{}, {case}: {reason}", who.name());
                            say(&format!("Not measured: {reason}"));
                            report.missed(reason);
                        }
                        Err(failed) => return Err(failed),
                    }
                }
            }
        }
        for (case, all) in self.cases.iter().zip(&all) {
            self.add_rows(case, all, report);
        }
        Ok(())
    }

    fn add_rows(&self, case: &C, all: &[Samples<N>], report: &mut Report) {
        let there = || {
            let with_samples = |(&who, samples)| Some((who, Option::as_ref(samples)?));
            self.who.iter().zip(all).filter_map(with_samples)
        };
        for (ours, our_samples) in there().filter(|(who, _)| who.is_ours()) {
            for (number, (what, unit)) in self.measured.iter().enumerate() {
                for (peer, their_samples) in there().filter(|(who, _)| who.is_beside(ours)) {
                    let case = format!("Python {case}{}, {what}", ours.name());
                    let mut row = Row::new(case, peer.name(), unit);
                    for (ours, theirs) in our_samples.iter().zip(their_samples) {
                        row.push(ours[number], theirs[number]);
                    }
                    report.add(row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const WHO: [Who; 4] = [
        Who::Host { workers: 1 },
        Who::Host { workers: 2 },
        Who::OfficialSdk,
        Who::Robyn { processes: 2 },
    ];

    fn hold(sample: impl FnMut(Who, u32) -> Result<[f64; 2]>) -> (Report, Result<()>) {
        let bench = Bench {
            rounds: 3,
            seconds: 0.0,
            programs: PathBuf::new(),
        };
        let contest = Contest {
            who: &WHO,
            cases: &[1, 16],
            measured: [("rate", "1/s"), ("p99", "ms")],
        };
        let mut report = Report::new();
        let held = contest.hold(&bench, &mut report, sample);
        (report, held)
    }

    #[test]
    fn each_of_ours_stands_beside_the_peers_of_its_size() {
        let (report, held) = hold(|who, case| match who {
            Who::OfficialSdk => Ok([f64::from(case), 4.0]),
            _ => Ok([f64::from(case) * 10.0, 1.0]),
        });
        held.unwrap();
        let told = report.to_json();
        let rows = told["rows"].as_array().unwrap();
        let title =
            |row: &serde_json::Value| format!("{}|{}", row["case"], row["peer"]).replace('"', "");
        let names: Vec<_> = rows.iter().map(title).take(6).collect();
        assert_eq!(
            names,
            [
                "Python 1, rate|official SDK",
                "Python 1, p99|official SDK",
                "Python 1, 2 workers, rate|official SDK",
                "Python 1, 2 workers, rate|robyn, 2 processes",
                "Python 1, 2 workers, p99|official SDK",
                "Python 1, 2 workers, p99|robyn, 2 processes",
            ]
        );
        assert_eq!(rows.len(), 12);
        assert_eq!(rows[0]["ratio"]["median"], 10.0);
        assert_eq!(rows[1]["ratio"]["median"], 0.25);
        assert_eq!(rows[0]["ours"]["samples"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_peer_that_fails_is_missed_in_its_case_only() {
        let (report, held) = hold(|who, case| match who {
            Who::Robyn { .. } if case == 16 => Err(Failed("no answer".to_owned())),
            _ => Ok([1.0, 1.0]),
        });
        held.unwrap();
        let told = report.to_json();
        assert_eq!(told["rows"].as_array().unwrap().len(), 10);
        assert_eq!(
            told["missed"],
            serde_json::json!(["robyn, 2 processes, 16: no answer"])
        );
    }

    #[test]
    fn where_ours_fails_nothing_is_compared() {
        let (report, held) = hold(|who, _| match who {
            Who::Host { workers: 2 } => Err(Failed("gone".to_owned())),
            _ => Ok([1.0, 1.0]),
        });
        assert!(held.is_err());
        assert_eq!(report.to_json()["rows"], serde_json::json!([]));
    }
}
