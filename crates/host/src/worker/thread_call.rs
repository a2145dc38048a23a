//! A call on a thread connection: the task that answers the caller writes and reads the socket itself.
//!
//! A caller may leave at any moment. A stream is then cut by closing its connection, which is how the worker's thread
//! learns of it. A call that only computes runs to its end, as it does in the reference; its result is thrown away and
//! the connection is used again.

use std::sync::Arc;

use agentcore_runtime::Failure;
use bytes::buf::Chain;
use bytes::{Buf, Bytes};

use super::failures;
use super::life::LAST_BREATH;
use super::link::{self, Broken, Link};
use super::{NotTaken, Worker};
use crate::wire::from_worker::{Message, Reply};
use crate::wire::to_worker::{Invoke, Meta, TooLarge};

/// A call on a connection of its own.
#[derive(Debug)]
pub(crate) struct ThreadCall {
    worker: Arc<Worker>,
    /// Gone when the call has ended, or the connection has.
    link: Option<Link>,
    id: u32,
    request: Chain<Bytes, Bytes>,
    left: Left,
}

/// What has to be done about a call that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// The worker has seen nothing of it.
    Unsent,
    /// The worker is computing.
    Computing,
    /// The worker sends events, or nobody is there any more to wait for it.
    Cut,
}

impl ThreadCall {
    /// Takes a connection and lays out the call; the outer error says that the worker is gone.
    pub(crate) async fn open(
        worker: &Arc<Worker>,
        meta: &Meta<'_>,
        body: Bytes,
    ) -> Result<Result<Self, TooLarge>, NotTaken> {
        let link = worker.pool.acquire().await.ok_or(NotTaken)?;
        let id = worker.next_call();
        let empty = Bytes::new().chain(Bytes::new());
        // From here on the connection is given back by dropping the call.
        let mut call = Self {
            worker: Arc::clone(worker),
            link: Some(link),
            id,
            request: empty,
            left: Left::Unsent,
        };
        match Invoke::new(id, meta, body) {
            Ok(Invoke { head, body }) => call.request = head.chain(body),
            Err(TooLarge) => return Ok(Err(TooLarge)),
        }
        Ok(Ok(call))
    }

    /// Sends the call. An error says that the worker has seen nothing of it: another connection may be tried.
    pub(crate) async fn send(&mut self) -> Result<(), NotTaken> {
        let Some(link) = &self.link else {
            return Err(NotTaken);
        };
        let stream = Arc::clone(link.stream());
        let whole = self.request.remaining();
        self.left = Left::Computing;
        let written = link::write(&stream, &mut self.request).await;
        if written.is_err() && self.request.remaining() == whole {
            self.lose();
            return Err(NotTaken);
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
            Ok((_, Message::Call(reply))) => {
                if matches!(reply, Reply::Stream) {
                    self.left = Left::Cut;
                }
                if reply.ends_the_call() {
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
    async fn outlive_the_caller(mut self) {
        let stream = self.link.as_ref().map(|link| Arc::clone(link.stream()));
        if let Some(stream) = stream {
            let _ = link::write(&stream, &mut self.request).await;
        }
        // A plain answer gives the connection back; anything else is dropped with `self`, which cuts it.
        let _ = self.reply().await;
    }
}

impl Drop for ThreadCall {
    fn drop(&mut self) {
        match self.left {
            Left::Unsent => self.give_back(),
            Left::Cut => self.lose(),
            Left::Computing => {
                let Some(link) = self.link.take() else { return };
                let rest = Self {
                    worker: Arc::clone(&self.worker),
                    link: Some(link),
                    id: self.id,
                    request: std::mem::replace(&mut self.request, Bytes::new().chain(Bytes::new())),
                    left: Left::Cut,
                };
                self.worker.handle.spawn(rest.outlive_the_caller());
            }
        }
    }
}
