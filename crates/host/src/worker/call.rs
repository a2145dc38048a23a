//! From a worker's replies to the server's outcome, the same for both kinds of connection.

use std::sync::Arc;

use agentcore_runtime::{EventStream, Failure, Outcome, StreamItem};
use futures_util::stream;

use super::Worker;
use super::failures;
use super::mux::LoopCall;
use super::thread_call::ThreadCall;
use crate::wire::from_worker::{Items, Reply};

/// A call that the worker has.
#[derive(Debug)]
pub(crate) enum Call {
    Thread(ThreadCall),
    Loop(LoopCall, Arc<Worker>),
}

/// A stream of events while it is open.
struct Streaming {
    call: Option<Call>,
    items: Items,
}

impl Call {
    /// Waits for the answer, or for the beginning of a stream.
    pub(crate) async fn outcome(mut self) -> Outcome {
        match self.reply().await {
            Ok(Reply::Result(body)) => Outcome::Json(body),
            Ok(Reply::Error(error)) => Outcome::Failed(failures::of_the_agent(error)),
            Ok(Reply::Response(head, body)) => match failures::response(head, body) {
                Ok(response) => Outcome::Response(response),
                Err(failure) => Outcome::Failed(failure),
            },
            Ok(Reply::Stream) => Outcome::Events(self.into_events()),
            Ok(Reply::Items(_) | Reply::End) => {
                self.give_up();
                Outcome::Failed(failures::of_the_protocol("events outside of a stream"))
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        match self {
            Self::Thread(call) => call.reply().await,
            Self::Loop(call, worker) => call.reply(&worker.life).await,
        }
    }

    fn took_one(&mut self) {
        match self {
            // The socket's own buffer is the limit there.
            Self::Thread(_) => {}
            Self::Loop(call, _) => call.took_one(),
        }
    }

    fn give_up(&mut self) {
        match self {
            Self::Thread(call) => call.lose(),
            // Dropping it cancels it.
            Self::Loop(..) => {}
        }
    }

    fn into_events(self) -> EventStream {
        let streaming = Streaming {
            call: Some(self),
            items: Items::One(None),
        };
        Box::pin(stream::unfold(streaming, |mut streaming| async {
            let next = streaming.next().await?;
            Some((next, streaming))
        }))
    }
}

impl Streaming {
    async fn next(&mut self) -> Option<Result<StreamItem, Failure>> {
        loop {
            let call = self.call.as_mut()?;
            if let Some(item) = self.items.next() {
                call.took_one();
                return Some(Ok(StreamItem::Json(item)));
            }
            let failure = match call.reply().await {
                Ok(Reply::Items(items)) => {
                    self.items = items;
                    continue;
                }
                Ok(Reply::End) => {
                    self.call = None;
                    return None;
                }
                Ok(Reply::Error(error)) => failures::of_the_agent(error),
                Ok(Reply::Result(_) | Reply::Response(..) | Reply::Stream) => {
                    call.give_up();
                    failures::of_the_protocol("an answer inside a stream")
                }
                Err(failure) => failure,
            };
            self.call = None;
            return Some(Err(failure));
        }
    }
}
