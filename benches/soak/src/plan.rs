//! What is asked, of whom, and when the caller leaves: drawn from a generator of numbers, and from nothing else.

use fastrand::Rng;
use serde_json::{Value, json};

/// How many sessions share what the agent remembers between all connections.
const SHARED_SESSIONS: u64 = 100;

/// One request and how its caller behaves.
#[derive(Debug)]
pub(crate) struct Ask {
    /// A number that no other request has.
    pub(crate) nonce: u64,
    pub(crate) session: Option<String>,
    pub(crate) micros: u64,
    pub(crate) work: Work,
    pub(crate) leave: Option<Leave>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Plain,
    Value,
    Echo(String),
    Remember,
    Task { fails: bool },
    Stream { events: u64, end: End },
    Fail,
    Panic,
    WebSocket { messages: u64, end: SocketEnd },
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Fails,
    Panics,
    Silent,
}

/// How a WebSocket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketEnd {
    /// The caller closes it.
    Closes,
    /// The agent's handler fails.
    Fails,
    /// The agent's handler panics.
    Panics,
    /// The caller vanishes.
    Vanishes,
}

/// Where a caller leaves, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leave {
    pub(crate) at: Moment,
    /// By a reset instead of an end.
    pub(crate) reset: bool,
}

/// Where a caller leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Within the head of the request.
    MidHead,
    /// Within its body.
    MidBody,
    /// When all of it is sent.
    BeforeAnswer,
    /// When so many events were read.
    AfterEvents(u64),
}

impl Ask {
    /// Draws the next request.
    pub(crate) fn draw(rng: &mut Rng, nonce: u64) -> Self {
        let work = Work::draw(rng);
        let session = match rng.u8(..10) {
            // What is remembered needs a session to remember it.
            0..2 if work != Work::Remember => None,
            0..6 => Some(format!("shared-session-{}", rng.u64(..SHARED_SESSIONS))),
            _ => Some(format!("session-of-its-own-{nonce}-{:016x}", rng.u64(..))),
        };
        let micros = match work {
            // A pause takes a millisecond at least, and long streams would take most of the time.
            Work::Stream { events: 0..20, .. } => [0, 0, 100, 2000][rng.usize(..4)],
            Work::Stream { .. } => 0,
            Work::Task { .. } => rng.u64(..200_000),
            Work::Plain => rng.u64(..2000),
            _ => [0, rng.u64(..20_000)][rng.usize(..2)],
        };
        let leave = Leave::draw(rng, &work);
        Self {
            nonce,
            session,
            micros,
            work,
            leave,
        }
    }

    /// The payload of the request.
    pub(crate) fn payload(&self) -> Value {
        let work = match &self.work {
            Work::Plain | Work::Value | Work::WebSocket { .. } => json!("value"),
            Work::Echo(text) => json!({ "echo": { "text": text } }),
            Work::Remember => json!("remember"),
            Work::Task { fails } => json!({ "task": { "fails": fails } }),
            Work::Stream { events, end } => {
                json!({ "stream": { "events": events, "end": end.name() } })
            }
            Work::Fail => json!("fail"),
            Work::Panic => json!("panic"),
        };
        json!({ "nonce": self.nonce, "micros": self.micros, "work": work })
    }
}

impl Work {
    /// What this work is called in the summary.
    pub(crate) const NAMES: [&str; 12] = [
        "plain fn",
        "async fn",
        "echo",
        "session state",
        "task",
        "stream",
        "stream that fails",
        "stream that panics",
        "stream that goes silent",
        "error",
        "panic",
        "WebSocket",
    ];

    /// Its place in [`Self::NAMES`].
    pub(crate) fn index(&self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Value => 1,
            Self::Echo(_) => 2,
            Self::Remember => 3,
            Self::Task { .. } => 4,
            Self::Stream { end, .. } => match end {
                End::Whole => 5,
                End::Fails => 6,
                End::Panics => 7,
                End::Silent => 8,
            },
            Self::Fail => 9,
            Self::Panic => 10,
            Self::WebSocket { .. } => 11,
        }
    }

    fn draw(rng: &mut Rng) -> Self {
        match rng.u8(..100) {
            0..15 => Self::Plain,
            15..33 => Self::Value,
            33..39 => Self::Echo(text(rng)),
            39..61 => Self::Remember,
            61..68 => Self::Task {
                fails: rng.u8(..10) == 0,
            },
            68..88 => Self::Stream {
                events: match rng.u8(..40) {
                    0..4 => 0,
                    4..39 => rng.u64(1..20),
                    // More than the runtime reads ahead, and than one write of it takes.
                    _ => rng.u64(200..600),
                },
                end: match rng.u8(..20) {
                    0..13 => End::Whole,
                    13..15 => End::Fails,
                    15..17 => End::Panics,
                    _ => End::Silent,
                },
            },
            88..94 => Self::Fail,
            94..97 => Self::Panic,
            _ => Self::WebSocket {
                messages: rng.u64(..6),
                end: [
                    SocketEnd::Closes,
                    SocketEnd::Fails,
                    SocketEnd::Panics,
                    SocketEnd::Vanishes,
                ][rng.usize(..4)],
            },
        }
    }
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Fails => "fails",
            Self::Panics => "panics",
            Self::Silent => "silent",
        }
    }
}

impl Leave {
    fn draw(rng: &mut Rng, work: &Work) -> Option<Self> {
        let at = match (work, rng.u8(..100)) {
            (Work::WebSocket { .. }, _) => return None,
            (_, 0..2) => Moment::MidHead,
            (_, 2..5) => Moment::MidBody,
            (_, 5..11) => Moment::BeforeAnswer,
            // Nobody waits for what never comes.
            (Work::Stream { events, end }, dice) if *end == End::Silent || dice < 25 => {
                Moment::AfterEvents(match *events {
                    0 => 0,
                    events if *end == End::Silent => [events, rng.u64(..events)][rng.usize(..2)],
                    events => rng.u64(..events),
                })
            }
            _ => return None,
        };
        Some(Self {
            at,
            reset: rng.bool(),
        })
    }
}

/// A text of some bytes up to 64 KB, more often a short one.
fn text(rng: &mut Rng) -> String {
    let len = 1usize << rng.u32(..17);
    let len = rng.usize(len / 2..=len);
    let letter = ["x", "ä", "世", "\"", "\n"][rng.usize(..5)];
    letter.repeat(len / letter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_requests() {
        let draw = |seed| {
            let mut rng = Rng::with_seed(seed);
            let drawn: Vec<Ask> = (0..500).map(|nonce| Ask::draw(&mut rng, nonce)).collect();
            format!("{drawn:?}")
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn everything_is_drawn_and_nobody_waits_for_a_silent_stream() {
        let mut rng = Rng::with_seed(1);
        let mut drawn = [0; Work::NAMES.len()];
        for nonce in 0..5000 {
            let ask = Ask::draw(&mut rng, nonce);
            drawn[ask.work.index()] += 1;
            if let Work::Stream {
                end: End::Silent, ..
            } = ask.work
            {
                assert!(ask.leave.is_some(), "{ask:?}");
            }
        }
        assert!(drawn.iter().all(|&count| count > 0), "{drawn:?}");
    }
}
