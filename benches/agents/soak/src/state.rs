//! What a session remembers: whose it is, which one it is, and how often it was visited.

use std::sync::atomic::{AtomicU64, Ordering};

use agentcore_runtime::SessionId;
use serde_json::{Value, json};

/// The number of the next state.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The state of one session.
pub(crate) struct State {
    owner: String,
    born: u64,
    visits: AtomicU64,
}

impl State {
    /// Creates the state of a session.
    pub(crate) fn new(owner: &SessionId) -> Self {
        Self {
            owner: owner.as_str().to_owned(),
            born: NEXT.fetch_add(1, Ordering::Relaxed),
            visits: AtomicU64::new(0),
        }
    }

    /// Counts a visit and says what is remembered; no two visits are told the same.
    pub(crate) fn visit(&self) -> Value {
        let visit = self.visits.fetch_add(1, Ordering::Relaxed);
        json!({ "owner": self.owner, "born": self.born, "visit": visit })
    }
}
