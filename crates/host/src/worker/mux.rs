//! The loop connection: many calls at once, for a worker whose handlers run on an event loop.
//!
//! One task reads and hands each reply to its call; what the calls have to say leaves through one outbox. A call ends
//! at the worker when its caller has gone (CANCEL), and no call can make the server hold more than its credit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentcore_runtime::Failure;
use bytes::Bytes;

use super::failures;
use super::inbox::Inbox;
use super::life::{LAST_BREATH, Life};
use super::link::{Broken, Link};
use super::outbox::Outbox;
use crate::LOGGER;
use crate::wire::from_worker::{CallError, Message, Reply};
use crate::wire::to_worker::{self, Invoke, Meta, Why};

/// So many events are taken before the worker is allowed as many more.
const REFILL: u32 = 64;

/// A connection that calls share.
#[derive(Debug, Default)]
pub(crate) struct Multiplex {
    calls: Mutex<Calls>,
    pub(crate) outbox: Outbox,
}

#[derive(Debug, Default)]
struct Calls {
    open: HashMap<u32, Arc<Inbox>>,
    last: u32,
    closed: bool,
}

/// Why a call could not begin.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The connection is gone, and the worker never saw the call.
    Closed,
    TooLarge,
}

/// A call on a loop connection. Dropped before its end, it is cancelled.
#[derive(Debug)]
pub(crate) struct LoopCall {
    mux: Arc<Multiplex>,
    inbox: Arc<Inbox>,
    id: u32,
    ended: bool,
    /// Events taken since credit was given last.
    taken: u32,
}

impl Multiplex {
    /// Begins a call.
    pub(crate) fn open(
        self: &Arc<Self>,
        meta: &Meta<'_>,
        body: Bytes,
    ) -> Result<LoopCall, NotOpened> {
        let inbox = Arc::new(Inbox::new());
        let id = self
            .lock()
            .enter(Arc::clone(&inbox))
            .ok_or(NotOpened::Closed)?;
        let mut call = LoopCall {
            mux: Arc::clone(self),
            inbox,
            id,
            ended: false,
            taken: 0,
        };
        let Ok(invoke) = Invoke::new(id, meta, body) else {
            call.end();
            return Err(NotOpened::TooLarge);
        };
        if !self.outbox.push_invoke(invoke) {
            call.end();
            return Err(NotOpened::Closed);
        }
        Ok(call)
    }

    /// Reads replies until the connection ends, and lets every open call know.
    pub(crate) async fn read(&self, mut link: Link) -> Broken {
        let broken = loop {
            match link.receive().await {
                Ok((call, Message::Call(reply))) => self.hand_out(call, reply),
                Ok(_) => break Broken::Misplaced,
                Err(broken) => break broken,
            }
        };
        self.outbox.close();
        let open = {
            let mut calls = self.lock();
            calls.closed = true;
            std::mem::take(&mut calls.open)
        };
        for inbox in open.into_values() {
            inbox.close();
        }
        broken
    }

    fn hand_out(&self, id: u32, reply: Reply) {
        let ends = reply.ends_the_call();
        let inbox = {
            let mut calls = self.lock();
            if ends {
                calls.open.remove(&id)
            } else {
                calls.open.get(&id).map(Arc::clone)
            }
        };
        // Nobody waits: the caller left, and the worker had not heard of it yet.
        let Some(inbox) = inbox else { return };
        if inbox.push(reply).is_err() {
            self.forget(id);
            self.outbox
                .push(|out| to_worker::cancel(id, Why::Left, out));
            let error = beyond_credit();
            tracing::error!(target: LOGGER, "The call fails: {}", error.error);
            let _ = inbox.push(Reply::Error(error));
        }
    }

    fn forget(&self, id: u32) -> bool {
        self.lock().open.remove(&id).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        // Each change is complete when the lock is let go.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn enter(&mut self, inbox: Arc<Inbox>) -> Option<u32> {
        if self.closed {
            return None;
        }
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.open.contains_key(&self.last) {
                self.open.insert(self.last, inbox);
                return Some(self.last);
            }
        }
    }
}

impl LoopCall {
    /// Waits for the next reply.
    pub(crate) async fn reply(&mut self, life: &Life) -> Result<Reply, Failure> {
        if let Some(reply) = self.inbox.next().await {
            self.ended = reply.ends_the_call();
            return Ok(reply);
        }
        self.ended = true;
        Err(match life.death_within(LAST_BREATH).await {
            Some(death) => failures::of_a_death(&death),
            None => failures::of_a_link(&Broken::Closed),
        })
    }

    /// Says that the caller has taken an event.
    pub(crate) fn took_one(&mut self) {
        self.taken += 1;
        if self.taken >= REFILL {
            let more = std::mem::take(&mut self.taken);
            self.inbox
                .allow(usize::try_from(more).unwrap_or(usize::MAX));
            self.mux
                .outbox
                .push(|out| to_worker::credit(self.id, more, out));
        }
    }

    /// Ends a call that the worker never saw.
    fn end(&mut self) {
        self.ended = true;
        self.mux.forget(self.id);
    }
}

impl Drop for LoopCall {
    fn drop(&mut self) {
        if !self.ended && self.mux.forget(self.id) {
            self.mux
                .outbox
                .push(|out| to_worker::cancel(self.id, Why::Left, out));
        }
    }
}

fn beyond_credit() -> CallError {
    CallError {
        status: 500,
        error: "the agent's worker sent more events than it was allowed to".into(),
        error_type: Some("WorkerFault".to_owned()),
        details: None,
    }
}
