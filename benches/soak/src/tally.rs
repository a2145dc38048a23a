//! What was done so far, and what went wrong.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::ask::Went;
use crate::plan::Work;

/// So many failures end the run: more of them tell nothing new.
const ENOUGH: usize = 20;

/// The counts of one run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    answered: [AtomicU64; Work::NAMES.len()],
    left: [AtomicU64; Work::NAMES.len()],
    /// Every visit of a session's state that an answer told.
    visits: Mutex<HashSet<(u64, u64)>>,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    /// Counts a request.
    pub(crate) fn count(&self, work: &Work, went: &Went) {
        let counts = match went {
            Went::Answered => &self.answered,
            Went::Left => &self.left,
        };
        counts[work.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests were carried out.
    pub(crate) fn done(&self) -> u64 {
        let counts = self.answered.iter().chain(&self.left);
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Notes a visit; `false` if it was told before.
    pub(crate) fn visit(&self, born: u64, visit: u64) -> bool {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.insert((born, visit))
    }

    /// How many states were visited first, and how many visits found one that was there.
    pub(crate) fn states(&self) -> (usize, usize) {
        let visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        let first = visits.iter().filter(|(_, visit)| *visit == 0).count();
        (first, visits.len() - first)
    }

    /// Notes a failure.
    pub(crate) fn fail(&self, failure: String) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < ENOUGH {
            failures.push(failure);
        }
    }

    /// Whether it is no use to go on.
    pub(crate) fn is_enough(&self) -> bool {
        self.failures().len() >= ENOUGH
    }

    /// What went wrong.
    pub(crate) fn failures(&self) -> Vec<String> {
        let failures = self.failures.lock();
        failures.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in Work::NAMES.iter().enumerate() {
            let count = |counts: &[AtomicU64]| counts[index].load(Ordering::Relaxed);
            let (answered, left) = (count(&self.answered), count(&self.left));
            writeln!(f, "  {name:<24} {answered:>8} answered {left:>8} left")?;
        }
        let (first, again) = self.states();
        write!(
            f,
            "  {first} session states were new, {again} visits found one"
        )
    }
}
