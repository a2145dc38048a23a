//! What a worker said about its status last, and the question for a newer one.
//!
//! Only a custom ping handler is ever asked: everything else is pushed when it changes. A handler that hangs delays one ping
//! by a moment and no more; what it said last still stands then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentcore_runtime::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use super::outbox::Outbox;
use crate::wire::from_worker::Status;
use crate::wire::to_worker;

/// How long a ping waits for the agent's own handler.
const PATIENCE: Duration = Duration::from_secs(1);

/// Numbers so far ahead are later ones, also where they begin again.
const LATER: u32 = u32::MAX / 2;

/// The status of one worker.
#[derive(Debug, Default)]
pub(super) struct LastStatus {
    state: Mutex<State>,
    /// The number of the question that was answered last.
    answered: watch::Sender<u32>,
}

#[derive(Debug, Default)]
struct State {
    status: Status,
    /// The number of the question that was asked last.
    asked: u32,
    /// Whether somebody has waited in vain for its answer.
    hangs: bool,
}

impl LastStatus {
    pub(super) fn get(&self) -> Status {
        self.lock().status
    }

    /// Takes what the worker says.
    pub(super) fn tell(&self, status: Status) {
        self.lock().status = status;
        if let Some(number) = status.asked {
            self.answered.send_replace(number);
        }
    }

    /// Asks by way of `control`, and waits for the answer.
    pub(super) fn refresh(this: &Arc<Self>, control: &Outbox) -> BoxFuture<'static, ()> {
        let this = Arc::clone(this);
        let number = {
            let mut state = this.lock();
            // One question at a time: a handler that hangs must not fill the connection.
            if state.asked == *this.answered.borrow() {
                state.asked = state.asked.wrapping_add(1);
                state.hangs = false;
                control.push(|out| to_worker::refresh(state.asked, out));
            } else if state.hangs {
                return Box::pin(std::future::ready(()));
            }
            state.asked
        };
        Box::pin(async move {
            let mut answers = this.answered.subscribe();
            // Whoever is late may find a later answer than its own.
            let answered = answers.wait_for(|answered| answered.wrapping_sub(number) <= LATER);
            let in_time = timeout(PATIENCE, answered).await.is_ok();
            let mut state = this.lock();
            if !in_time && state.asked == number {
                state.hangs = true;
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete when the lock is let go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
