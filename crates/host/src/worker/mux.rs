//! The loop connection: many calls at once, for a worker whose handlers run on an event loop.
//!
//! One task reads and hands each reply to its call; what the calls have to say leaves through one outbox. A call is
//! cancelled at the worker when its caller has gone, and no call can make the server hold more than its credit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentcore_runtime::Failure;
use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::NotTaken;
use super::failures;
use super::inbox::{FIRST_CREDIT, Inbox};
use super::life::LAST_BREATH;
use super::link::{Broken, Link};
use super::outbox::Outbox;
use super::ticket::Ticket;
use crate::LOGGER;
use crate::wire::from_worker::{CallError, Reply, Said};
use crate::wire::to_worker::{self, CallKind, Invoke, Meta, Why};

/// So many events are taken before the worker is allowed as many more.
const REFILL: u32 = 64;

/// The credit that a call begins with, as it is told where it has to be.
const CREDIT: u32 = 256;
const _: () = assert!(CREDIT as usize == FIRST_CREDIT);

/// How long an event loop may be busy with one thing.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection that calls share.
#[derive(Debug, Default)]
pub(crate) struct Multiplex {
    calls: Mutex<Calls>,
    pub(crate) outbox: Outbox,
    alive: Notify,
}

#[derive(Debug, Default)]
struct Calls {
    open: HashMap<u32, Arc<Inbox>>,
    closed: bool,
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
    /// `None` once somebody else has it.
    ticket: Option<Ticket>,
    /// Whether the answer has begun.
    answers: bool,
    /// Whether all that the caller wants has come, and the worker may finish in peace.
    is_fulfilled: bool,
}

impl Multiplex {
    fn open(
        self: &Arc<Self>,
        kind: CallKind,
        ticket: Ticket,
        meta: &Meta<'_>,
        body: Bytes,
    ) -> Result<LoopCall, NotTaken> {
        let id = ticket.worker().next_call();
        let invoke = Invoke::new(kind, id, meta, body)?;
        let mut call = self.enter(id, ticket).ok_or(NotTaken::Gone)?;
        if !self.outbox.push_invoke(invoke) {
            call.end();
            return Err(NotTaken::Gone);
        }
        Ok(call)
    }

    /// Goes on with a call that began on a thread connection; `None` if the connection is gone.
    pub(super) fn adopt(self: &Arc<Self>, id: u32, ticket: Ticket) -> Option<LoopCall> {
        let call = self.enter(id, ticket)?;
        self.outbox.push(|out| to_worker::credit(id, CREDIT, out));
        Some(call)
    }

    /// The same for a call whose caller has left: waits for its end.
    pub(super) async fn see_off(&self, id: u32, why: Why) {
        let inbox = Arc::new(Inbox::new());
        if self.lock().enter(id, Arc::clone(&inbox)) {
            self.outbox.push(|out| {
                to_worker::credit(id, CREDIT, out);
                to_worker::cancel(id, why, out);
            });
            inbox.end().await;
        }
    }

    fn enter(self: &Arc<Self>, id: u32, ticket: Ticket) -> Option<LoopCall> {
        let inbox = Arc::new(Inbox::new());
        let entered = self.lock().enter(id, Arc::clone(&inbox));
        entered.then(|| LoopCall {
            mux: Arc::clone(self),
            inbox,
            id,
            ended: false,
            taken: 0,
            ticket: Some(ticket),
            answers: false,
            is_fulfilled: false,
        })
    }

    /// Whether the event loop still makes progress: a handler that blocks it blocks all others too.
    pub(super) async fn is_alive(&self) -> bool {
        let answer = self.alive.notified();
        self.outbox.push(to_worker::probe);
        timeout(PATIENCE, answer).await.is_ok()
    }

    /// Tells the worker that nobody waits for a call any more.
    pub(super) fn cancel(&self, id: u32, why: Why) {
        self.outbox.push(|out| to_worker::cancel(id, why, out));
    }

    /// Whether a call of this number is open.
    pub(super) fn has(&self, id: u32) -> bool {
        self.lock().open.contains_key(&id)
    }

    /// Reads replies until the connection ends, and lets every open call know.
    pub(crate) async fn read(&self, mut link: Link) -> Broken {
        let broken = loop {
            match link.receive().await {
                Ok((call, Said::Call(reply))) => self.hand_out(call, reply),
                Ok((_, Said::Alive)) => self.alive.notify_waiters(),
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
    fn enter(&mut self, id: u32, inbox: Arc<Inbox>) -> bool {
        if !self.closed {
            self.open.insert(id, inbox);
        }
        !self.closed
    }
}

impl LoopCall {
    /// Sends a call by the loop connection of its worker.
    pub(super) async fn open(
        kind: CallKind,
        ticket: Ticket,
        meta: &Meta<'_>,
        body: Bytes,
    ) -> Result<Self, NotTaken> {
        let worker = Arc::clone(ticket.worker());
        let mux = worker.mux.get().ok_or(NotTaken::Gone)?;
        let opened = mux.open(kind, ticket, meta, body);
        if matches!(opened, Err(NotTaken::Gone)) {
            // Whoever lost the connection ends the worker; a fresh one can only come after that.
            worker.life.death().await;
        }
        opened
    }

    /// Waits for the next reply.
    ///
    /// Cancel-safe: no reply is lost if the future is dropped.
    pub(crate) async fn reply(&mut self) -> Result<Reply, Failure> {
        if let Some(reply) = self.inbox.next().await {
            self.ended = reply.ends_the_call();
            if matches!(reply, Reply::Stream | Reply::Head(_) | Reply::Accept(_)) {
                self.answers = true;
                if let Some(ticket) = &mut self.ticket {
                    ticket.began_to_stream();
                }
            }
            return Ok(reply);
        }
        self.ended = true;
        let life = self.ticket.as_ref().map(|ticket| &ticket.worker().life);
        let death = match life {
            Some(life) => life.death_within(LAST_BREATH).await,
            None => None,
        };
        Err(match death {
            Some(death) => failures::of_a_death(&death),
            None => failures::of_a_link(&Broken::Closed),
        })
    }

    /// Tells the worker something about the call.
    pub(super) fn tell(&self, put: impl FnOnce(u32, &mut BytesMut)) {
        self.mux.outbox.push(|out| put(self.id, out));
    }

    /// Says that the caller has all that it wants.
    pub(crate) fn fulfil(&mut self) {
        self.is_fulfilled = true;
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
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        if self.ended || !self.mux.has(self.id) {
            return;
        }
        let why = if !self.answers && ticket.is_over() {
            Why::Limit
        } else {
            Why::Left
        };
        if !self.is_fulfilled {
            self.mux.cancel(self.id, why);
        }
        let (mux, id, inbox) = (Arc::clone(&self.mux), self.id, Arc::clone(&self.inbox));
        // A second word in the same moment would cut off the clean-up that the first has begun.
        let insist = move || {
            if why == Why::Left {
                mux.cancel(id, Why::Limit);
            }
        };
        ticket.see_it_end(async move { inbox.end().await }, insist);
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
