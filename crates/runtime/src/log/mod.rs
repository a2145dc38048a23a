//! The log: one JSON object a line, in the reference SDK's schema, with the ids of the invocation at hand; on a terminal, lines
//! for people instead.
//!
//! A program installs it, `App::run` among them, and never over a subscriber that is set. What is logged is decided
//! where it happens; this module only writes it.

mod layer;
mod line;
mod panics;
mod secrets;
mod settings;
mod sink;
mod span;
#[cfg(test)]
mod tests;
mod text;
mod timestamp;

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::SystemTime;

use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use self::layer::Lines;
use self::line::{Line, Style};
use self::sink::Sink;

pub(crate) use self::panics::log_panics;
pub(crate) use self::secrets::REDACTED;
pub use self::settings::{LogFormat, LogSettings, UnknownLogFormat};
pub(crate) use self::span::{Within, invocation_span};

/// The logger of the server's own lines; the reference SDK's name, so that queries over logs keep working.
pub(crate) const LOGGER: &str = "bedrock_agentcore.app";

/// The name of the span around an invocation, which carries its ids.
///
/// Spans of that name under [`LOGGER`] are let through whatever the filter says, so that every line has its ids.
pub(crate) const INVOCATION: &str = "invocation";

/// What the lines of this process go through, if they are ours.
static SINK: OnceLock<Sink> = OnceLock::new();

/// Logs to stderr from now on; a `tracing` subscriber that is set already stays.
///
/// `settings` are [`LogSettings`], or only the text of `RUST_LOG` (`debug`, `my_agent=debug,info`). By default events from INFO on are
/// logged, one JSON object a line, or as lines for people if stderr is a terminal.
/// [`App::run`](crate::App::run) does this itself; it is for programs that serve an [`Agent`](crate::Agent) of their own. Lines are
/// written by a thread of their own, so that nobody who reads them slowly holds up the server; the end of a server
/// waits until its lines are written.
///
/// ```no_run
/// use agentcore_runtime::{LogFormat, LogSettings, log_to_stderr};
///
/// log_to_stderr(LogSettings::default().filter("debug").format(LogFormat::Json));
/// ```
pub fn log_to_stderr(settings: impl Into<LogSettings>) {
    install(&settings.into());
}

/// The same; returns whether the log is ours now.
pub(crate) fn install(settings: &LogSettings) -> bool {
    if tracing::dispatcher::has_been_set() {
        return false;
    }
    let is_terminal = io::stderr().is_terminal();
    let style = match settings.format {
        LogFormat::Auto if !is_terminal => Style::Json,
        LogFormat::Json => Style::Json,
        LogFormat::Auto | LogFormat::Text => Style::Text {
            color: settings.color && is_terminal,
        },
    };
    let (levels, malformed) = settings.levels();
    let sink = Sink::start(io::stderr(), style).ok();
    let write = {
        let sink = sink.clone();
        move |line: &[u8]| match &sink {
            Some(sink) => sink.line(line),
            // No thread to be had: slower, and still a log.
            None => drop(io::stderr().write_all(line)),
        }
    };
    let lines = Lines {
        levels,
        style,
        write: Box::new(write),
    };
    if tracing::subscriber::set_global_default(Registry::default().with(lines)).is_err() {
        return false;
    }
    if let Some(sink) = sink {
        let _ = SINK.set(sink); // Only one subscriber can be set, so only one sink.
    }
    if malformed.is_some() {
        tracing::warn!(target: LOGGER, "RUST_LOG is not a list of `target=level`, logging from INFO");
    }
    if let Some(unknown) = &settings.unknown_format {
        tracing::warn!(target: LOGGER, "AGENTCORE_LOG is `{unknown}`, which is neither `json` nor `text` nor `auto`");
    }
    true
}

/// Waits until what was logged is written; call it where a server ends, because its program may end there too.
pub(crate) fn flush() {
    if let Some(sink) = SINK.get() {
        sink.flush();
    }
}

/// Flushes the log when it is dropped.
pub(crate) struct FlushedWhenDropped;

impl Drop for FlushedWhenDropped {
    fn drop(&mut self) {
        flush();
    }
}

/// The line that stands for lines that nobody read in time.
fn dropped_line(count: u64, style: Style) -> Vec<u8> {
    let message = format!("{count} log lines were dropped, because stderr was not read");
    Line::with(style, |line| {
        line.set_message(&message);
        line.text(SystemTime::now(), Level::WARN, LOGGER).to_vec()
    })
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
        Self::of("trace", Style::Json)
    }

    fn of(filter: &str, style: Style) -> Self {
        let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = std::sync::Arc::clone(&written);
        let lines = Lines {
            levels: filter.parse().unwrap(),
            style,
            write: Box::new(move |line| sink.lock().unwrap().extend_from_slice(line)),
        };
        Self {
            written,
            _subscriber: tracing::subscriber::set_default(Registry::default().with(lines)),
        }
    }

    /// Returns the lines so far, as they are.
    fn text(&self) -> String {
        String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
    }

    /// Returns the lines so far, without their timestamps.
    pub(crate) fn lines(&self) -> Vec<String> {
        let without_time = |line: &str| {
            let (stamp, rest) = line.split_once(", ").unwrap();
            assert_eq!(
                stamp.len(),
                r#"{"timestamp": "2026-11-22T11:02:22.835Z""#.len()
            );
            rest.to_owned()
        };
        self.text().lines().map(without_time).collect()
    }
}
