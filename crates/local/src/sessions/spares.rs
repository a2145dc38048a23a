//! The sandboxes that wait for sessions to come: which one a session takes, how many are missing, and how soon one that
//! was lost is replaced.
//!
//! It keeps and counts them; `sessions` starts them. With none wanted, the one that was started before the front door was
//! ready waits all the same, for ever and for the first session.

use std::sync::Arc;
use std::time::Duration;

use crate::error::EndCause;
use crate::sandbox::Sandbox;
use crate::status::SandboxState;

/// How long the first replacement waits for one that was lost, and how long any does at most.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// The sandboxes without a session.
pub(super) struct Spares {
    wanted: usize,
    waiting: Vec<Arc<Sandbox>>,
    /// How many were lost since one was taken that was ready.
    lost: u32,
}

impl Spares {
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            wanted,
            waiting: Vec::new(),
            lost: 0,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Sandbox>> {
        self.waiting.iter()
    }

    pub(super) fn add(&mut self, sandbox: Arc<Sandbox>) {
        self.waiting.push(sandbox);
    }

    /// Takes the one that answers soonest, if there is one.
    ///
    /// One that stopped answering would only make a session wait: it is ended instead, where others are to replace it.
    pub(super) fn take(&mut self) -> Option<Arc<Sandbox>> {
        let wanted = self.wanted;
        self.waiting.retain(|spare| {
            let is_silent = spare.state() == SandboxState::Unresponsive;
            if is_silent && wanted > 0 {
                spare.ask_to_end(EndCause::Unresponsive);
            }
            !spare.has_ended()
        });
        let places = 0..self.waiting.len();
        // The oldest of those that are alike.
        let best = places.min_by_key(|&at| self.waiting[at].state() != SandboxState::Ready)?;
        let spare = self.waiting.remove(best);
        if spare.was_ready() {
            self.lost = 0;
        }
        Some(spare)
    }

    /// How many must be started.
    pub(super) fn missing(&self) -> usize {
        let live = self.waiting.iter().filter(|it| !it.has_ended()).count();
        self.wanted.saturating_sub(live)
    }

    /// Forgets one of which nothing is left, and returns how soon it is to be replaced, if it waited here.
    pub(super) fn forget(&mut self, gone: &Arc<Sandbox>) -> Option<Duration> {
        let at = self.waiting.iter().position(|it| Arc::ptr_eq(it, gone))?;
        self.waiting.remove(at);
        if self.wanted == 0 {
            return None;
        }
        if gone.was_ready() && gone.is_over_for_age() {
            return Some(Duration::ZERO);
        }
        let pause = pause(self.lost);
        self.lost = self.lost.saturating_add(1);
        Some(pause)
    }
}

/// How long to wait after so many were lost before.
fn pause(lost: u32) -> Duration {
    let factor = 2_u32.saturating_pow(lost);
    SHORTEST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_come_more_and_more_seldom() {
        let seconds: Vec<u64> = (0..12).map(|lost| pause(lost).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
