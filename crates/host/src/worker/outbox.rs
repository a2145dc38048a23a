//! Frames on their way to a connection that many calls share: whoever has something to say leaves it here, and one
//! task writes all that has come together.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::link;
use crate::wire::to_worker::Invoke;

/// A body up to this size is copied beside the frames around it; a larger one is passed on as it is.
const COPY: usize = 16 * 1024;

/// The way to a shared connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    full: VecDeque<Bytes>,
    tail: BytesMut,
    closed: bool,
}

impl Outbox {
    /// Adds frames. They are dropped if the connection is gone: who waits for an answer learns that from it.
    pub(crate) fn push(&self, put: impl FnOnce(&mut BytesMut)) {
        let mut queue = self.lock();
        if !queue.closed {
            put(&mut queue.tail);
            drop(queue);
            self.more.notify_one();
        }
    }

    /// Adds an invocation; `false` if the connection is gone.
    pub(crate) fn push_invoke(&self, invoke: Invoke) -> bool {
        let Invoke { head, body } = invoke;
        let mut queue = self.lock();
        if queue.closed {
            return false;
        }
        queue.tail.extend_from_slice(&head);
        if body.len() <= COPY {
            queue.tail.extend_from_slice(&body);
        } else {
            let before = queue.tail.split().freeze();
            queue.full.extend([before, body]);
        }
        drop(queue);
        self.more.notify_one();
        true
    }

    /// Writes to `stream` until the outbox is closed and empty.
    pub(crate) async fn run(&self, stream: &UnixStream) -> io::Result<()> {
        loop {
            let (full, mut tail, closed) = self.take();
            if closed && full.is_empty() && tail.is_empty() {
                return Ok(());
            }
            if full.is_empty() && tail.is_empty() {
                self.more.notified().await;
                continue;
            }
            for mut piece in full {
                link::write(stream, &mut piece).await?;
            }
            link::write(stream, &mut tail).await?;
        }
    }

    /// Takes nothing more; what is there is still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }

    fn take(&self) -> (VecDeque<Bytes>, BytesMut, bool) {
        let mut queue = self.lock();
        (
            std::mem::take(&mut queue.full),
            queue.tail.split(),
            queue.closed,
        )
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while holding it cannot leave the queue half-changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agentcore_protocol::SessionId;
    use http::{HeaderMap, Method, Uri};
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::wire::frame;
    use crate::wire::to_worker::{self, CallKind, Meta, Why};

    #[tokio::test]
    async fn frames_keep_their_order_around_a_large_body() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(ours);
        let outbox = Outbox::default();
        let headers = HeaderMap::new();
        let session: SessionId = "s".parse().unwrap();
        let meta = Meta {
            method: &Method::POST,
            request_id: "r",
            session_id: Some(&session),
            headers: &headers,
            target: &Uri::from_static("/invocations"),
            client: None,
        };
        outbox.push(|out| to_worker::cancel(1, Why::Left, out));
        assert!(outbox.push_invoke(
            Invoke::new(CallKind::Invocation, 2, &meta, vec![7; COPY * 40].into()).unwrap()
        ));
        assert!(
            outbox.push_invoke(
                Invoke::new(CallKind::Invocation, 3, &meta, vec![8; 3].into()).unwrap()
            )
        );
        outbox.push(|out| to_worker::cancel(4, Why::Left, out));
        outbox.close();
        assert!(
            !outbox.push_invoke(Invoke::new(CallKind::Invocation, 5, &meta, Bytes::new()).unwrap())
        );

        let mut received = Vec::new();
        let (written, read) = tokio::join!(
            async {
                let written = outbox.run(&ours).await;
                link::shut(&ours);
                written
            },
            theirs.read_to_end(&mut received)
        );
        written.unwrap();
        read.unwrap();
        let mut received = BytesMut::from(&received[..]);
        let mut calls = Vec::new();
        while let Some(frame) = frame::decode(&mut received).unwrap() {
            calls.push(frame.call);
        }
        assert_eq!(calls, [1, 2, 3, 4]);
        assert!(received.is_empty());
    }

    #[tokio::test]
    async fn invocations_arrive_whole_whoever_writes_them() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(ours);
        let outbox = Arc::new(Outbox::default());
        let writing = tokio::spawn({
            let (outbox, ours) = (Arc::clone(&outbox), Arc::clone(&ours));
            async move { outbox.run(&ours).await }
        });
        let sending = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move {
                let headers = HeaderMap::new();
                let meta = Meta {
                    method: &Method::POST,
                    request_id: "r",
                    session_id: None,
                    headers: &headers,
                    target: &Uri::from_static("/invocations"),
                    client: None,
                };
                for call in 0..300_u32 {
                    // Of all sizes, so that some fill the socket and some go the long way.
                    let body = vec![0; (call as usize * 7919) % 90_000];
                    assert!(outbox.push_invoke(
                        Invoke::new(CallKind::Invocation, call, &meta, body.into()).unwrap()
                    ));
                    if call % 3 == 0 {
                        outbox.push(|out| to_worker::cancel(call, Why::Left, out));
                    }
                    if call % 16 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                outbox.close();
            }
        });
        let mut received = BytesMut::new();
        let mut calls = Vec::new();
        while calls.len() < 400 {
            theirs.read_buf(&mut received).await.unwrap();
            while let Some(frame) = frame::decode(&mut received).unwrap() {
                calls.push(frame.call);
            }
        }
        sending.await.unwrap();
        writing.await.unwrap().unwrap();
        let expected: Vec<u32> = (0..300)
            .flat_map(|call| {
                if call % 3 == 0 {
                    vec![call, call]
                } else {
                    vec![call]
                }
            })
            .collect();
        assert_eq!(calls, expected);
    }
}
