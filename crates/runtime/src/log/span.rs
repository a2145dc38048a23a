//! The span around one invocation: its ids, which any subscriber sees, and its secrets, which only our own layer keeps.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use agentcore_protocol::trace::TraceContext;
use tracing::{Span, field};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::layer::{Lines, Marks};
use super::secrets::Secrets;
use super::{INVOCATION, LOGGER};
use crate::SessionId;
use crate::context::Context;

/// Creates the span that an invocation runs in, or a WebSocket connection.
///
/// Every line that is logged within it carries its ids: in our log as `requestId`, `sessionId`, `traceId` and `spanId`,
/// for other subscribers as the fields of the span.
pub(crate) fn invocation_span(context: &Context) -> Span {
    let trace = context.trace();
    let span = tracing::error_span!(
        target: LOGGER,
        INVOCATION,
        request_id = context.request_id(),
        session_id = context.session_id().map(SessionId::as_str),
        trace_id = trace.map(|it| field::display(it.trace_id())),
        span_id = trace.and_then(TraceContext::span_id).map(field::display),
    );
    keep_secrets(&span, context);
    span
}

/// Leaves the invocation's secrets with the span. As fields every other subscriber would get them, exporters included.
fn keep_secrets(span: &Span, context: &Context) {
    span.with_subscriber(|(id, dispatch)| {
        if !dispatch.is::<Lines>() {
            return;
        }
        let Some(secrets) = Secrets::among(context.headers()) else {
            return;
        };
        let registry = dispatch.downcast_ref::<Registry>();
        if let Some(span) = registry.and_then(|registry| registry.span(id)) {
            let mut extensions = span.extensions_mut();
            let mut marks: Marks = extensions.remove().unwrap_or_default();
            marks.secrets = Some(Arc::new(secrets));
            extensions.insert(marks);
        }
    });
}

/// A future within somebody else's span: entered while the future is polled, and while one that has not ended is dropped.
///
/// Costs less than `Instrument`, which holds a span of its own and enters it once more in the end.
pub(crate) struct Within<'a, F: Unpin> {
    span: &'a Span,
    /// Gone when it has ended.
    inner: Option<F>,
}

impl<'a, F: Future + Unpin> Within<'a, F> {
    pub(crate) fn new(span: &'a Span, inner: F) -> Self {
        let inner = Some(inner);
        Self { span, inner }
    }
}

impl<F: Future + Unpin> Future for Within<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let span = self.span;
        let Some(inner) = &mut self.inner else {
            return Poll::Pending;
        };
        let inner = Pin::new(inner);
        let _entered = span.enter();
        let output = ready!(inner.poll(task));
        self.inner = None;
        Poll::Ready(output)
    }
}

impl<F: Unpin> Drop for Within<'_, F> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            self.span.in_scope(|| drop(inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt;
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::log::Captured;

    /// Logs its own end.
    struct Telling;

    impl Drop for Telling {
        fn drop(&mut self) {
            tracing::info!(target: LOGGER, "gone");
        }
    }

    #[test]
    fn what_runs_within_a_span_ends_within_it() {
        let name = agentcore_protocol::header::REQUEST_ID;
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("r-1"))]);
        for ends in [false, true] {
            let captured = Captured::start();
            let span = invocation_span(&Context::from_headers(headers.clone()));
            let telling = Telling;
            let work = async move {
                let _telling = &telling;
                if !ends {
                    pending::<()>().await;
                }
            };
            assert_eq!(
                Within::new(&span, Box::pin(work)).now_or_never().is_some(),
                ends
            );
            let lines = captured.lines();
            assert!(
                lines[0].contains("gone") && lines[0].contains("r-1"),
                "{lines:?}"
            );
        }
    }
}
