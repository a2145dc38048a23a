//! The body of a ready-made response: passed on as it is, within the bounds of a stream.
//!
//! There is no error event in a body that may be anything, so what is cut ends with its connection.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame};

use super::bounds::{Bounds, End};
use super::ended;
use crate::limits::LIMIT_TYPE;
use crate::log::LOGGER;

/// The body of a ready-made response.
pub(crate) struct PassedBody {
    body: Body,
    bounds: Bounds,
}

impl PassedBody {
    pub(crate) fn new(body: Body, bounds: Bounds) -> Self {
        Self { body, bounds }
    }

    pub(super) fn inner(&self) -> &Body {
        &self.body
    }

    pub(super) fn poll_frame(
        &mut self,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Before the body, because one that always has more would never be asked to end.
        if let Some(end) = self.bounds.reached() {
            return Poll::Ready(Some(Err(self.cut(end))));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(task) {
            return Poll::Ready(frame);
        }
        self.bounds.poll(task).map(|end| Some(Err(self.cut(end))))
    }

    fn cut(&self, end: End) -> axum::Error {
        let _entered = self.bounds.span.enter();
        match end {
            End::Shutdown => {
                tracing::warn!(target: LOGGER, "Response cut by the end of the server");
                ended("the server is shutting down")
            }
            End::Limit => {
                tracing::error!(target: LOGGER, errorType = LIMIT_TYPE, "Response cut at its limit");
                ended("the response took longer than its limit")
            }
        }
    }
}
