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
