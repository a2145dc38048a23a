//! What a worker said about its status last, and the question for a newer one.
//!
//! Only a custom ping handler is ever asked: everything else is pushed when it changes. A handler that hangs delays one ping
//! by a moment and no more; what it said last still stands then.

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
pub(super) struct LastStatus(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    status: Status,
    /// The numbers of the questions that were asked and answered last.
    asked: u32,
    answered: u32,
    /// Whether somebody has waited in vain for the last answer.
    hangs: bool,
}

impl LastStatus {
    pub(super) fn get(&self) -> Status {
        self.0.borrow().status
    }

    /// Takes what the worker says.
    pub(super) fn tell(&self, status: Status) {
        self.0.send_modify(|state| {
            state.status = status;
            state.answered = status.asked.unwrap_or(state.answered);
        });
    }

    /// Asks by way of `control`, and waits for the answer.
    pub(super) fn refresh(&self, control: &Outbox) -> BoxFuture<'static, ()> {
        let mut number = None;
        self.0.send_if_modified(|state| {
            // One question at a time: a handler that hangs must not fill the connection.
            if state.asked == state.answered {
                state.asked = state.asked.wrapping_add(1);
                state.hangs = false;
                control.push(|out| to_worker::refresh(state.asked, out));
            }
            number = Some(state.asked).filter(|_| !state.hangs);
            // Nobody waits for a question.
            false
        });
        let Some(number) = number else {
            return Box::pin(std::future::ready(()));
        };
        let (last, mut answers) = (self.0.clone(), self.0.subscribe());
        Box::pin(async move {
            // Whoever is late may find a later answer than its own.
            let answered = answers.wait_for(|state| state.answered.wrapping_sub(number) <= LATER);
            if timeout(PATIENCE, answered).await.is_err() {
                last.send_modify(|state| state.hangs |= state.asked == number);
            }
        })
    }
}
