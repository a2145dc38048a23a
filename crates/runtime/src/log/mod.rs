//! The log: one JSON object a line, in the reference SDK's schema, with the ids of the invocation at hand.
//!
//! A program installs it, `App::run` among them, and never over a subscriber that is set. What is logged is decided
//! where it happens; this module only writes it.

mod line;
mod sink;
mod timestamp;

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use self::line::Line;
use self::sink::Sink;

/// The logger of the server's own lines; the reference SDK's name, so that queries over logs keep working.
pub(crate) const LOGGER: &str = "bedrock_agentcore.app";

/// The name of the span around an invocation, which carries its ids.
///
/// Spans of that name under [`LOGGER`] are let through whatever the filter says, so that every line has its ids.
pub(crate) const INVOCATION: &str = "invocation";

/// What the lines of this process go through, if they are ours.
static SINK: OnceLock<Sink> = OnceLock::new();

/// Logs to stderr from now on, one JSON object a line; a `tracing` subscriber that is set already stays.
///
/// `filter` is the text of `RUST_LOG` (`debug`, `my_agent=debug,info`); without it, events from INFO on are logged.
/// [`App::run`](crate::App::run) does this itself; it is for programs that serve an [`Agent`](crate::Agent) of their own. Lines are
/// written by a thread of their own, so that nobody who reads them slowly holds up the server; the end of a server
/// waits until its lines are written.
pub fn log_to_stderr(filter: Option<&str>) {
    if tracing::dispatcher::has_been_set() {
        return;
    }
    let parsed = filter.filter(|text| !text.is_empty()).map(str::parse);
    let malformed = matches!(parsed, Some(Err(_)));
    let levels: Targets = parsed
        .and_then(Result::ok)
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let sink = Sink::start(io::stderr()).ok();
    let write = {
        let sink = sink.clone();
        move |line: &[u8]| match &sink {
            Some(sink) => sink.line(line),
            // No thread to be had: slower, and still a log.
            None => drop(io::stderr().write_all(line)),
        }
    };
    let subscriber = Registry::default().with(JsonLines { levels, write });
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return;
    }
    if let Some(sink) = sink {
        let _ = SINK.set(sink); // Only one subscriber can be set, so only one sink.
    }
    if malformed {
        tracing::warn!(target: LOGGER, "RUST_LOG is not a list of `target=level`, logging from INFO");
    }
}

/// Waits until what was logged is written; call it where a server ends, because its program may end there too.
pub(crate) fn flush() {
    if let Some(sink) = SINK.get() {
        sink.flush();
    }
}

/// Writes events as JSON lines.
struct JsonLines<W> {
    /// In here and not in a filter around it: of two layers each would keep books about every span.
    levels: Targets,
    write: W,
}

impl<W> JsonLines<W> {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.is_span() && metadata.name() == INVOCATION;
        let (target, level) = (metadata.target(), metadata.level());
        is_ours && target == LOGGER || self.levels.would_enable(target, level)
    }
}

/// The ids of an invocation, kept with its span.
#[derive(Default)]
struct Ids {
    request: Option<String>,
    session: Option<String>,
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&[u8]) + 'static,
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
        let mut ids = Ids::default();
        attributes.record(&mut ids);
        if let Some(span) = context.span(id).filter(|_| !ids.is_empty()) {
            span.extensions_mut().insert(ids);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let mut ids = extensions.remove::<Ids>().unwrap_or_default();
        values.record(&mut ids);
        extensions.insert(ids);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        Line::with(|line| {
            event.record(line);
            for span in context.event_scope(event).into_iter().flatten() {
                if let Some(Ids { request, session }) = span.extensions().get() {
                    line.complete_ids(request.as_deref(), session.as_deref());
                }
            }
            let (level, logger) = (*event.metadata().level(), event.metadata().target());
            (self.write)(line.text(SystemTime::now(), level, logger));
        });
    }
}

impl Ids {
    fn is_empty(&self) -> bool {
        self.request.is_none() && self.session.is_none()
    }

    fn set(&mut self, field: &Field, value: impl FnOnce() -> String) {
        match field.name() {
            "request_id" => self.request = Some(value()),
            "session_id" => self.session = Some(value()),
            _ => {}
        }
    }
}

impl Visit for Ids {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, || value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, || format!("{value:?}"));
    }
}

/// The line that stands for lines that nobody read in time.
fn dropped_line(count: u64) -> Vec<u8> {
    let message = format!("{count} log lines were dropped, because stderr was not read");
    let mut line = Line::default();
    line.set_message(&message);
    line.text(SystemTime::now(), Level::WARN, LOGGER).to_vec()
}

/// The lines that a test writes on its own thread.
#[cfg(test)]
pub(crate) struct Captured {
    written: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    _subscriber: tracing::subscriber::DefaultGuard,
}

#[cfg(test)]
impl Captured {
    /// Captures from now on, until this is dropped.
    pub(crate) fn start() -> Self {
        Self::with_filter("trace")
    }

    fn with_filter(filter: &str) -> Self {
        let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = std::sync::Arc::clone(&written);
        let layer = JsonLines {
            levels: filter.parse().unwrap(),
            write: move |line: &[u8]| sink.lock().unwrap().extend_from_slice(line),
        };
        Self {
            written,
            _subscriber: tracing::subscriber::set_default(Registry::default().with(layer)),
        }
    }

    /// Returns the lines so far, without their timestamps.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.written.lock().unwrap().clone()).unwrap();
        let without_time = |line: &str| {
            let (stamp, rest) = line.split_once(", ").unwrap();
            assert_eq!(
                stamp.len(),
                r#"{"timestamp": "2026-11-22T11:02:22.835Z""#.len()
            );
            rest.to_owned()
        };
        text.lines().map(without_time).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(work: impl FnOnce()) -> Vec<String> {
        let captured = Captured::start();
        work();
        captured.lines()
    }

    #[test]
    fn a_line_has_the_keys_of_the_schema_in_their_order() {
        let lines = lines(|| {
            let span =
                tracing::info_span!("invocation", request_id = "r-1", session_id = Some("s-1"));
            let _entered = span.enter();
            let _inner = tracing::info_span!("of_the_author", step = 3).entered();
            tracing::warn!(target: LOGGER, errorType = "T", level = 7, "Ünïcode \"{}\"\n", 1);
        });
        assert_eq!(
            lines,
            [concat!(
                r#""level": "WARNING", "message": "Ünïcode \"1\"\n", "logger": "bedrock_agentcore.app", "#,
                r#""requestId": "r-1", "sessionId": "s-1", "errorType": "T", "level_": 7}"#
            )]
        );
    }

    #[test]
    fn ids_are_left_out_where_there_are_none() {
        let lines = lines(|| {
            tracing::info!(target: "my_agent", "alone");
            let span =
                tracing::info_span!("invocation", request_id = "r-2", session_id = None::<&str>);
            span.in_scope(|| tracing::debug!(target: "my_agent", "with a request"));
        });
        assert_eq!(
            lines,
            [
                r#""level": "INFO", "message": "alone", "logger": "my_agent"}"#,
                r#""level": "DEBUG", "message": "with a request", "logger": "my_agent", "requestId": "r-2"}"#,
            ]
        );
    }

    #[test]
    fn the_ids_stay_whatever_the_filter_lets_through() {
        for filter in ["my_agent=debug", "error,my_agent=debug"] {
            let captured = Captured::with_filter(filter);
            let span = tracing::error_span!(target: LOGGER, INVOCATION, request_id = "r-3");
            let _entered = span.enter();
            let _other = tracing::info_span!(target: LOGGER, "other", session_id = "no").entered();
            tracing::info!(target: LOGGER, "not wanted");
            tracing::debug!(target: "my_agent", "wanted");
            assert_eq!(
                captured.lines(),
                [
                    r#""level": "DEBUG", "message": "wanted", "logger": "my_agent", "requestId": "r-3"}"#
                ]
            );
        }
    }

    #[test]
    fn values_keep_their_types() {
        let lines = lines(|| {
            tracing::info!(target: "my_agent", yes = true, less = -1, much = 1e16, text = "\"a\"", none = f64::NAN);
        });
        assert_eq!(
            lines,
            [concat!(
                r#""level": "INFO", "message": "", "logger": "my_agent", "#,
                r#""yes": true, "less": -1, "much": 1e+16, "text": "\"a\"", "none": null}"#
            )]
        );
    }
}
