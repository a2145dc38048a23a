//! The body of a request on its way to a sandbox: streamed, counted, and cut where it is too large.
//!
//! It counts what passes and never collects it. What nobody wants to read is read nevertheless, for a while: a caller who
//! still writes would otherwise see a broken pipe instead of the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body as AnyBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// The largest payload in bytes: that of the managed service.
pub(crate) const LARGEST_PAYLOAD: u64 = 100_000_000;

/// How long the rest of a body is read that nobody wants.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A body that fails once it is larger than [`LARGEST_PAYLOAD`].
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: AnyBody,
    left: u64,
    ended: bool,
    too_large: TooLarge,
}

/// Tells, also after the body is gone, whether it was too large.
#[derive(Clone, Debug)]
pub(crate) enum TooLarge {
    /// The length was said in advance.
    Known(bool),
    /// It is counted.
    Seen(Arc<AtomicBool>),
}

impl TooLarge {
    pub(crate) fn happened(&self) -> bool {
        match self {
            Self::Known(too_large) => *too_large,
            Self::Seen(seen) => seen.load(Ordering::Relaxed),
        }
    }
}

impl RequestBody {
    pub(crate) fn empty() -> Self {
        Self::new(AnyBody::empty())
    }

    pub(crate) fn new(inner: AnyBody) -> Self {
        let hint = inner.size_hint();
        let too_large = match hint.exact() {
            Some(length) => TooLarge::Known(length > LARGEST_PAYLOAD),
            None => TooLarge::Seen(Arc::default()),
        };
        Self {
            inner,
            left: LARGEST_PAYLOAD,
            ended: false,
            too_large,
        }
    }

    pub(crate) fn too_large(&self) -> TooLarge {
        self.too_large.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let frame = match frame {
            Some(Ok(frame)) => frame,
            end_or_error => {
                self.ended = true;
                return Poll::Ready(end_or_error);
            }
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(length) else {
            if let TooLarge::Seen(seen) = &self.too_large {
                seen.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(Some(Err(axum::Error::new("the payload is too large"))));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.ended || self.inner.is_end_stream() {
            return;
        }
        let mut rest = std::mem::take(&mut self.inner);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(DRAIN_LIMIT, async move {
                // A caller who has left makes this fail at once.
                while let Some(Ok(_)) = rest.frame().await {}
            }));
        }
    }
}
