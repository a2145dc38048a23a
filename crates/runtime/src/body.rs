//! The bodies of answers: whole, streamed as server-sent events, or whatever a ready-made response brought along.
//!
//! Events are taken from the agent only when the connection wants more, and the agent's stream is dropped with the body,
//! which is the moment the caller goes away. Nothing here decides what an agent answers.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use agentcore_protocol::sse;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::Span;

use crate::agent::{EventStream, StreamItem};
use crate::failure::Failure;
use crate::log::LOGGER;

/// Events that are ready together share a frame up to this size; one that is ready alone is sent alone.
const FRAME_SIZE: usize = 16 * 1024;

/// The body of an answer.
pub(crate) enum AnswerBody {
    /// All of it; `None` when it was sent, or when there is none.
    Full(Option<Bytes>),
    /// Events as they come.
    Events(Box<EventBody>),
    /// The body of a ready-made response.
    Other(Body),
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
            Self::Other(body) => Pin::new(body).poll_frame(task),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Events(_) => false,
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Events(_) => SizeHint::default(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

/// An agent's events on their way to the caller.
pub(crate) struct EventBody {
    /// Gone once the stream has ended.
    stream: Option<EventStream>,
    /// Cancelled when the server can wait no longer.
    cut: CancellationToken,
    /// Completes at that moment, so that a silent stream is woken by it.
    cut_now: Pin<Box<WaitForCancellationFutureOwned>>,
    buffer: BytesMut,
    span: Span,
}

impl EventBody {
    /// Creates the body of `stream`, which ends early when `cut` is cancelled.
    pub(crate) fn new(stream: EventStream, cut: CancellationToken, span: Span) -> Self {
        Self {
            stream: Some(stream),
            cut_now: Box::pin(cut.clone().cancelled_owned()),
            cut,
            buffer: BytesMut::new(),
            span,
        }
    }

    /// Gathers what is ready: one frame, or nothing more to come.
    fn poll_frame(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Bytes>> {
        if self.stream.is_some() && self.cut.is_cancelled() {
            self.fail(&shutting_down());
        }
        while let Some(stream) = &mut self.stream {
            match stream.as_mut().poll_next(task) {
                Poll::Ready(Some(Ok(item))) => write_item(&item, &mut self.buffer),
                Poll::Ready(Some(Err(failure))) => self.fail(&failure),
                Poll::Ready(None) => self.stream = None,
                Poll::Pending if !self.buffer.is_empty() => break,
                Poll::Pending if self.cut_now.as_mut().poll(task).is_ready() => {
                    self.fail(&shutting_down());
                }
                Poll::Pending => return Poll::Pending,
            }
            if self.buffer.len() >= FRAME_SIZE {
                break;
            }
        }
        let frame = self.buffer.split().freeze();
        Poll::Ready(Some(frame).filter(|frame| !frame.is_empty()))
    }

    /// Ends the stream by the error event.
    fn fail(&mut self, failure: &Failure) {
        if !failure.is_logged() {
            let _entered = self.span.enter();
            tracing::error!(
                target: LOGGER,
                errorType = failure.error_type(),
                errorMessage = failure.to_string(),
                cause = failure.cause(),
                "Error in async streaming"
            );
        }
        sse::encode_json(&failure.event(), &mut self.buffer);
        self.stream = None;
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        if self.stream.is_some() {
            let _entered = self.span.enter();
            tracing::info!(target: LOGGER, "Client disconnected during streaming");
        }
    }
}

fn write_item(item: &StreamItem, out: &mut BytesMut) {
    match item {
        StreamItem::Json(text) => sse::encode_json(text, out),
        StreamItem::Event(event) => sse::encode(event, out),
    }
}

/// What the caller of a stream reads if the server cannot wait for its end: without it, half an answer looks whole.
fn shutting_down() -> Failure {
    Failure::internal("the server is shutting down").with_type("ServerShutdown")
}

#[cfg(test)]
mod tests {
    use futures_util::{Stream, StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    fn body(
        items: impl Stream<Item = Result<StreamItem, Failure>> + Send + 'static,
        cut: &CancellationToken,
    ) -> AnswerBody {
        AnswerBody::Events(Box::new(EventBody::new(
            Box::pin(items),
            cut.clone(),
            Span::none(),
        )))
    }

    fn json(text: &'static str) -> StreamItem {
        StreamItem::Json(Bytes::from_static(text.as_bytes()))
    }

    async fn frame(body: &mut AnswerBody) -> Option<String> {
        let bytes = body.frame().await?.unwrap().into_data().unwrap();
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_failure_is_the_last_event() {
        let cut = CancellationToken::new();
        let failed = Failure::internal("broke").with_type("Broken");
        let mut body = body(
            stream::iter([Ok(json("1")), Err(failed), Ok(json("2"))]),
            &cut,
        );
        assert_eq!(
            frame(&mut body).await.as_deref(),
            Some(concat!(
                "data: 1\n\n",
                r#"data: {"error": "broke", "error_type": "Broken", "#,
                r#""message": "An error occurred during streaming"}"#,
                "\n\n"
            ))
        );
        assert_eq!(frame(&mut body).await, None);
    }

    #[tokio::test]
    async fn an_event_that_is_ready_alone_is_sent_alone() {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let items = stream::unfold(receiver, |mut receiver| async move {
            Some((receiver.recv().await?, receiver))
        });
        let mut body = body(items, &CancellationToken::new());
        for text in ["1", "2"] {
            sender.send(Ok(json(text))).await.unwrap();
            assert_eq!(frame(&mut body).await, Some(format!("data: {text}\n\n")));
        }
        drop(sender);
        assert_eq!(frame(&mut body).await, None);
    }

    #[tokio::test]
    async fn an_endless_stream_does_not_fill_memory() {
        let mut body = body(
            stream::repeat_with(|| Ok(json("\"x\""))),
            &CancellationToken::new(),
        );
        let first = frame(&mut body).await.unwrap();
        assert!(first.len() < FRAME_SIZE + 64, "{}", first.len());
    }

    #[tokio::test]
    async fn a_cut_stream_says_so() {
        let cut = CancellationToken::new();
        let mut body = body(stream::iter([Ok(json("1"))]).chain(stream::pending()), &cut);
        assert_eq!(frame(&mut body).await.as_deref(), Some("data: 1\n\n"));
        cut.cancel();
        let last = frame(&mut body).await.unwrap();
        assert!(last.contains("the server is shutting down"), "{last}");
        assert_eq!(frame(&mut body).await, None);
    }

    #[tokio::test]
    async fn own_events_keep_their_name() {
        let event = sse::Event {
            event: Some("tick".into()),
            data: "1\n2".into(),
            ..sse::Event::default()
        };
        let mut body = body(
            stream::iter([Ok(StreamItem::Event(event))]),
            &CancellationToken::new(),
        );
        assert_eq!(
            frame(&mut body).await.as_deref(),
            Some("event: tick\ndata: 1\ndata: 2\n\n")
        );
    }
}
