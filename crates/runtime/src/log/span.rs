//! The span around one invocation: its ids, which any subscriber sees, and its secrets, which only our own layer keeps.

use std::sync::Arc;

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
