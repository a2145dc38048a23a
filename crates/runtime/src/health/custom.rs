//! The custom ping handler at work: asked on a thread of its own, waited for only so long, and believed as long as it
//! answers.
//!
//! Two clocks guard it. Whoever waits for an answer gives up after the limit, whatever the thread does; and the thread
//! cancels an asynchronous handler after the same time. The first of them to notice that a handler has become slow logs it.
//! The thread ends with the app, except one in a synchronous handler that never returns: nothing can end that, and nobody
//! waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::handler::{Answer, Asked, PingHandler, PingThread};
use crate::PingStatus;
use crate::agent::BoxFuture;
use crate::failure::Failure;
use crate::log::LOGGER;

/// How long a ping waits for the handler. The platform asks every two seconds.
const LIMIT: Duration = Duration::from_secs(1);

/// How many times the limit the last answer of a handler counts that is slow each time.
const STALE: u32 = 60;

/// A custom handler and the thread that asks it.
pub(super) struct Custom {
    desk: Arc<Desk>,
    /// Tells the thread to ask; the thread ends when this is gone. `None` until it is started.
    requests: Mutex<Option<Sender<()>>>,
}

/// What pings and the thread share.
struct Desk {
    handler: Box<dyn Fn(&PingThread) -> Asked + Send + Sync>,
    limit: Duration,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// What the handler said last; `None` for an automatic status.
    answer: Option<PingStatus>,
    /// When it said so.
    told: Option<Instant>,
    /// Until when the answer that is under way is in time; `None` if none is.
    due: Option<Instant>,
    /// Counts the times it was asked.
    round: u64,
    /// Whether its last answer did not come in time: then pings do not wait.
    is_slow: bool,
}

impl Custom {
    pub(super) fn new<M>(handler: impl PingHandler<M>) -> Self {
        Self::with_limit(handler, LIMIT)
    }

    /// The same, with another limit than a second.
    pub(super) fn with_limit<M>(handler: impl PingHandler<M>, limit: Duration) -> Self {
        let desk = Desk {
            handler: Box::new(move |thread| handler.ask(thread)),
            limit,
            state: watch::Sender::default(),
        };
        Self {
            desk: Arc::new(desk),
            requests: Mutex::default(),
        }
    }

    /// Starts the thread; if there is none to be had, the status is automatic.
    pub(super) fn start(&self) {
        let (requests, wanted) = mpsc::channel();
        let desk = Arc::clone(&self.desk);
        let work = move || {
            let thread = PingThread::new(desk.limit);
            for () in wanted {
                desk.ask(&thread);
            }
        };
        match thread::Builder::new().name("ping".to_owned()).spawn(work) {
            Ok(_) => {
                let mut current = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
                *current = Some(requests);
            }
            Err(error) => tracing::error!(
                target: LOGGER,
                "The thread of the custom ping handler could not be started, its status is automatic: {error}"
            ),
        }
    }

    pub(super) fn answer(&self) -> Option<PingStatus> {
        self.desk.state.borrow().answer
    }

    /// Has the handler asked, unless that is under way; returns what to wait for, if it is worth it.
    pub(super) fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = requests.as_ref()?;
        let now = Instant::now();
        let mut begun = false;
        self.desk.state.send_if_modified(|state| {
            if state.due.is_none() {
                begun = true;
                state.due = Some(now + self.desk.limit);
                state.round += 1;
            }
            false // Nobody waits for a beginning.
        });
        if begun {
            let _ = requests.send(()); // The thread outlives this sender.
        }
        let State {
            due,
            round,
            is_slow,
            ..
        } = *self.desk.state.borrow();
        let due = due?;
        if due <= now {
            self.desk.give_up(round);
            return None;
        }
        let desk = Arc::clone(&self.desk);
        (!is_slow)
            .then(|| Box::pin(async move { desk.answered(round, due).await }) as BoxFuture<'_, ()>)
    }
}

impl Desk {
    /// Asks the handler and notes what it says. Called on its thread.
    fn ask(&self, thread: &PingThread) {
        let began = std::time::Instant::now();
        let asked = catch_unwind(AssertUnwindSafe(|| (self.handler)(thread)));
        let answer = asked.map_or_else(
            |panic| Answer::Failed(Failure::from_panic(&*panic)),
            |Asked(answer)| answer,
        );
        let in_time = !matches!(answer, Answer::Late) && began.elapsed() <= self.limit;
        let mut became_slow = false;
        self.state.send_modify(|state| {
            state.due = None;
            state.answer = match &answer {
                Answer::Told(status) => *status,
                Answer::Failed(_) | Answer::Late => None,
            };
            state.told = Some(Instant::now());
            became_slow = !in_time && !state.is_slow;
            state.is_slow = !in_time;
        });
        if became_slow {
            self.log_slow();
        }
        if let Answer::Failed(failure) = answer {
            tracing::warn!(
                target: LOGGER,
                "Custom ping handler failed, falling back to automatic: {}: {failure}",
                failure.error_type().unwrap_or("Error")
            );
        }
    }

    /// Waits for the answer of that round, and gives up when it is due.
    async fn answered(&self, round: u64, due: Instant) {
        let mut state = self.state.subscribe();
        let answered = state.wait_for(|state| state.round != round || state.due.is_none());
        if timeout_at(due, answered).await.is_err() {
            self.give_up(round);
        }
    }

    /// Notes that the answer of that round did not come in time, unless it has come by now.
    fn give_up(&self, round: u64) {
        let mut became_slow = false;
        self.state.send_if_modified(|state| {
            if state.round == round && state.due.is_some() {
                became_slow = !state.is_slow;
                state.is_slow = true;
                // One that is slow each time is believed until it says something else, and one that hangs is not.
                let is_old = state
                    .told
                    .is_none_or(|told| told.elapsed() > STALE * self.limit);
                if became_slow || is_old {
                    state.answer = None;
                }
            }
            false
        });
        if became_slow {
            self.log_slow();
        }
    }

    fn log_slow(&self) {
        tracing::warn!(
            target: LOGGER,
            "Custom ping handler did not answer within {:?}, falling back to automatic",
            self.limit
        );
    }
}

#[cfg(test)]
mod tests;
