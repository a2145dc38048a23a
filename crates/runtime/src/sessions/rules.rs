//! The rules of the table of sessions, one at a time.

use std::time::Duration;

use EndReason::{Ended, Evicted, Idle, Lifetime, Shutdown};
use tokio::time::Instant;

use super::table::{Refusal, Serial, Table};
use super::{EndReason, Session, SessionLimits};
use crate::SessionId;

/// A table with a clock that the test sets, in seconds.
struct Clocked {
    table: Table,
    start: Instant,
    now: u64,
}

/// 10 seconds idle, 100 in all, 3 sessions.
fn small() -> SessionLimits {
    SessionLimits::default()
        .idle_timeout(Duration::from_secs(10))
        .max_lifetime(Duration::from_secs(100))
        .max_open(3)
}

impl Clocked {
    fn new(limits: SessionLimits) -> Self {
        let start = Instant::now();
        Self {
            table: Table::new(limits, start),
            start,
            now: 0,
        }
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = seconds;
        self
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.now)
    }

    fn open(&mut self, id: &str) -> Result<(Serial, Session), Refusal> {
        self.table.open(&name(id), self.now())
    }

    /// Opens one that the test knows there is room for.
    fn lease(&mut self, id: &str) -> Serial {
        self.open(id).unwrap().0
    }

    fn release(&mut self, serial: Serial) {
        self.table.release(serial, self.now());
    }

    /// Begins and ends an invocation.
    fn touch(&mut self, id: &str) {
        let serial = self.lease(id);
        self.release(serial);
    }

    fn end(&mut self, id: &str) -> bool {
        self.table.end(&name(id), self.now())
    }

    /// Sweeps, and returns what has ended since the last time.
    fn ended(&mut self) -> Vec<(String, EndReason)> {
        self.table.sweep(self.now());
        let ended = self.table.take_ended();
        let described = ended
            .iter()
            .map(|it| (it.session.id().to_string(), it.reason));
        described.collect()
    }
}

fn name(id: &str) -> SessionId {
    id.parse().unwrap()
}

fn is(id: &str, reason: EndReason) -> (String, EndReason) {
    (id.to_owned(), reason)
}

#[test]
fn the_idle_time_begins_with_the_end_of_the_last_invocation() {
    let mut clocked = Clocked::new(small());
    let (first, second) = (clocked.lease("a"), clocked.lease("a"));
    clocked.at(50).release(first);
    assert_eq!(clocked.at(60).ended(), [], "the second goes on");
    clocked.release(second);
    let due = clocked.start + Duration::from_secs(70);
    assert_eq!(clocked.table.next_end(), Some(due));
    assert_eq!(clocked.at(69).ended(), []);
    assert_eq!(clocked.at(70).ended(), [is("a", Idle)]);
    assert_eq!(clocked.table.len(), 0);
    assert_eq!(clocked.table.next_end(), None);
}

#[test]
fn an_invocation_that_comes_too_late_gets_a_new_session_though_nobody_swept() {
    for (late, reason) in [(10, Idle), (200, Idle)] {
        let mut clocked = Clocked::new(small());
        let (serial, session) = clocked.open("a").unwrap();
        session.insert(1_u8);
        clocked.release(serial);
        let (_, session) = clocked.at(late).open("a").unwrap();
        assert_eq!(session.get::<u8>(), None);
        assert_eq!(clocked.ended(), [is("a", reason)]);
    }
}

#[test]
fn what_was_due_first_is_why_a_session_ended() {
    let mut clocked = Clocked::new(small());
    clocked.at(0).touch("old");
    for seconds in [9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 95] {
        clocked.at(seconds).touch("old");
    }
    clocked.at(89).touch("young");
    let ended = clocked.at(1_000).ended();
    assert_eq!(ended, [is("old", Lifetime), is("young", Idle)]);
}

#[test]
fn a_session_that_is_too_old_is_kept_by_its_invocations_and_found_by_no_other() {
    let mut clocked = Clocked::new(small());
    let (old, session) = clocked.open("a").unwrap();
    session.insert(1_u8);
    assert_eq!(clocked.at(100).ended(), []);
    let (new, other) = clocked.open("a").unwrap();
    assert_eq!(other.get::<u8>(), None);
    assert_eq!(session.get::<u8>().as_deref(), Some(&1));
    assert_eq!(clocked.table.len(), 2);
    clocked.at(150).release(old);
    assert_eq!(clocked.ended(), [is("a", Lifetime)]);
    clocked.release(new);
    assert_eq!(clocked.at(160).ended(), [is("a", Idle)]);
}

#[test]
fn the_session_whose_last_invocation_ended_first_makes_room() {
    let mut clocked = Clocked::new(small());
    let (a, b) = (clocked.lease("a"), clocked.lease("b"));
    clocked.touch("c");
    clocked.at(1).release(b);
    clocked.at(2).release(a);
    clocked.at(3).touch("c");
    for (id, makes_room) in [("d", "b"), ("e", "a"), ("f", "c"), ("g", "d")] {
        clocked.touch(id);
        assert_eq!(clocked.ended(), [is(makes_room, Evicted)]);
        assert_eq!(clocked.table.len(), 3);
    }
}

#[test]
fn a_session_with_an_invocation_makes_no_room() {
    let mut clocked = Clocked::new(small());
    let a = clocked.lease("a");
    clocked.touch("b");
    let c = clocked.lease("c");
    let d = clocked.lease("d");
    assert_eq!(clocked.ended(), [is("b", Evicted)]);
    assert_eq!(clocked.open("e").unwrap_err(), Refusal::Full);
    assert!(clocked.open("a").is_ok(), "one that is there needs no room");
    clocked.release(d);
    assert!(clocked.open("e").is_ok());
    assert_eq!(clocked.ended(), [is("d", Evicted)]);
    for serial in [a, c] {
        clocked.release(serial);
    }
}

#[test]
fn a_retired_session_takes_room_until_it_has_ended() {
    let mut clocked = Clocked::new(small().max_open(1));
    let serial = clocked.lease("a");
    assert!(clocked.end("a"));
    assert_eq!(clocked.open("a").unwrap_err(), Refusal::Full);
    clocked.release(serial);
    assert_eq!(clocked.ended(), [is("a", Ended)]);
    assert!(clocked.open("a").is_ok());
}

#[test]
fn a_session_is_ended_once() {
    let mut clocked = Clocked::new(small());
    assert!(!clocked.end("a"));
    clocked.touch("a");
    assert!(clocked.end("a"));
    assert!(!clocked.end("a"));
    assert_eq!(clocked.ended(), [is("a", Ended)]);
}

#[test]
fn limits_without_measure_hold() {
    let never = small()
        .idle_timeout(Duration::MAX)
        .max_lifetime(Duration::MAX);
    let mut clocked = Clocked::new(never);
    clocked.touch("a");
    assert_eq!(clocked.at(1_000_000_000).ended(), []);
    assert_eq!(clocked.table.next_end(), None);

    let mut clocked = Clocked::new(small().idle_timeout(Duration::ZERO));
    let serial = clocked.lease("a");
    assert_eq!(clocked.ended(), []);
    clocked.release(serial);
    assert_eq!(clocked.ended(), [is("a", Idle)]);

    let mut clocked = Clocked::new(small().max_lifetime(Duration::ZERO));
    let (first, second) = (clocked.lease("a"), clocked.lease("a"));
    assert_ne!(first, second, "each invocation has a session of its own");

    let mut clocked = Clocked::new(small().max_open(0));
    assert!(clocked.open("a").is_ok(), "one at least");
}

#[test]
fn time_never_goes_back() {
    let mut clocked = Clocked::new(small());
    let serial = clocked.at(50).lease("a");
    clocked.at(40).release(serial);
    assert_eq!(clocked.at(59).ended(), []);
    assert_eq!(clocked.at(60).ended(), [is("a", Idle)]);
}

#[test]
fn at_the_end_sessions_end_with_their_invocations() {
    let mut clocked = Clocked::new(small());
    let a = clocked.lease("a");
    let retired = clocked.lease("b");
    clocked.end("b");
    clocked.touch("c");
    clocked.table.close_when_idle(clocked.now());
    assert_eq!(clocked.ended(), [is("c", Shutdown)]);
    clocked.touch("c");
    assert_eq!(clocked.ended(), [is("c", Shutdown)], "it was late");
    clocked.release(a);
    assert_eq!(clocked.ended(), [is("a", Shutdown)]);
    let late = clocked.lease("d");
    clocked.table.close(clocked.now());
    assert_eq!(clocked.ended(), [is("b", Ended), is("d", Shutdown)]);
    assert_eq!(clocked.open("d").unwrap_err(), Refusal::Closed);
    for serial in [late, retired] {
        clocked.release(serial);
    }
    assert_eq!(clocked.ended(), []);
}

#[test]
fn the_table_is_small_again_after_many_sessions() {
    const MANY: usize = 100_000;
    for at_a_time in [10, MANY] {
        let mut clocked = Clocked::new(small().max_open(at_a_time));
        for number in 0..MANY {
            clocked.touch(&number.to_string());
            if at_a_time < MANY {
                clocked.table.take_ended();
            }
        }
        assert_eq!(clocked.table.len(), at_a_time);
        assert_eq!(clocked.at(10).ended().len(), at_a_time);
        assert!(
            clocked.table.capacity() <= 200,
            "{}",
            clocked.table.capacity()
        );
    }
}

#[test]
fn reasons_are_words() {
    for (reason, words) in [
        (Idle, "idle timeout"),
        (Lifetime, "maximum lifetime"),
        (Evicted, "evicted for a new session"),
        (Ended, "ended by the agent"),
        (Shutdown, "shutdown"),
    ] {
        assert_eq!(reason.to_string(), words);
    }
}
