//! A call on a thread connection: the task that answers the caller writes and reads the socket itself.
//!
//! A caller may leave at any moment. A stream is then cut by closing its connection, which is how the worker's thread
//! learns of it. A call that only computes runs to its end, as it does in the reference; its result is thrown away and
//! the connection is used again.

use std::sync::Arc;

use agentcore_runtime::Failure;
use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::failures;
use super::life::LAST_BREATH;
use super::link::{self, Broken, Link};
use super::mux::LoopCall;
use super::ticket::Ticket;
use super::{NotTaken, Worker};
use crate::wire::from_worker::{Reply, Said};
use crate::wire::to_worker::{CallKind, Invoke, Meta, TooLarge, Why};

/// A call on a connection of its own.
#[derive(Debug)]
pub(crate) struct ThreadCall {
    worker: Arc<Worker>,
    /// Gone when the call has ended, or the connection has.
    link: Option<Link>,
    id: u32,
    request: Chain<Bytes, Bytes>,
    left: Left,
    ticket: Option<Ticket>,
}

/// What has to be done about a call that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The worker has seen nothing of it.
    Unsent,
    /// The worker is computing.
    Computing,
    /// The worker sends events.
    Streaming,
}

impl ThreadCall {
    /// Takes a connection and lays out the call; the outer error says that the worker is gone.
    pub(super) async fn open(
        ticket: Ticket,
        meta: &Meta<'_>,
        body: Bytes,
    ) -> Result<Result<Self, TooLarge>, NotTaken> {
        let worker = Arc::clone(ticket.worker());
        let link = worker.pool.acquire().await.ok_or(NotTaken)?;
        let id = worker.next_call();
        // From here on the connection is given back by dropping the call.
        let mut call = Self {
            worker,
            link: Some(link),
            id,
            request: nothing(),
            left: Left::Unsent,
            ticket: Some(ticket),
        };
        match Invoke::new(CallKind::Invocation, id, meta, body) {
            Ok(Invoke { head, body }) => call.request = head.chain(body),
            Err(TooLarge) => return Ok(Err(TooLarge)),
        }
        Ok(Ok(call))
    }

    /// Sends the call. An error says that the worker has seen nothing of it: another connection may be tried.
    pub(super) async fn send(&mut self) -> Result<(), Option<Ticket>> {
        let Some(link) = &self.link else {
            return Err(self.ticket.take());
        };
        let stream = Arc::clone(link.stream());
        let whole = self.request.remaining();
        self.left = Left::Computing;
        let written = link::write(&stream, &mut self.request).await;
        if written.is_err() && self.request.remaining() == whole {
            self.lose();
            return Err(self.ticket.take());
        }
        // Cut short in the middle, the connection gives no answer; reading it finds out why.
        Ok(())
    }

    /// Waits for the next reply.
    pub(crate) async fn reply(&mut self) -> Result<Reply, Failure> {
        let Some(link) = &mut self.link else {
            return Err(failures::of_a_link(&Broken::Closed));
        };
        let broken = match link.receive().await {
            Ok((call, _)) if call != self.id => {
                self.lose();
                return Err(failures::of_the_protocol("an answer to another call"));
            }
            Ok((_, Said::Call(reply))) => {
                if matches!(reply, Reply::Stream | Reply::Head(_)) {
                    self.left = Left::Streaming;
                    if let Some(ticket) = &mut self.ticket {
                        ticket.began_to_stream();
                    }
                }
                if reply.ends_the_call() || matches!(reply, Reply::Moved) {
                    self.give_back();
                }
                return Ok(reply);
            }
            Ok(_) => Broken::Misplaced,
            Err(broken) => broken,
        };
        self.lose();
        let may_be_dead = matches!(broken, Broken::Closed | Broken::Io(_));
        if may_be_dead && let Some(death) = self.worker.life.death_within(LAST_BREATH).await {
            return Err(failures::of_a_death(&death));
        }
        Err(failures::of_a_link(&broken))
    }

    /// Goes on with the call on the loop connection.
    pub(super) async fn moved(&mut self) -> Result<LoopCall, Failure> {
        let adopted = match (self.worker.multiplex().await, self.ticket.take()) {
            (Ok(mux), Some(ticket)) => mux.adopt(self.id, ticket),
            _ => None,
        };
        match adopted {
            Some(call) => Ok(call),
            None => Err(match self.worker.life.death_within(LAST_BREATH).await {
                Some(death) => failures::of_a_death(&death),
                None => failures::of_the_protocol("no loop connection for a call that moves"),
            }),
        }
    }

    /// Gives up the connection: the worker did on it what it should not.
    pub(crate) fn lose(&mut self) {
        if self.link.take().is_some() {
            self.worker.pool.lose();
        }
    }

    fn give_back(&mut self) {
        if let Some(link) = self.link.take() {
            self.worker.pool.give_back(link);
        }
    }

    /// Waits for the end of a call whose caller has left.
    async fn outlive_the_caller(mut self, deadline: Option<Instant>) {
        let stream = self.link.as_ref().map(|link| Arc::clone(link.stream()));
        if let Some(stream) = stream {
            let _ = link::write(&stream, &mut self.request).await;
        }
        match self.reply().await {
            // Nobody is there to read the rest: its thread learns that when it writes.
            Ok(Reply::Stream | Reply::Head(_)) => {
                let back = self.worker.pool.comes_back(self.id);
                self.lose();
                back.await;
            }
            Ok(Reply::Moved) => {
                if let Ok(mux) = self.worker.multiplex().await {
                    let is_over = deadline.is_some_and(|at| at <= Instant::now());
                    let why = if is_over { Why::Limit } else { Why::Left };
                    mux.see_off(self.id, why).await;
                }
            }
            // A plain answer has given the connection back; anything else has lost it.
            _ => {}
        }
    }
}

impl Drop for ThreadCall {
    fn drop(&mut self) {
        if self.link.is_none() {
            return;
        }
        let Some(ticket) = self.ticket.take() else {
            return self.lose();
        };
        match self.left {
            Left::Unsent => self.give_back(),
            Left::Streaming => {
                let back = self.worker.pool.comes_back(self.id);
                self.lose();
                ticket.see_it_end(back, || {});
            }
            Left::Computing => {
                let rest = Self {
                    worker: Arc::clone(&self.worker),
                    link: self.link.take(),
                    id: self.id,
                    request: std::mem::replace(&mut self.request, nothing()),
                    left: Left::Streaming,
                    ticket: None,
                };
                let (worker, id, deadline) = (Arc::clone(&self.worker), self.id, ticket.deadline());
                // A call that has moved to the event loop can be told; a thread cannot.
                let insist = move || {
                    if let Some(mux) = worker.mux.get().filter(|mux| mux.has(id)) {
                        mux.cancel(id, Why::Limit);
                    }
                };
                ticket.see_it_end(rest.outlive_the_caller(deadline), insist);
            }
        }
    }
}

fn nothing() -> Chain<Bytes, Bytes> {
    Bytes::new().chain(Bytes::new())
}
