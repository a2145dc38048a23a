//! From a worker's replies to the server's outcome, the same for both kinds of connection.

use agentcore_runtime::{Body, EventStream, Failure, Outcome, StreamItem};
use futures_util::stream;
use http::Response;
use http::header::CONTENT_LENGTH;

use super::failures;
use super::mux::LoopCall;
use super::thread_call::ThreadCall;
use crate::wire::from_worker::{Items, Reply, ResponseHead};

/// A call that the worker has.
#[derive(Debug)]
pub(crate) enum Call {
    Thread(ThreadCall),
    Loop(LoopCall),
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
            Ok(Reply::Response(head, body)) => {
                responded(failures::response(head, Body::from(body)))
            }
            Ok(Reply::Head(head)) => responded(self.into_response(head)),
            Ok(Reply::Stream) => Outcome::Events(self.into_events()),
            Ok(_) => {
                self.give_up();
                Outcome::Failed(failures::of_the_protocol("events outside of a stream"))
            }
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        let call = match self {
            Self::Loop(call) => return call.reply().await,
            Self::Thread(call) => call,
        };
        match call.reply().await {
            Ok(Reply::Moved) => {
                let moved = call.moved().await?;
                *self = Self::Loop(moved);
                let Self::Loop(call) = self else {
                    unreachable!("it was moved there")
                };
                call.reply().await
            }
            reply => reply,
        }
    }

    fn took_one(&mut self) {
        match self {
            // The socket's own buffer is the limit there.
            Self::Thread(_) => {}
            Self::Loop(call) => call.took_one(),
        }
    }

    fn fulfil(&mut self) {
        if let Self::Loop(call) = self {
            call.fulfil();
        }
    }

    fn give_up(&mut self) {
        match self {
            Self::Thread(call) => call.lose(),
            // Dropping it cancels it.
            Self::Loop(_) => {}
        }
    }

    /// Makes an answer of a call whose head has come, and whose body follows.
    pub(super) fn into_response(self, head: ResponseHead) -> Result<Response<Body>, Failure> {
        let length = failures::content_length(&head);
        let mut response = failures::response(head, self.into_body(length))?;
        // Of a body in pieces only the agent knows how long it will be.
        if let Some(length) = length {
            let headers = response.headers_mut();
            headers.insert(CONTENT_LENGTH, length.into());
        }
        Ok(response)
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

    /// The pieces of a ready-made answer, of which so many bytes are wanted; a failure cuts it.
    fn into_body(self, wanted: Option<u64>) -> Body {
        Body::from_stream(stream::unfold(
            (Some(self), wanted),
            |(call, wanted)| async move {
                let mut call = call?;
                let failure = match call.reply().await {
                    Ok(Reply::Chunk(piece)) => {
                        call.took_one();
                        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                        let wanted = wanted.map(|wanted| wanted.saturating_sub(length));
                        if wanted == Some(0) {
                            // The server asks for nothing more, and drops the rest.
                            call.fulfil();
                        }
                        return Some((Ok(piece), (Some(call), wanted)));
                    }
                    Ok(Reply::End) => return None,
                    Ok(Reply::Error(error)) => failures::of_the_agent(error),
                    Ok(_) => {
                        call.give_up();
                        failures::of_the_protocol("something else inside of a body")
                    }
                    Err(failure) => failure,
                };
                Some((Err(failure), (None, None)))
            },
        ))
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
                Ok(_) => {
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

fn responded(response: Result<Response<Body>, Failure>) -> Outcome {
    response.map_or_else(Outcome::Failed, Outcome::Response)
}
