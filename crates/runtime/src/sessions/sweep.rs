//! The clock of the sessions: one task that sleeps until the next time at which one can end.
//!
//! The table needs no clock to be right, because it looks at the time whenever it is used; this is for sessions that nobody
//! asks for any longer.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Shared;

/// How long there is nothing to do.
pub(super) enum Pause {
    Until(Instant),
    UntilTold,
}

/// Ends sessions when they are due, until there is no app around them or they have been closed.
pub(super) async fn run(sessions: Weak<Shared>, alarm: Arc<Notify>) {
    // Held only for a look: a sleeping clock keeps no sessions.
    while let Some(pause) = sessions.upgrade().and_then(|shared| shared.sweep()) {
        match pause {
            Pause::UntilTold => alarm.notified().await,
            Pause::Until(at) => tokio::select! {
                () = sleep_until(at) => {}
                () = alarm.notified() => {}
            },
        }
    }
}
