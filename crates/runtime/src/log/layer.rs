//! The `tracing` layer that turns events into lines: which ones, with which ids, and without which secrets.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::line::{Line, Style};
use super::secrets::Secrets;
use super::{INVOCATION, LOGGER};

/// The ids of an invocation: the field of the span, and the key in a line.
pub(super) const IDS: [(&str, &str); 4] = [
    ("request_id", "requestId"),
    ("session_id", "sessionId"),
    ("trace_id", "traceId"),
    ("span_id", "spanId"),
];

/// Takes one line, its line break included.
pub(super) type Write = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Writes events as lines.
pub(super) struct Lines {
    /// In here and not in a filter around it: of two layers each would keep books about every span.
    pub(super) levels: Targets,
    pub(super) style: Style,
    pub(super) write: Write,
}

impl Lines {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.is_span() && metadata.name() == INVOCATION;
        let (target, level) = (metadata.target(), metadata.level());
        is_ours && target == LOGGER || self.levels.would_enable(target, level)
    }
}

/// What is kept with the span of an invocation.
#[derive(Default)]
pub(super) struct Marks {
    /// In the order of [`IDS`].
    pub(super) ids: [Option<String>; IDS.len()],
    pub(super) secrets: Option<Arc<Secrets>>,
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        <Targets as Layer<S>>::max_level_hint(&self.levels)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut marks = Marks::default();
        attributes.record(&mut marks);
        if let Some(span) = context.span(id).filter(|_| marks.has_ids()) {
            span.extensions_mut().insert(marks);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Before the span is locked: a value may log something itself, or panic, while it is written.
        let mut later = Marks::default();
        values.record(&mut later);
        if let Some(span) = context.span(id).filter(|_| later.has_ids()) {
            let mut extensions = span.extensions_mut();
            let mut marks: Marks = extensions.remove().unwrap_or_default();
            for (id, later) in marks.ids.iter_mut().zip(later.ids) {
                *id = later.or(id.take());
            }
            extensions.insert(marks);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        Line::with(self.style, |line| {
            for span in context.event_scope(event).into_iter().flatten() {
                if let Some(marks) = span.extensions().get() {
                    line.complete(marks);
                }
            }
            event.record(line);
            let (level, logger) = (*event.metadata().level(), event.metadata().target());
            (self.write)(line.text(SystemTime::now(), level, logger));
        });
    }
}

impl Marks {
    fn has_ids(&self) -> bool {
        self.ids.iter().any(Option::is_some)
    }

    fn set(&mut self, field: &Field, value: impl FnOnce() -> String) {
        let index = IDS.iter().position(|(name, _)| *name == field.name());
        if let Some(index) = index {
            self.ids[index] = Some(value());
        }
    }
}

impl Visit for Marks {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, || value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, || {
            let mut text = String::new();
            // A value that cannot be written has said what it could.
            let _ = fmt::Write::write_fmt(&mut text, format_args!("{value:?}"));
            text
        });
    }
}
