//! The bodies of answers: whole, streamed as server-sent events, or whatever a ready-made response brought along.
//!
//! Whatever an agent streams is taken only when the connection wants more, and dropped with the body, which is the moment the
//! caller goes away. Nothing here decides what an agent answers.

mod bounds;
mod events;
mod kept;
mod passed;

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

pub(crate) use bounds::Bounds;
pub(crate) use events::{EventBody, Opened, open};
pub(crate) use kept::Kept;
pub(crate) use passed::PassedBody;

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// All of it; `None` when it was sent, or when there is none.
    Full(Option<Bytes>),
    /// Events as they come.
    Events(Box<EventBody>),
    /// The body of an agent's ready-made response.
    Passed(Box<PassedBody>),
    /// The body of an answer that went through a router.
    Other(Body),
    /// No answer at all, not even a head: the connection ends.
    None,
}

impl AnswerBody {
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => events
                .poll_frame(task)
                .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passed(body) => body.poll_frame(task),
            Self::Other(body) => Pin::new(body).poll_frame(task),
            Self::None => Poll::Ready(Some(Err(ended("the caller went away")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Events(_) | Self::None => false,
            Self::Passed(body) => body.inner().is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Events(_) | Self::None => SizeHint::default(),
            Self::Passed(body) => body.inner().size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

/// The error of a body that ends its connection, so that half an answer does not look whole.
fn ended(why: &'static str) -> axum::Error {
    axum::Error::new(io::Error::new(io::ErrorKind::ConnectionAborted, why))
}
