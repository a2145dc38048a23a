//! A call on a thread connection: the task that answers the caller writes and reads the socket itself.
//!
//! A caller may leave at any moment, and what is due then depends on how far the call has come ([`State`]). A call that only
//! computes runs to its end, as it does in the reference; its result is thrown away and the connection is used again.

use std::io;
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
use crate::wire::to_worker::{CallKind, Invoke, Meta, Why};

/// A call on a connection of its own.
#[derive(Debug)]
pub(crate) struct ThreadCall {
    worker: Arc<Worker>,
    id: u32,
    state: State,
}

/// Where a call is; each says what is due if its caller leaves.
#[derive(Debug)]
enum State {
    /// On its connection, and computing: it is let finish, and the connection goes back with its answer.
    Computing(Line),
    /// On its connection, and sending events: the connection is cut, which is how the worker's thread learns of it.
    Streaming(Line),
    /// Between its connection and the loop connection: it is cancelled there.
    Moving(Ticket),
    /// Over, or somebody else's: nothing is due.
    Ended,
}

/// What a call has as long as it is on its connection.
#[derive(Debug)]
struct Line {
    connection: Borrowed,
    /// What is left to be written of the call.
    request: Chain<Bytes, Bytes>,
    ticket: Ticket,
}

/// A connection out of the pool. Dropped, it counts as lost: the worker did on it what it should not, or was cut off.
#[derive(Debug)]
struct Borrowed {
    worker: Arc<Worker>,
    /// `None` once it was given back.
    link: Option<Link>,
}

/// Why there is no next reply on a connection.
enum Silence {
    Broken(Broken),
    OtherCall,
}

impl ThreadCall {
    /// Sends a call by a connection that is free, or will be.
    pub(super) async fn open(
        mut ticket: Ticket,
        meta: &Meta<'_>,
        body: &Bytes,
    ) -> Result<Self, NotTaken> {
        let worker = Arc::clone(ticket.worker());
        let id = worker.next_call();
        let Invoke { head, body } = Invoke::new(CallKind::Invocation, id, meta, body.clone())?;
        loop {
            let connection = Borrowed::out_of_the_pool(&worker).await?;
            let line = Line {
                connection,
                request: head.clone().chain(body.clone()),
                ticket,
            };
            let mut call = Self {
                worker: Arc::clone(&worker),
                id,
                state: State::Computing(line),
            };
            match call.send().await {
                Ok(()) => return Ok(call),
                // A connection that broke while it was idle: the worker may have others.
                Err(unused) => ticket = unused,
            }
        }
    }

    /// Writes the call. If the worker has seen nothing of it, the ticket comes back.
    async fn send(&mut self) -> Result<(), Ticket> {
        let State::Computing(line) = &mut self.state else {
            return Ok(());
        };
        let whole = line.request.remaining();
        let written = line.connection.write(&mut line.request).await;
        let is_unseen = written.is_err() && line.request.remaining() == whole;
        // Cut short in the middle, the connection gives no answer; reading it finds out why.
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Computing(line) if is_unseen => Err(line.ticket),
            state => {
                self.state = state;
                Ok(())
            }
        }
    }

    /// Waits for the next reply. Cancel-safe.
    pub(crate) async fn reply(&mut self) -> Result<Reply, Failure> {
        let (State::Computing(line) | State::Streaming(line)) = &mut self.state else {
            return Err(failures::of_a_link(&Broken::Closed));
        };
        match line.connection.receive(self.id).await {
            Ok(reply) => {
                self.take_note_of(&reply);
                Ok(reply)
            }
            Err(silence) => {
                self.lose();
                Err(self.explain(silence).await)
            }
        }
    }

    fn take_note_of(&mut self, reply: &Reply) {
        self.state = match (std::mem::replace(&mut self.state, State::Ended), reply) {
            (State::Computing(line) | State::Streaming(line), Reply::Moved) => {
                line.connection.give_back();
                State::Moving(line.ticket)
            }
            (State::Computing(line) | State::Streaming(line), reply) if reply.ends_the_call() => {
                line.connection.give_back();
                State::Ended
            }
            (State::Computing(mut line), Reply::Stream | Reply::Head(_)) => {
                line.ticket.began_to_stream();
                State::Streaming(line)
            }
            (state, _) => state,
        };
    }

    async fn explain(&self, silence: Silence) -> Failure {
        let broken = match silence {
            Silence::Broken(broken) => broken,
            Silence::OtherCall => return failures::of_the_protocol("an answer to another call"),
        };
        let may_be_dead = matches!(broken, Broken::Closed | Broken::Io(_));
        if may_be_dead && let Some(death) = self.worker.life.death_within(LAST_BREATH).await {
            return failures::of_a_death(&death);
        }
        failures::of_a_link(&broken)
    }

    /// Goes on with the call on the loop connection, which it said that it moves to.
    pub(super) async fn moved(&mut self) -> Result<LoopCall, Failure> {
        let mux = self.worker.multiplex().await;
        if let (Ok(mux), State::Moving(ticket)) =
            (mux, std::mem::replace(&mut self.state, State::Ended))
            && let Some(call) = mux.adopt(self.id, ticket)
        {
            return Ok(call);
        }
        Err(match self.worker.life.death_within(LAST_BREATH).await {
            Some(death) => failures::of_a_death(&death),
            None => failures::of_the_protocol("no loop connection for a call that moves"),
        })
    }

    /// Gives up the connection: the worker did on it what it should not.
    pub(crate) fn lose(&mut self) {
        self.state = State::Ended;
    }
}

impl Borrowed {
    /// Waits for a connection.
    async fn out_of_the_pool(worker: &Arc<Worker>) -> Result<Self, NotTaken> {
        let link = worker.pool.acquire().await.ok_or(NotTaken::Gone)?;
        Ok(Self {
            worker: Arc::clone(worker),
            link: Some(link),
        })
    }

    async fn write(&self, request: &mut Chain<Bytes, Bytes>) -> io::Result<()> {
        match &self.link {
            Some(link) => link::write(link.stream(), request).await,
            None => Ok(()),
        }
    }

    async fn receive(&mut self, id: u32) -> Result<Reply, Silence> {
        let link = self.link.as_mut();
        let link = link.ok_or(Silence::Broken(Broken::Closed))?;
        match link.receive().await {
            Ok((call, _)) if call != id => Err(Silence::OtherCall),
            Ok((_, Said::Call(reply))) => Ok(reply),
            Ok(_) => Err(Silence::Broken(Broken::Misplaced)),
            Err(broken) => Err(Silence::Broken(broken)),
        }
    }

    fn give_back(mut self) {
        if let Some(link) = self.link.take() {
            self.worker.pool.give_back(link);
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if self.link.take().is_some() {
            self.worker.pool.lose();
        }
    }
}

impl Drop for ThreadCall {
    fn drop(&mut self) {
        let (worker, id) = (Arc::clone(&self.worker), self.id);
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Computing(line) => {
                let Line {
                    connection,
                    request,
                    ticket,
                } = line;
                let deadline = ticket.deadline();
                let end = outlive_the_caller(id, connection, request, deadline);
                // A call that has moved to the event loop can be told; a thread cannot.
                ticket.see_it_end(end, move || insist(&worker, id));
            }
            State::Streaming(line) => {
                let back = worker.pool.comes_back(id);
                drop(line.connection);
                line.ticket.see_it_end(back, || {});
            }
            State::Moving(ticket) => {
                let end = see_off(Arc::clone(&worker), id, ticket.deadline());
                ticket.see_it_end(end, move || insist(&worker, id));
            }
            State::Ended => {}
        }
    }
}

/// Waits for the end of a call that was computing when its caller left.
async fn outlive_the_caller(
    id: u32,
    mut connection: Borrowed,
    mut request: Chain<Bytes, Bytes>,
    deadline: Option<Instant>,
) {
    // That it has failed is seen by reading.
    let _ = connection.write(&mut request).await;
    match connection.receive(id).await {
        // Nobody is there to read the rest: its thread learns that when it writes.
        Ok(Reply::Stream | Reply::Head(_)) => {
            let back = connection.worker.pool.comes_back(id);
            drop(connection);
            back.await;
        }
        Ok(Reply::Moved) => {
            let worker = Arc::clone(&connection.worker);
            connection.give_back();
            see_off(worker, id, deadline).await;
        }
        Ok(reply) if reply.ends_the_call() => connection.give_back(),
        // Dropped, the connection is lost.
        _ => {}
    }
}

/// Cancels on the loop connection what has moved there and nobody waits for, and waits for its end.
async fn see_off(worker: Arc<Worker>, id: u32, deadline: Option<Instant>) {
    if let Ok(mux) = worker.multiplex().await {
        let is_over = deadline.is_some_and(|at| at <= Instant::now());
        let why = if is_over { Why::Limit } else { Why::Left };
        mux.see_off(id, why).await;
    }
}

/// Tells the worker that the time of a call is up, if it is on the loop connection.
fn insist(worker: &Worker, id: u32) {
    if let Some(mux) = worker.mux.get().filter(|mux| mux.has(id)) {
        mux.cancel(id, Why::Limit);
    }
}
