//! The table of sessions: which there are, which have an invocation, and when each ends.
//!
//! A state machine and nothing else: every operation is told the time, and none waits, locks, or runs code of the agent's. Each
//! first ends what is due by then, so that it never matters whether somebody looked in between.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use tokio::time::Instant;

use super::limits::SessionLimits;
use super::session::Session;
use crate::SessionId;

/// Below this capacity the index of ids is not made smaller.
const SMALL: usize = 64;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// It had no invocation for as long as [`SessionLimits::idle_timeout`] allows.
    Idle,
    /// It was as old as [`SessionLimits::max_lifetime`] allows.
    Lifetime,
    /// A new session took its place: see [`SessionLimits::max_open`].
    Evicted,
    /// The agent ended it: see [`Sessions::end`](crate::Sessions::end).
    Ended,
    /// The server ended.
    Shutdown,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle timeout",
            Self::Lifetime => "maximum lifetime",
            Self::Evicted => "evicted for a new session",
            Self::Ended => "ended by the agent",
            Self::Shutdown => "shutdown",
        })
    }
}

/// A session that ended. Its state is dropped with this, so never under a lock.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) session: Session,
    pub(super) reason: EndReason,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.session.clear();
    }
}

/// Why there is no session for an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many as there may be, and each has an invocation.
    Full,
    /// All have been ended for good.
    Closed,
}

/// What a session is known by; a later one has a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Serial(u64);

/// All sessions, and the latest time that the table was told.
#[derive(Debug)]
pub(super) struct Table {
    limits: SessionLimits,
    now: Instant,
    phase: Phase,
    last_serial: Serial,
    last_turn: u64,
    /// Those that the next invocation of their id gets; the oldest comes first.
    open: BTreeMap<Serial, Entry>,
    by_id: HashMap<SessionId, Serial>,
    /// Those of them without an invocation; the one that has been so for longest comes first.
    idle: BTreeMap<u64, Serial>,
    /// Those that only their last invocations have; they end with these.
    retired: BTreeMap<Serial, Retired>,
    ended: Vec<Ended>,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    since: Instant,
    leases: usize,
    rest: Option<Rest>,
}

/// The time without an invocation: since when, and the place in `Table::idle`.
#[derive(Debug)]
struct Rest {
    since: Instant,
    turn: u64,
}

#[derive(Debug)]
struct Retired {
    session: Session,
    leases: usize,
    reason: EndReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Every session ends with its last invocation.
    Closing,
    /// There are no sessions any longer.
    Closed,
}

impl Table {
    pub(super) fn new(limits: SessionLimits, now: Instant) -> Self {
        Self {
            limits,
            now,
            phase: Phase::Running,
            last_serial: Serial(0),
            last_turn: 0,
            open: BTreeMap::new(),
            by_id: HashMap::new(),
            idle: BTreeMap::new(),
            retired: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    pub(super) fn set_limits(&mut self, limits: SessionLimits) {
        self.limits = limits;
    }

    /// Returns how many sessions have not ended, retired ones included.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.retired.len()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.phase != Phase::Running
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Takes what has ended since this was last called, in the order in which it did.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Gives an invocation the session of that id, a new one if there is none.
    pub(super) fn open(
        &mut self,
        id: &SessionId,
        now: Instant,
    ) -> Result<(Serial, Session), Refusal> {
        self.sweep(now);
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        if let Some(&serial) = self.by_id.get(id)
            && let Some(entry) = self.open.get_mut(&serial)
        {
            entry.leases += 1;
            if let Some(rest) = entry.rest.take() {
                self.idle.remove(&rest.turn);
            }
            return Ok((serial, entry.session.clone()));
        }
        while self.len() >= self.limits.max_open {
            let (_, &longest_idle) = self.idle.first_key_value().ok_or(Refusal::Full)?;
            self.retire(longest_idle, EndReason::Evicted);
        }
        Ok(self.create(id))
    }

    fn create(&mut self, id: &SessionId) -> (Serial, Session) {
        self.last_serial.0 += 1;
        let (serial, session) = (self.last_serial, Session::new(id.clone()));
        let entry = Entry {
            session: session.clone(),
            since: self.now,
            leases: 1,
            rest: None,
        };
        self.open.insert(serial, entry);
        self.by_id.insert(id.clone(), serial);
        (serial, session)
    }

    /// Takes back what one [`Table::open`] gave.
    pub(super) fn release(&mut self, serial: Serial, now: Instant) {
        self.sweep(now);
        if let Some(entry) = self.open.get_mut(&serial) {
            entry.leases -= 1;
            if entry.leases > 0 {
                return;
            }
            self.last_turn += 1;
            entry.rest = Some(Rest {
                since: self.now,
                turn: self.last_turn,
            });
            self.idle.insert(self.last_turn, serial);
            if self.phase == Phase::Closing {
                self.retire(serial, EndReason::Shutdown);
            }
            // An idle timeout of zero is over by now.
            self.sweep(now);
        } else if let Some(retired) = self.retired.get_mut(&serial) {
            retired.leases -= 1;
            if retired.leases == 0 {
                self.end_retired(serial);
            }
        }
    }

    /// Ends the session of that id, once it has no invocation; the next one gets a new session at once.
    pub(super) fn end(&mut self, id: &SessionId, now: Instant) -> bool {
        self.sweep(now);
        let serial = self.by_id.get(id).copied();
        if let Some(serial) = serial {
            self.retire(serial, EndReason::Ended);
        }
        serial.is_some()
    }

    /// Ends what is due by `now`, in the order of the times at which it was.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, serial, reason)) = self.next_due()
            && at <= self.now
        {
            self.retire(serial, reason);
        }
    }

    /// Returns the next time at which something is due; `None` if nothing will be until another operation.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.next_due().map(|(at, ..)| at)
    }

    fn next_due(&self) -> Option<(Instant, Serial, EndReason)> {
        // The first of each order is the first that is due, because the times are the same for all. One that is so late that
        // it cannot be written down never comes.
        let idle = self.idle.first_key_value().and_then(|(_, serial)| {
            let rest = self.open.get(serial)?.rest.as_ref()?;
            let at = rest.since.checked_add(self.limits.idle_timeout)?;
            Some((at, *serial, EndReason::Idle))
        });
        let oldest = self.open.first_key_value().and_then(|(serial, entry)| {
            let at = entry.since.checked_add(self.limits.max_lifetime)?;
            Some((at, *serial, EndReason::Lifetime))
        });
        match (idle, oldest) {
            (Some(idle), Some(oldest)) => Some(if idle.0 <= oldest.0 { idle } else { oldest }),
            (idle, oldest) => idle.or(oldest),
        }
    }

    /// Lets every session end with its last invocation from now on; those without one end at once.
    pub(super) fn close_when_idle(&mut self, now: Instant) {
        self.sweep(now);
        if self.phase == Phase::Running {
            self.phase = Phase::Closing;
        }
        while let Some((_, &serial)) = self.idle.first_key_value() {
            self.retire(serial, EndReason::Shutdown);
        }
    }

    /// Ends all sessions, whoever has them, and opens no more.
    pub(super) fn close(&mut self, now: Instant) {
        self.close_when_idle(now);
        self.phase = Phase::Closed;
        while let Some((&serial, _)) = self.open.first_key_value() {
            self.retire(serial, EndReason::Shutdown);
        }
        while let Some((&serial, _)) = self.retired.first_key_value() {
            self.end_retired(serial);
        }
    }

    /// Lets no further invocation find a session; it ends now or with the last invocation that it has.
    fn retire(&mut self, serial: Serial, reason: EndReason) {
        let Some(entry) = self.open.remove(&serial) else {
            return;
        };
        let Entry {
            session,
            since: _,
            leases,
            rest,
        } = entry;
        self.by_id.remove(session.id());
        if self.by_id.capacity() > SMALL && self.by_id.len() < self.by_id.capacity() / 4 {
            self.by_id.shrink_to(self.by_id.len() * 2);
        }
        if let Some(rest) = rest {
            self.idle.remove(&rest.turn);
        }
        if leases == 0 {
            self.ended.push(Ended { session, reason });
        } else {
            let retired = Retired {
                session,
                leases,
                reason,
            };
            self.retired.insert(serial, retired);
        }
    }

    fn end_retired(&mut self, serial: Serial) {
        if let Some(retired) = self.retired.remove(&serial) {
            let Retired {
                session, reason, ..
            } = retired;
            self.ended.push(Ended { session, reason });
        }
    }

    /// Returns how much room the table takes, in entries.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.by_id.capacity() + self.ended.capacity() + self.len() + self.idle.len()
    }
}
