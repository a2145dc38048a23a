//! Which connections are idle, who waits for one, and when the worker is asked for more. It neither waits nor writes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Link;
use super::pace::{EAGER, Pace, Stretch, Waiting};

/// If no call ends for this long while one waits, all that run are taken to block.
pub(super) const TICK: Duration = Duration::from_millis(3);

/// What was asked for has so many moments to come before more is asked for.
const GRACE: u32 = 8;

/// Who waits for longer than this waits long, also while other calls end.
const LONG: Duration = Duration::from_millis(25);

/// A call that waits for longer is worth a line in the log, where every thread is busy.
const TOO_LONG: Duration = Duration::from_secs(5);

/// How long such a line stands.
const SILENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct State {
    idle: Vec<Link>,
    waiters: VecDeque<Waiter>,
    /// Connections that exist, idle or in a call.
    open: usize,
    /// Connections that the worker was asked for and has not opened yet.
    asked: usize,
    pub(super) pace: Pace,
    /// How many calls have ended.
    ended: u64,
    /// Moments since the number of calls that may run at once was last doubled.
    since_step: u32,
    /// Counts the stretches of time that are judged.
    stretch: u64,
    /// How many calls run that have begun in this one.
    fresh: usize,
    /// Who waits for the thread of a call whose connection was cut.
    cut: HashMap<u32, oneshot::Sender<()>>,
    /// Nobody gets a connection any more.
    retired: bool,
    /// All connections are gone.
    closed: bool,
    complained: Option<Instant>,
    clock: Clock,
}

/// The task that keeps the time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Clock {
    #[default]
    Off,
    On,
    /// It wants to be told when somebody waits.
    Listening,
}

/// What has to be done about the task that keeps the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Start,
    Tell,
}

#[derive(Debug)]
struct Waiter {
    sender: oneshot::Sender<Link>,
    since: Instant,
}

/// What is to be judged next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Whether any call ends: so many have so far.
    Moment { ended: u64 },
    /// A stretch of time: nobody waits whom another thread would help at once.
    Stretch,
}

impl State {
    /// Takes a connection or a place in the queue; `None` if the worker is gone or takes no more calls.
    pub(super) fn take_or_wait(
        &mut self,
        now: impl FnOnce() -> Instant,
    ) -> Option<Result<Link, oneshot::Receiver<Link>>> {
        if self.closed || self.retired {
            return None;
        }
        if self.waiters.is_empty()
            && self.busy() < self.pace.allowed()
            && let Some(link) = self.idle.pop()
        {
            return Some(Ok(self.lend(link)));
        }
        let (sender, receiver) = oneshot::channel();
        let since = now();
        self.waiters.push_back(Waiter { sender, since });
        Some(Err(receiver))
    }

    /// Adds a connection that the worker has opened.
    pub(super) fn add(&mut self, link: Link) {
        self.open += 1;
        self.asked = self.asked.saturating_sub(1);
        self.put(link);
    }

    /// Takes a connection back after a call.
    pub(super) fn give_back(&mut self, link: Link) {
        self.ended = self.ended.wrapping_add(1);
        self.return_unused(link);
    }

    /// Takes a connection back that nobody has used.
    pub(super) fn return_unused(&mut self, link: Link) {
        if link.lent_in == self.stretch {
            self.fresh = self.fresh.saturating_sub(1);
        }
        self.put(link);
    }

    /// Forgets a connection that was lent; returns how many to ask for.
    pub(super) fn lose(&mut self) -> usize {
        self.open = self.open.saturating_sub(1);
        self.serve();
        self.growth()
    }

    /// Notes and returns how many connections to ask for.
    pub(super) fn growth(&mut self) -> usize {
        let room = self.pace.allowed().saturating_sub(self.open + self.asked);
        if room == 0 {
            return 0;
        }
        self.forget_the_gone();
        let more = room.min(self.waiters.len().saturating_sub(self.asked));
        self.asked += more;
        more
    }

    /// A moment is over at whose beginning so many calls had ended; returns how many connections to ask for.
    pub(super) fn tick(&mut self, ended: u64, now: Instant) -> usize {
        self.forget_the_gone();
        self.since_step = self.since_step.saturating_add(1);
        let is_stalled = ended == self.ended && self.waits_for(TICK, now);
        let is_slow_to_come = self.asked > 0 && self.since_step < GRACE;
        if is_stalled && !is_slow_to_come {
            self.pace.stalled();
            self.since_step = 0;
            self.serve();
        }
        self.growth()
    }

    /// Begins a stretch of time, and returns how many calls have ended by then.
    pub(super) fn begin_stretch(&mut self) -> u64 {
        self.stretch = self.stretch.wrapping_add(1);
        self.fresh = 0;
        self.ended
    }

    /// The stretch is over at whose beginning so many calls had ended; returns how many connections to ask for.
    pub(super) fn judge(
        &mut self,
        ended: u64,
        length: Duration,
        busy: Option<Duration>,
        now: Instant,
    ) -> usize {
        self.forget_the_gone();
        self.pace.judge(Stretch {
            length,
            ended: self.ended.wrapping_sub(ended),
            lasting: self.busy().saturating_sub(self.fresh),
            waiting: self.waiting(now),
            busy,
        });
        self.serve();
        self.growth()
    }

    /// Says what is to be judged next; `None`, and the time need not be kept any more, if few threads are enough.
    pub(super) fn next(&mut self) -> Option<Next> {
        self.forget_the_gone();
        if self.closed || !self.needs_time() {
            self.clock = Clock::Off;
            return None;
        }
        self.clock = Clock::On;
        if self.pace.allowed() == self.pace.max() {
            return Some(Next::Stretch);
        }
        if self.waiters.is_empty() {
            self.clock = Clock::Listening;
            return Some(Next::Stretch);
        }
        Some(Next::Moment { ended: self.ended })
    }

    /// Returns what has to be done so that the time is kept, after a call has begun or waits.
    pub(super) fn need_of_time(&mut self) -> Option<Need> {
        let need = match self.clock {
            Clock::Off if self.needs_time() => Need::Start,
            Clock::Listening if !self.waiters.is_empty() => Need::Tell,
            _ => return None,
        };
        self.clock = Clock::On;
        Some(need)
    }

    /// Returns, once in a while, how many threads there are and how many callers wait, if that is too few for too long.
    pub(super) fn complaint(&mut self, now: Instant) -> Option<(usize, usize)> {
        let is_news = self.complained.is_none_or(|at| at + SILENCE <= now);
        let is_exhausted = self.open >= self.pace.max() && self.idle.is_empty();
        if !is_news || !is_exhausted || !self.waits_for(TOO_LONG, now) {
            return None;
        }
        self.complained = Some(now);
        Some((self.open, self.waiters.len()))
    }

    /// Has `sender` hear of the thread that is cut off in `call`.
    pub(super) fn cut(&mut self, call: u32, sender: oneshot::Sender<()>) {
        if !self.closed {
            self.cut.retain(|_, waiting| !waiting.is_closed());
            self.cut.insert(call, sender);
        }
    }

    /// Returns who waits for the thread that was cut off in `call`.
    pub(super) fn came_back(&mut self, call: u32) -> Option<oneshot::Sender<()>> {
        self.cut.remove(&call)
    }

    /// Gives nobody a connection any more, and lets everyone who waits know.
    pub(super) fn retire(&mut self) {
        self.retired = true;
        self.waiters.clear();
    }

    /// Lets all connections go and everyone who waits know.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.idle.clear();
        self.waiters.clear();
        self.cut.clear();
    }

    /// How many connections the worker was asked for and has not opened yet.
    #[cfg(test)]
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// How many connections are lent.
    fn busy(&self) -> usize {
        self.open.saturating_sub(self.idle.len())
    }

    fn needs_time(&self) -> bool {
        !self.waiters.is_empty() || self.busy() > EAGER
    }

    fn waiting(&self, now: Instant) -> Waiting {
        if self.waits_for(LONG, now) {
            Waiting::Long
        } else if self.waiters.is_empty() {
            Waiting::Nobody
        } else {
            Waiting::Some
        }
    }

    fn waits_for(&self, time: Duration, now: Instant) -> bool {
        self.waiters
            .front()
            .is_some_and(|first| first.since + time <= now)
    }

    fn put(&mut self, link: Link) {
        if !self.closed {
            self.idle.push(link);
            self.serve();
        }
    }

    /// Lends to those who wait, in their order, what is idle and may be busy.
    fn serve(&mut self) {
        while self.busy() < self.pace.allowed()
            && let Some(waiter) = self.waiters.pop_front()
        {
            let Some(link) = self.idle.pop() else {
                self.waiters.push_front(waiter);
                return;
            };
            let link = self.lend(link);
            if let Err(link) = waiter.sender.send(link) {
                // Its call was given up.
                self.fresh -= 1;
                self.idle.push(link);
            }
        }
    }

    fn lend(&mut self, mut link: Link) -> Link {
        link.lent_in = self.stretch;
        self.fresh += 1;
        link
    }

    fn forget_the_gone(&mut self) {
        self.waiters.retain(|waiter| !waiter.sender.is_closed());
    }
}

#[cfg(test)]
mod tests;
