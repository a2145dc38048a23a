//! An agent's events on their way to the caller.
//!
//! Events that are ready together share a frame, and one that is ready alone is sent alone. Before the first one is known, no
//! answer begins: an agent that fails before it said anything can still choose a status.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use agentcore_protocol::sse;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use tokio::time::{Instant, Sleep, sleep_until};

use super::bounds::{Bounds, End};
use crate::agent::{EventStream, StreamItem};
use crate::failure::Failure;
use crate::limits::{LIMIT_TYPE, after, seconds, shutting_down, until};
use crate::log::LOGGER;

/// Events that are ready together share a frame up to this size; one that is ready alone is sent alone.
const FRAME_SIZE: usize = 16 * 1024;

/// How long the head of an answer waits for the first item of its stream.
const FIRST_ITEM: Duration = Duration::from_secs(1);

/// A comment of the event stream format, which every decoder skips.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// A stream that may begin to answer, with its first item if that came in time.
pub(crate) struct Opened {
    stream: EventStream,
    first: Option<Result<StreamItem, Failure>>,
}

/// Waits for the first item of a stream, its end or a second, whichever comes first; not beyond what bounds it.
///
/// # Errors
///
/// Fails if the first item is a failure that chose a status, which the answer then has.
pub(crate) async fn open(mut stream: EventStream, bounds: &Bounds) -> Result<Opened, Failure> {
    let patience = match (after(FIRST_ITEM), bounds.deadline) {
        (Some(first), Some(deadline)) => Some(first.min(deadline)),
        (first, deadline) => first.or(deadline),
    };
    let first = tokio::select! {
        biased;
        first = stream.next() => first,
        () = until(patience) => return Ok(Opened { stream, first: None }),
        () = bounds.cut() => return Ok(Opened { stream, first: None }),
    };
    match first {
        Some(Err(failure)) if failure.is_chosen() => Err(failure),
        // Never asked again: it may take that amiss.
        None | Some(Err(_)) => Ok(Opened {
            stream: Box::pin(stream::empty()),
            first,
        }),
        Some(Ok(_)) => Ok(Opened { stream, first }),
    }
}

/// The body of an answer that is a stream of events.
pub(crate) struct EventBody {
    /// Gone once the stream has ended.
    stream: Option<EventStream>,
    first: Option<Result<StreamItem, Failure>>,
    bounds: Bounds,
    silence: Option<Silence>,
    buffer: BytesMut,
}

impl EventBody {
    /// Creates the body of a stream that sends a comment after so much silence.
    pub(crate) fn new(opened: Opened, bounds: Bounds, keep_alive: Option<Duration>) -> Self {
        let Opened { stream, first } = opened;
        Self {
            stream: Some(stream),
            first,
            bounds,
            silence: keep_alive.map(Silence::new),
            buffer: BytesMut::new(),
        }
    }

    /// Gathers what is ready: one frame, or nothing more to come.
    pub(super) fn poll_frame(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Bytes>> {
        match self.first.take() {
            Some(Ok(item)) => write_item(&item, &mut self.buffer),
            Some(Err(failure)) => self.fail(&failure),
            None => {}
        }
        if self.stream.is_some()
            && let Some(end) = self.bounds.reached()
        {
            self.end(end);
        }
        while let Some(stream) = &mut self.stream {
            match stream.as_mut().poll_next(task) {
                Poll::Ready(Some(Ok(item))) => write_item(&item, &mut self.buffer),
                Poll::Ready(Some(Err(failure))) => self.fail(&failure),
                Poll::Ready(None) => self.stream = None,
                Poll::Pending if !self.buffer.is_empty() => break,
                Poll::Pending => ready!(self.poll_waiting(task)),
            }
            if self.buffer.len() >= FRAME_SIZE {
                break;
            }
        }
        let frame = self.buffer.split().freeze();
        if let Some(silence) = &mut self.silence {
            silence.last = Instant::now();
        }
        Poll::Ready(Some(frame).filter(|frame| !frame.is_empty()))
    }

    /// Waits for what may happen while the agent says nothing; writes it.
    fn poll_waiting(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        if let Poll::Ready(end) = self.bounds.poll(task) {
            self.end(end);
            return Poll::Ready(());
        }
        let Some(silence) = &mut self.silence else {
            return Poll::Pending;
        };
        ready!(silence.poll(task));
        self.buffer.extend_from_slice(KEEP_ALIVE);
        Poll::Ready(())
    }

    /// Ends the stream because it cannot go on.
    fn end(&mut self, end: End) {
        let failure = match end {
            End::Shutdown => shutting_down(),
            End::Limit => {
                let limit = seconds(self.bounds.limit);
                let text = format!("the stream took longer than its limit of {limit}");
                Failure::new(StatusCode::GATEWAY_TIMEOUT, text).with_type(LIMIT_TYPE)
            }
        };
        self.fail(&failure);
    }

    /// Ends the stream by the error event.
    fn fail(&mut self, failure: &Failure) {
        if !failure.is_logged() {
            let _entered = self.bounds.span.enter();
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
        if self.stream.is_none() {
            return;
        }
        let _entered = self.bounds.span.enter();
        match self.bounds.reached() {
            None => tracing::info!(target: LOGGER, "Client disconnected during streaming"),
            Some(End::Shutdown) => {
                tracing::warn!(target: LOGGER, "Stream cut by the end of the server");
            }
            Some(End::Limit) => {
                tracing::warn!(target: LOGGER, "Stream cut at its limit, its caller did not read");
            }
        }
    }
}

/// Tells when nothing was sent for a while.
///
/// An event only notes its time: the timer is set again when it fires, not for each event.
struct Silence {
    every: Duration,
    last: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(every: Duration) -> Self {
        // No shorter than a timer can tell, and no longer than a stream can last.
        let every = every.clamp(Duration::from_millis(1), Duration::from_hours(24 * 365));
        let last = Instant::now();
        Self {
            every,
            last,
            alarm: Box::pin(sleep_until(last + every)),
        }
    }

    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(task));
            let due = self.last + self.every;
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(due);
        }
    }
}

fn write_item(item: &StreamItem, out: &mut BytesMut) {
    match item {
        StreamItem::Json(text) => sse::encode_json(text, out),
        StreamItem::Event(event) => sse::encode(event, out),
    }
}

#[cfg(test)]
mod tests;
