//! What was measured: samples, ratios, the table and the JSON.
//!
//! The ratio of a row is the median of the rounds' ratios, not the ratio of the medians: a round compares what ran side
//! by side.

use std::fmt;

use serde_json::{Value, json};

use crate::sh::{Failed, Result};

/// The measurements of one run.
pub(crate) struct Report {
    rows: Vec<Row>,
    missed: Vec<String>,
}

/// Ours beside a peer, one sample a round each.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) case: String,
    /// The name of the peer.
    pub(crate) peer: &'static str,
    /// The unit of the samples.
    pub(crate) unit: &'static str,
    /// Our samples, in the order of the rounds.
    pub(crate) ours: Vec<f64>,
    /// The peer's samples, in the same order.
    pub(crate) theirs: Vec<f64>,
}

impl Row {
    /// A row without samples.
    pub(crate) fn new(case: impl Into<String>, peer: &'static str, unit: &'static str) -> Self {
        Self {
            case: case.into(),
            peer,
            unit,
            ours: Vec::new(),
            theirs: Vec::new(),
        }
    }

    /// Adds the samples of one round.
    pub(crate) fn push(&mut self, ours: f64, theirs: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
    }

    fn ratios(&self) -> Vec<f64> {
        self.ours
            .iter()
            .zip(&self.theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect()
    }
}

impl Report {
    /// A report without rows.
    pub(crate) fn new() -> Self {
        Self {
            rows: Vec::new(),
            missed: Vec::new(),
        }
    }

    /// Adds a row that has samples.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Notes that a group, or a peer in one, was not measured, and why.
    pub(crate) fn missed(&mut self, reason: String) {
        self.missed.push(reason);
    }

    /// Fails if something was not measured.
    pub(crate) fn complete(&self) -> Result<()> {
        match self.missed.first() {
            None => Ok(()),
            Some(reason) => Err(Failed(format!(
                "{} measurements are missing: {reason}",
                self.missed.len()
            ))),
        }
    }

    /// Every sample, for programs.
    pub(crate) fn to_json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "case": row.case, "peer": row.peer, "unit": row.unit, "ratio": summary(&row.ratios()),
                "ours": { "summary": summary(&row.ours), "samples": row.ours },
                "theirs": { "summary": summary(&row.theirs), "samples": row.theirs },
            })
        };
        json!({ "schema_version": 1, "rows": self.rows.iter().map(row).collect::<Vec<_>>(), "missed": self.missed })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.case.len())
            .max()
            .unwrap_or(0);
        for row in &self.rows {
            let Row {
                case,
                peer,
                unit,
                ours,
                theirs,
            } = row;
            let (ratio, ours, theirs) = (shown(&row.ratios()), shown(ours), shown(theirs));
            writeln!(
                f,
                "{case:<width$}  ×{ratio:<28} {ours:<32} {unit:<4} {peer}: {theirs}"
            )?;
        }
        Ok(())
    }
}

/// The middle of the samples.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

fn bounds(samples: &[f64]) -> (f64, f64) {
    let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let high = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low, high)
}

fn summary(samples: &[f64]) -> Value {
    let (low, high) = bounds(samples);
    json!({ "median": median(samples), "min": low, "max": high })
}

fn shown(samples: &[f64]) -> String {
    let (low, high) = bounds(samples);
    format!(
        "{} ({} to {})",
        rounded(median(samples)),
        rounded(low),
        rounded(high)
    )
}

/// Three digits that mean something, whatever the size.
fn rounded(number: f64) -> String {
    match number.abs() {
        it if it >= 100.0 => format!("{number:.0}"),
        it if it >= 10.0 => format!("{number:.1}"),
        it if it >= 1.0 => format!("{number:.2}"),
        it if it == 0.0 || it >= 0.001 => format!("{number:.3}"),
        _ => format!("{number:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_the_rounds() {
        let mut row = Row::new("a", "peer", "ms");
        for (ours, theirs) in [(1.0, 2.0), (9.0, 3.0), (4.0, 4.0)] {
            row.push(ours, theirs);
        }
        assert!((median(&row.ratios()) - 1.0).abs() < f64::EPSILON);
        assert_eq!(shown(&row.ours), "4.00 (1.00 to 9.00)");
    }

    #[test]
    fn a_median_of_an_even_number_lies_between() {
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert_eq!(rounded(123_456.7), "123457");
        assert_eq!(rounded(0.0041), "0.004");
        assert_eq!(rounded(0.0), "0.000");
        assert_eq!(rounded(0.000_012_3), "1.2e-5");
    }

    #[test]
    fn a_group_that_was_missed_fails_the_run_and_is_told_to_programs() {
        let mut report = Report::new();
        assert!(report.complete().is_ok());
        report.missed("no program".to_owned());
        assert!(report.complete().is_err());
        assert_eq!(report.to_json()["missed"][0], "no program");
    }
}
