//! The log: one JSON object a line, in the reference SDK's schema, with the ids of the invocation at hand.
//!
//! A program installs it, `App::run` among them, and never over a subscriber that is set. What is logged is decided
//! where it happens; this module only writes it.

mod sink;
mod timestamp;

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use agentcore_protocol::json;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use self::sink::Sink;
use self::timestamp::timestamp;

/// The logger of the server's own lines; the reference SDK's name, so that queries over logs keep working.
pub(crate) const LOGGER: &str = "bedrock_agentcore.app";

/// Keys that have a place and a meaning of their own in a line.
const RESERVED: [&str; 6] = [
    "timestamp",
    "level",
    "message",
    "logger",
    "requestId",
    "sessionId",
];

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
    let lines = JsonLines::new({
        let sink = sink.clone();
        move |line: &[u8]| match &sink {
            Some(sink) => sink.line(line),
            // No thread to be had: slower, and still a log.
            None => drop(io::stderr().write_all(line)),
        }
    });
    let subscriber = Registry::default().with(lines.with_filter(levels));
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
    write: W,
}

impl<W: Fn(&[u8])> JsonLines<W> {
    fn new(write: W) -> Self {
        Self { write }
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
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = context.event_scope(event).into_iter().flatten();
        let mut ids = Ids::default();
        for span in spans {
            if let Some(found) = span.extensions().get::<Ids>() {
                ids.complete_from(found);
            }
        }
        let line = Line {
            time: SystemTime::now(),
            level: *event.metadata().level(),
            logger: event.metadata().target(),
            fields,
            ids,
        };
        (self.write)(&line.text());
    }
}

impl Ids {
    fn is_empty(&self) -> bool {
        self.request.is_none() && self.session.is_none()
    }

    /// Takes what is missing from a span further out.
    fn complete_from(&mut self, outer: &Self) {
        let take = |mine: &mut Option<String>, theirs: &Option<String>| {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        };
        take(&mut self.request, &outer.request);
        take(&mut self.session, &outer.session);
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

/// What an event says: its message, and whatever else was given with it.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        match (field.name(), value.into()) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// One line, in the order of the schema.
struct Line<'a> {
    time: SystemTime,
    level: Level,
    logger: &'a str,
    fields: Fields,
    ids: Ids,
}

impl Line<'_> {
    fn text(&self) -> Vec<u8> {
        // Its keys are texts and its values JSON already, so this cannot fail; if it did, an empty line would do.
        let mut text = json::to_spaced_vec(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// The line that stands for lines that nobody read in time.
fn dropped_line(count: u64) -> Vec<u8> {
    let message = format!("{count} log lines were dropped, because stderr was not read");
    Line {
        time: SystemTime::now(),
        level: Level::WARN,
        logger: LOGGER,
        fields: Fields {
            message,
            others: Vec::new(),
        },
        ids: Ids::default(),
    }
    .text()
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &timestamp(self.time))?;
        map.serialize_entry("level", level_name(self.level))?;
        map.serialize_entry("message", &self.fields.message)?;
        map.serialize_entry("logger", self.logger)?;
        for (key, id) in [
            ("requestId", &self.ids.request),
            ("sessionId", &self.ids.session),
        ] {
            if let Some(id) = id {
                map.serialize_entry(key, id)?;
            }
        }
        for (key, value) in &self.fields.others {
            if RESERVED.contains(key) {
                map.serialize_entry(&format!("{key}_"), value)?;
            } else {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
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
        let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = std::sync::Arc::clone(&written);
        let layer = JsonLines::new(move |line: &[u8]| {
            sink.lock().unwrap().extend_from_slice(line);
        });
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
}
