//! How many calls may run at once on the threads of a worker.
//!
//! Handlers that answer quickly are served best by few threads, because these share one interpreter lock; handlers that
//! block need as many threads as there are calls. Which of the two they are shows in how calls end. Nothing here reads
//! a clock or knows a connection.

use std::time::Duration;

/// So many calls may always run at once.
pub(super) const EAGER: usize = 4;

/// A thread that ends so many calls a second is not blocked for long.
const QUICK: u64 = 40;

/// After more threads have turned out to be of no use, so many stretches pass before that is tried again.
const REST_UP: u32 = 300;

/// So many of them are left out if the worker could do more.
const CUT_SHORT: u32 = 280;

/// The same for fewer threads that have turned out to be too few.
const REST_DOWN: u32 = 100;

/// The same if a moment without an end is all there was against them, which a busy machine brings about too.
const SHORT_REST_DOWN: u32 = 10;

/// The number of calls that may run at once.
#[derive(Debug)]
pub(super) struct Pace {
    allowed: usize,
    max: usize,
    trial: Option<Trial>,
    rest_up: u32,
    rest_down: u32,
}

/// What was before another number was tried.
#[derive(Debug)]
struct Trial {
    allowed: usize,
    rate: u64,
}

/// What a stretch of time has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) length: Duration,
    /// How many calls ended in it.
    pub(super) ended: u64,
    /// How many calls went on from before its beginning beyond its end.
    pub(super) lasting: usize,
    pub(super) waiting: Waiting,
    /// For how long the worker was at work; `None` if nobody knows.
    pub(super) busy: Option<Duration>,
}

/// Who waits at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Nobody,
    Some,
    /// Somebody for long.
    Long,
}

impl Pace {
    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
        self.allowed = self.allowed.min(self.max);
    }

    /// For a moment no call has ended, though somebody waits: those that run are taken to block.
    pub(super) fn stalled(&mut self) {
        if self
            .trial
            .take()
            .is_some_and(|before| before.allowed > self.allowed)
        {
            self.rest_down = SHORT_REST_DOWN;
        }
        self.double();
    }

    /// Draws the conclusions from a stretch of time.
    pub(super) fn judge(&mut self, stretch: Stretch) {
        let rate = stretch.rate();
        self.rest_up = self.rest_up.saturating_sub(1);
        self.rest_down = self.rest_down.saturating_sub(1);
        if let Some(before) = self.trial.take()
            && self.is_worse(&before, rate)
        {
            if before.allowed > self.allowed {
                self.rest_down = REST_DOWN;
            } else {
                self.rest_up = REST_UP;
            }
            self.allowed = before.allowed.min(self.max);
            return;
        }
        let is_quick = rate >= QUICK * count(self.allowed);
        let number = match stretch.waiting {
            // Also where more threads do not do more: short calls shall not wait for long ones.
            Waiting::Long if !is_quick => return self.double(),
            Waiting::Long | Waiting::Some if !is_quick && stretch.leaves_room() => {
                return self.double();
            }
            Waiting::Long | Waiting::Some if is_quick && self.may_try_more(&stretch) => {
                (self.allowed * 2).min(self.max)
            }
            _ if self.rest_down == 0 && is_quick && stretch.is_busy() => {
                // Not one thread less than those whose calls are blocked, and some for the others.
                let fewer = (self.allowed / 2).max(EAGER + stretch.lasting);
                fewer.min(self.allowed)
            }
            _ => return,
        };
        if number != self.allowed {
            self.trial = Some(Trial {
                allowed: self.allowed,
                rate,
            });
            self.allowed = number;
        }
    }

    fn may_try_more(&self, stretch: &Stretch) -> bool {
        self.rest_up == 0 || (self.rest_up <= CUT_SHORT && stretch.leaves_room())
    }

    /// Returns whether the number that was tried is worse than the one before: fewer threads may do a little less, more
    /// threads have to do more.
    fn is_worse(&self, before: &Trial, rate: u64) -> bool {
        if self.allowed < before.allowed {
            rate.saturating_mul(8) < before.rate.saturating_mul(7)
        } else {
            rate.saturating_mul(7) < before.rate.saturating_mul(8)
        }
    }

    fn double(&mut self) {
        self.allowed = (self.allowed * 2).min(self.max);
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            allowed: EAGER,
            max: EAGER,
            trial: None,
            rest_up: 0,
            rest_down: 0,
        }
    }
}

impl Stretch {
    /// Calls a second.
    fn rate(&self) -> u64 {
        let millis = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX);
        self.ended.saturating_mul(1000) / millis.max(1)
    }

    /// Whether the worker could have done more, as far as one knows.
    fn leaves_room(&self) -> bool {
        self.busy.is_none_or(|busy| busy < self.length / 5 * 4)
    }

    /// Whether the interpreter lock may have been what the worker waited for.
    fn is_busy(&self) -> bool {
        self.busy.is_some_and(|busy| busy >= self.length / 2)
    }
}

fn count(threads: usize) -> u64 {
    u64::try_from(threads).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(allowed: usize) -> Pace {
        Pace {
            allowed,
            max: 256,
            ..Pace::default()
        }
    }

    /// A second in which the worker was at work all the time, and nobody had to wait.
    fn second(ended: u64) -> Stretch {
        Stretch {
            length: SECOND,
            ended,
            lasting: 0,
            waiting: Waiting::Nobody,
            busy: Some(SECOND),
        }
    }

    fn waiting(waiting: Waiting, ended: u64) -> Stretch {
        Stretch {
            waiting,
            ..second(ended)
        }
    }

    /// What is allowed after each of these.
    fn after(pace: &mut Pace, stretches: impl IntoIterator<Item = Stretch>) -> Vec<usize> {
        stretches
            .into_iter()
            .map(|stretch| {
                pace.judge(stretch);
                pace.allowed()
            })
            .collect()
    }

    #[test]
    fn each_moment_without_an_end_doubles_it_up_to_the_limit() {
        let mut pace = Pace::default();
        pace.set_max(20);
        let mut seen = Vec::new();
        for _ in 0..4 {
            pace.stalled();
            seen.push(pace.allowed());
        }
        assert_eq!(seen, [8, 16, 20, 20]);
    }

    #[test]
    fn quick_calls_bring_it_back_to_a_few() {
        let seen = after(&mut pace(64), [second(20_000); 6]);
        assert_eq!(seen, [32, 16, 8, 4, 4, 4]);
    }

    #[test]
    fn fewer_that_end_fewer_calls_are_too_few() {
        let mut pace = pace(64);
        assert_eq!(after(&mut pace, [20_000, 17_000].map(second)), [32, 64]);
        let rest = vec![second(20_000); REST_DOWN as usize];
        let seen = after(&mut pace, rest);
        assert_eq!(seen.iter().position(|it| *it != 64), Some(seen.len() - 1));
    }

    #[test]
    fn a_moment_without_an_end_after_that_makes_it_wait_a_little() {
        let mut pace = pace(64);
        assert_eq!(after(&mut pace, [second(20_000)]), [32]);
        pace.stalled();
        let rest = vec![second(20_000); SHORT_REST_DOWN as usize];
        let seen = after(&mut pace, rest);
        assert_eq!(seen.iter().position(|it| *it != 64), Some(seen.len() - 1));
    }

    #[test]
    fn more_that_end_more_calls_are_kept() {
        let seen = after(
            &mut pace(8),
            [4_000, 8_000, 16_000, 20_000, 20_000].map(|ended| waiting(Waiting::Some, ended)),
        );
        assert_eq!(seen, [16, 32, 64, 128, 64]);
    }

    #[test]
    fn more_that_end_no_more_calls_are_of_no_use_for_a_while() {
        let mut pace = pace(4);
        let seen = after(&mut pace, [waiting(Waiting::Long, 20_000); 2]);
        assert_eq!(seen, [8, 4]);
        let rest = vec![waiting(Waiting::Long, 20_000); REST_UP as usize];
        let seen = after(&mut pace, rest);
        assert_eq!(seen.iter().position(|it| *it != 4), Some(seen.len() - 1));
        assert_eq!(after(&mut pace, [waiting(Waiting::Long, 20_000)]), [4]);
        // Now it could do more.
        let idle = Stretch {
            busy: Some(SECOND / 3),
            ..waiting(Waiting::Long, 20_000)
        };
        let rest = vec![idle; (REST_UP - CUT_SHORT) as usize];
        let seen = after(&mut pace, rest);
        assert_eq!(seen.iter().position(|it| *it != 4), Some(seen.len() - 1));
    }

    #[test]
    fn calls_that_block_keep_their_threads() {
        let blocking = [
            // The worker could do more.
            Stretch {
                busy: Some(SECOND / 3),
                ..second(20_000)
            },
            // They take long.
            second(64 * QUICK - 1),
            // Nobody knows.
            Stretch {
                busy: None,
                ..second(20_000)
            },
        ];
        for stretch in blocking {
            assert_eq!(after(&mut pace(64), [stretch]), [64], "{stretch:?}");
        }
    }

    #[test]
    fn calls_that_last_have_threads_beside_the_few_for_the_others() {
        let stretch = Stretch {
            lasting: 10,
            ..second(20_000)
        };
        assert_eq!(after(&mut pace(64), [stretch; 6]).last(), Some(&14));
    }

    #[test]
    fn slow_calls_get_more_threads_when_somebody_waits_for_long_or_the_worker_could_do_more() {
        for (waiting, busy, allowed) in [
            (Waiting::Long, Some(SECOND), 32),
            (Waiting::Some, Some(SECOND), 16),
            (Waiting::Some, Some(SECOND / 3), 32),
            (Waiting::Some, None, 32),
            (Waiting::Nobody, Some(SECOND / 3), 16),
        ] {
            let stretch = Stretch {
                waiting,
                busy,
                ..second(16 * QUICK - 1)
            };
            assert_eq!(after(&mut pace(16), [stretch]), [allowed], "{stretch:?}");
        }
    }
}
