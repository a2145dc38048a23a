//! A body that keeps something alive until it is dropped, and is otherwise the body that it was.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::AnswerBody;

/// A body with what it cannot do without.
pub(crate) struct Kept<T> {
    body: AnswerBody,
    _needed: Arc<T>,
}

impl<T> Kept<T> {
    /// Keeps `needed` for as long as the body.
    pub(crate) fn new(body: AnswerBody, needed: Arc<T>) -> Self {
        Self {
            body,
            _needed: needed,
        }
    }
}

impl<T> Body for Kept<T> {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
