//! The body of a response that takes time: polled on the agent's threads, sent by the server's.
//!
//! It ends with the connection: dropping it drops the handler's body at once. An error cuts the answer off, because its status
//! has been sent; it goes to the log.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyStream;
use tracing::Span;

use super::response::body_failed;

use crate::failure::Failure;
use crate::isolate::{Items, Relay};
use crate::log::LOGGER;

/// A body whose frames come from the agent's threads.
pub(super) struct RelayedBody {
    first: Option<Frame<Bytes>>,
    frames: Items<Frame<Bytes>>,
    /// How many bytes are to come, if the handler's body said so.
    left: Option<u64>,
    ended: bool,
    span: Span,
}

impl RelayedBody {
    /// Begins to poll `body`, whose `first` frame is there already, on the agent's threads.
    pub(super) fn new(first: Option<Frame<Bytes>>, body: Body, relay: Relay) -> Self {
        let left = body.size_hint().exact();
        let frames = BodyStream::new(body).map(|frame| frame.map_err(body_failed));
        Self {
            left: left.map(|left| left + first.as_ref().map_or(0, length)),
            first,
            frames: relay.stream(frames),
            ended: false,
            span: Span::current(),
        }
    }

    /// Counts what is sent: the server does not ask again once it has as much as was promised.
    fn count(&mut self, frame: &Frame<Bytes>) {
        self.left = self.left.map(|left| left.saturating_sub(length(frame)));
        self.ended = self.left == Some(0);
    }

    fn fail(&self, failure: &Failure) -> axum::Error {
        let _entered = self.span.enter();
        tracing::error!(
            target: LOGGER,
            errorType = failure.error_type(),
            errorMessage = failure.to_string(),
            cause = failure.cause(),
            "Error in response body"
        );
        axum::Error::new(failure.clone())
    }
}

impl http_body::Body for RelayedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let next = match this.first.take() {
            Some(frame) => Some(Ok(frame)),
            None => ready!(Pin::new(&mut this.frames).poll_next(task)),
        };
        match &next {
            Some(Ok(frame)) => this.count(frame),
            _ => this.ended = true,
        }
        Poll::Ready(next.map(|frame| frame.map_err(|failure| this.fail(&failure))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for RelayedBody {
    fn drop(&mut self) {
        if !self.ended {
            let _entered = self.span.enter();
            tracing::info!(target: LOGGER, "Client disconnected during streaming");
        }
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, Bytes::len) as u64
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::agent::Invocation;
    use crate::context::Context;
    use crate::isolate::{CallerLeaves, Isolate, Terms, Threads};
    use crate::limits::Hold;
    use crate::log::Captured;

    /// A body on the threads of the test, for an invocation that has that place.
    fn relayed(body: Body, hold: Hold) -> RelayedBody {
        let mut invocation = Invocation::new("", Context::from_headers(HeaderMap::new()));
        invocation.hold = hold;
        let threads = Isolate::start(Threads::Shared, CallerLeaves::default()).unwrap();
        let relay = threads.relay(&Terms::of(&invocation));
        RelayedBody::new(None, body, relay)
    }

    fn pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> = pieces.iter().copied().map(Ok::<_, Infallible>).collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn the_invocation_keeps_its_place_until_the_body_ends() {
        let place = Arc::new(());
        let (sender, receiver) = mpsc::channel::<&str>(1);
        let chunks = stream::unfold(receiver, |mut receiver| async move {
            Some((Ok::<_, Infallible>(receiver.recv().await?), receiver))
        });
        let hold = Hold::default().and(Arc::clone(&place));
        let mut body = relayed(Body::from_stream(chunks), hold);
        sender.send("1").await.unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "1"
        );
        assert_eq!(Arc::strong_count(&place), 2);
        drop(sender);
        assert!(body.frame().await.is_none());
        assert_eq!(Arc::strong_count(&place), 1);
    }

    #[tokio::test]
    async fn the_log_has_a_body_that_fails_or_is_left() {
        let failing = || Body::from_stream(stream::iter([Ok("1"), Err("the disk broke")]));
        let about = r#""logger": "bedrock_agentcore.app""#;
        for (body, frames, lines) in [
            (pieces(&["1", "2"]), 3, vec![]),
            (
                pieces(&["1", "2"]),
                1,
                vec![format!(
                    r#""level": "INFO", "message": "Client disconnected during streaming", {about}}}"#
                )],
            ),
            (
                failing(),
                2,
                vec![format!(
                    r#""level": "ERROR", "message": "Error in response body", {about}, "errorMessage": "the disk broke"}}"#
                )],
            ),
            // The server asks no more than once for the only frame.
            (Body::from("whole"), 1, vec![]),
        ] {
            let captured = Captured::start();
            let mut body = relayed(body, Hold::default());
            for _ in 0..frames {
                let _ = body.frame().await;
            }
            drop(body);
            assert_eq!(captured.lines(), lines);
        }
    }

    #[tokio::test]
    async fn a_body_of_a_known_length_says_what_is_left() {
        let mut body = relayed(Body::from("whole"), Hold::default());
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "whole"
        );
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
        assert_eq!(
            relayed(pieces(&["1"]), Hold::default()).size_hint().exact(),
            None
        );
    }
}
