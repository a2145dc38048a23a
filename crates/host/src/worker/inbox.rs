//! What has arrived for one call of a shared connection and was not taken yet.
//!
//! It holds no more than the worker was allowed to send: the credit is counted here.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::wire::from_worker::Reply;

/// How many events a call may have on their way before any is taken.
pub(crate) const FIRST_CREDIT: usize = 256;

/// The replies to one call.
#[derive(Debug)]
pub(crate) struct Inbox(Mutex<State>);

#[derive(Debug)]
struct State {
    replies: VecDeque<Reply>,
    /// How many more events the worker may send.
    credit: usize,
    closed: bool,
    waker: Option<Waker>,
}

/// The worker sent more events than it was allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BeyondCredit;

impl Inbox {
    pub(crate) fn new() -> Self {
        let state = State {
            replies: VecDeque::new(),
            credit: FIRST_CREDIT,
            closed: false,
            waker: None,
        };
        Self(Mutex::new(state))
    }

    /// Adds a reply and wakes who waits for it.
    pub(crate) fn push(&self, reply: Reply) -> Result<(), BeyondCredit> {
        let mut state = self.lock();
        state.credit = state.credit.checked_sub(reply.cost()).ok_or(BeyondCredit)?;
        state.replies.push_back(reply);
        wake(state);
        Ok(())
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(state);
    }

    /// Allows `more` more events.
    pub(crate) fn allow(&self, more: usize) {
        self.lock().credit += more;
    }

    /// Waits for the next reply; `None` if the connection has ended.
    pub(crate) async fn next(&self) -> Option<Reply> {
        poll_fn(|context| {
            let mut state = self.lock();
            match state.replies.pop_front() {
                Some(reply) => Poll::Ready(Some(reply)),
                None if state.closed => Poll::Ready(None),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for the end of a call that nobody listens to.
    pub(crate) async fn end(&self) {
        while let Some(reply) = self.next().await {
            if reply.ends_the_call() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete when the lock is let go.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    // Woken after the lock is let go, so that the other side does not run into it.
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::from_worker::Items;

    fn item() -> Reply {
        Reply::Items(Items::One(Some("1".into())))
    }

    #[test]
    fn the_credit_is_a_limit() {
        let inbox = Inbox::new();
        for _ in 0..FIRST_CREDIT {
            inbox.push(item()).unwrap();
        }
        assert_eq!(inbox.push(item()), Err(BeyondCredit));
        inbox.allow(1);
        assert_eq!(inbox.push(item()), Ok(()));
        assert_eq!(inbox.push(item()), Err(BeyondCredit));
        // Only events count: the end of the call can always be said.
        assert_eq!(inbox.push(Reply::End), Ok(()));
    }

    #[tokio::test]
    async fn what_arrived_before_the_end_is_still_taken() {
        let inbox = Inbox::new();
        inbox.push(item()).unwrap();
        inbox.close();
        assert!(matches!(inbox.next().await, Some(Reply::Items(_))));
        assert!(inbox.next().await.is_none());
    }
}
