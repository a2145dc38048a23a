//! The table of sessions beside a naive one, through random operations at random times.

use std::time::Duration;

use EndReason::{Ended, Evicted, Idle, Lifetime, Shutdown};
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::time::Instant;

use super::table::{Refusal, Serial, Table};
use super::{EndReason, SessionLimits};
use crate::SessionId;

/// A list of sessions that is searched for everything; times are milliseconds.
struct Naive {
    idle_timeout: u64,
    max_lifetime: u64,
    max_open: usize,
    now: u64,
    is_closing: bool,
    is_closed: bool,
    created: usize,
    /// In the order in which they were created.
    sessions: Vec<Known>,
    /// The numbers of those without an invocation, in the order in which they lost it.
    resting: Vec<usize>,
    ended: Vec<(usize, EndReason)>,
}

struct Known {
    number: usize,
    id: u8,
    born: u64,
    invocations: usize,
    rests_since: u64,
    retired: Option<EndReason>,
}

impl Naive {
    fn known(&mut self, number: usize) -> Option<&mut Known> {
        self.sessions.iter_mut().find(|it| it.number == number)
    }

    /// All that can become due, as (time, idle before lifetime, place in its order, number).
    fn due(&self) -> Option<(u64, u8, usize, usize)> {
        let resting = self.resting.iter().enumerate().map(|(place, &number)| {
            let known = self.sessions.iter().find(|it| it.number == number).unwrap();
            (known.rests_since + self.idle_timeout, 0, place, number)
        });
        let living = self.sessions.iter().filter(|it| it.retired.is_none());
        let living = living.map(|it| (it.born + self.max_lifetime, 1, it.number, it.number));
        resting.chain(living).min()
    }

    fn pass(&mut self, now: u64) {
        self.now = self.now.max(now);
        while let Some((at, kind, _, number)) = self.due()
            && at <= self.now
        {
            self.retire(number, if kind == 0 { Idle } else { Lifetime });
        }
    }

    fn retire(&mut self, number: usize, reason: EndReason) {
        self.resting.retain(|&it| it != number);
        let known = self.known(number).unwrap();
        known.retired = Some(reason);
        if known.invocations == 0 {
            self.finish(number);
        }
    }

    fn finish(&mut self, number: usize) {
        let place = self.sessions.iter().position(|it| it.number == number);
        let known = self.sessions.remove(place.unwrap());
        self.ended.push((number, known.retired.unwrap()));
    }

    fn find(&self, id: u8) -> Option<usize> {
        let found = |it: &&Known| it.id == id && it.retired.is_none();
        Some(self.sessions.iter().find(found)?.number)
    }

    fn open(&mut self, id: u8) -> Result<usize, Refusal> {
        if self.is_closed {
            return Err(Refusal::Closed);
        }
        if let Some(number) = self.find(id) {
            self.resting.retain(|&it| it != number);
            self.known(number).unwrap().invocations += 1;
            return Ok(number);
        }
        if self.sessions.len() == self.max_open {
            let longest = self.resting.first().copied().ok_or(Refusal::Full)?;
            self.retire(longest, Evicted);
        }
        self.sessions.push(Known {
            number: self.created,
            id,
            born: self.now,
            invocations: 1,
            rests_since: 0,
            retired: None,
        });
        self.created += 1;
        Ok(self.created - 1)
    }

    fn release(&mut self, number: usize) {
        let (now, is_closing) = (self.now, self.is_closing);
        let Some(known) = self.known(number) else {
            return;
        };
        known.invocations -= 1;
        known.rests_since = now;
        match (known.invocations, known.retired) {
            (0, Some(_)) => self.finish(number),
            (0, None) if is_closing => self.retire(number, Shutdown),
            (0, None) => self.resting.push(number),
            _ => {}
        }
        self.pass(now);
    }

    fn end(&mut self, id: u8) -> bool {
        let number = self.find(id);
        if let Some(number) = number {
            self.retire(number, Ended);
        }
        number.is_some()
    }

    fn close_when_idle(&mut self) {
        self.is_closing = true;
        while let Some(&number) = self.resting.first() {
            self.retire(number, Shutdown);
        }
    }

    fn close(&mut self) {
        self.close_when_idle();
        self.is_closed = true;
        let all = self.sessions.drain(..);
        let ended = all.map(|it| (it.number, it.retired.unwrap_or(Shutdown)));
        self.ended.extend(ended);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open(u8),
    Release(Index),
    End(u8),
    Sweep,
    CloseWhenIdle,
    Close,
}

/// What to do, how many milliseconds later, and how many milliseconds earlier its thread looked at the clock.
type Timed = (Step, u64, u64);

fn steps() -> impl Strategy<Value = Vec<Timed>> {
    let id = 0..6_u8;
    let step = prop_oneof![
        160 => id.clone().prop_map(Step::Open),
        160 => any::<Index>().prop_map(Step::Release),
        20 => id.prop_map(Step::End),
        40 => Just(Step::Sweep),
        3 => Just(Step::CloseWhenIdle),
        1 => Just(Step::Close),
    ];
    let later = prop_oneof![3 => Just(0_u64), 3 => 1..8_u64, 1 => 8..60_u64];
    let earlier = prop_oneof![4 => Just(0_u64), 1 => 1..5_u64];
    prop::collection::vec((step, later, earlier), 0..80)
}

/// The number under which the test knows a session, kept as the session's state.
struct Number(usize);

/// Both tables, and the invocations that were given sessions.
struct Both {
    table: Table,
    naive: Naive,
    start: Instant,
    open: Vec<(Serial, usize)>,
}

impl Both {
    fn new(idle_timeout: u64, max_lifetime: u64, max_open: usize) -> Self {
        let limits = SessionLimits::default()
            .idle_timeout(Duration::from_millis(idle_timeout))
            .max_lifetime(Duration::from_millis(max_lifetime))
            .max_open(max_open);
        let start = Instant::now();
        Self {
            table: Table::new(limits, start),
            naive: Naive {
                idle_timeout,
                max_lifetime,
                max_open,
                now: 0,
                is_closing: false,
                is_closed: false,
                created: 0,
                sessions: Vec::new(),
                resting: Vec::new(),
                ended: Vec::new(),
            },
            start,
            open: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step, told: u64) -> Result<(), TestCaseError> {
        let now = self.start + Duration::from_millis(told);
        self.naive.pass(told);
        match step {
            Step::Open(id) => self.open(*id, now)?,
            Step::Release(index) => {
                if self.open.is_empty() {
                    self.table.sweep(now);
                } else {
                    let (serial, number) = self.open.swap_remove(index.index(self.open.len()));
                    self.table.release(serial, now);
                    self.naive.release(number);
                }
            }
            Step::End(id) => {
                let ended = self.table.end(&name(*id), now);
                prop_assert_eq!(ended, self.naive.end(*id));
            }
            Step::Sweep => self.table.sweep(now),
            Step::CloseWhenIdle => {
                self.table.close_when_idle(now);
                self.naive.close_when_idle();
            }
            Step::Close => {
                self.table.close(now);
                self.naive.close();
            }
        }
        self.compare()
    }

    fn open(&mut self, id: u8, now: Instant) -> Result<(), TestCaseError> {
        let fresh = self.naive.created;
        let opened = self.table.open(&name(id), now);
        let number = opened.as_ref().map(|(_, session)| {
            assert_eq!(session.id(), &name(id));
            session.get_or_init(|| Number(fresh)).0
        });
        prop_assert_eq!(number.map_err(|&refusal| refusal), self.naive.open(id));
        if let Ok((serial, session)) = opened {
            self.open.push((serial, session.get::<Number>().unwrap().0));
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let ended = self.table.take_ended();
        let ended: Vec<_> = ended
            .iter()
            .map(|it| (it.session.get::<Number>().unwrap().0, it.reason))
            .collect();
        for (number, _) in &ended {
            let has_invocation = self.open.iter().any(|(_, open)| open == number);
            prop_assert!(!has_invocation || self.table.is_closed());
        }
        prop_assert_eq!(ended, std::mem::take(&mut self.naive.ended));
        prop_assert_eq!(self.table.len(), self.naive.sessions.len());
        prop_assert!(self.table.len() <= self.naive.max_open);
        let next = self.naive.due().map(|(at, ..)| at);
        let next = next.map(|at| self.start + Duration::from_millis(at));
        prop_assert_eq!(self.table.next_end(), next);
        Ok(())
    }
}

fn name(id: u8) -> SessionId {
    format!("session-{id}").parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_table_does_what_a_naive_one_does(
        (idle_timeout, max_lifetime, max_open) in (0..40_u64, 0..120_u64, 1..5_usize),
        steps in steps(),
    ) {
        let mut both = Both::new(idle_timeout, max_lifetime, max_open);
        let mut now = 0;
        for (step, later, earlier) in &steps {
            now += later;
            both.step(step, now.saturating_sub(*earlier))?;
        }
        // What nobody has any longer ends by itself.
        while let Some((serial, number)) = both.open.pop() {
            both.table.release(serial, both.start + Duration::from_millis(now));
            both.naive.pass(now);
            both.naive.release(number);
            both.compare()?;
        }
        both.step(&Step::Sweep, now + idle_timeout + max_lifetime)?;
        prop_assert_eq!(both.table.len(), 0);
    }
}
