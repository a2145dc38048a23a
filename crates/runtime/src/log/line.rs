//! One line of the log: its parts as they are found, then its text in the order of the schema.
//!
//! Every invocation writes one, so nothing is built twice and the memory is used again: parts are kept as the text that they
//! become. Where the parts come from and where the line goes is not decided here.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use agentcore_protocol::json;
use serde::Serialize;
use tracing::Level;
use tracing::field::{Field, Visit};

use super::LOGGER;
use super::layer::{IDS, Marks};
use super::secrets::Secrets;
use super::text::{self, Paint, painted};
use super::timestamp::Timestamps;

/// Keys that have a place and a meaning of their own in a line, beside those of [`IDS`].
const RESERVED: [&str; 4] = ["timestamp", "level", "message", "logger"];

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Json,
    Text {
        color: bool,
    },
}

/// What a line says, with the memory for it.
#[derive(Default)]
pub(super) struct Line {
    style: Style,
    /// What must not be in it.
    secrets: Option<Arc<Secrets>>,
    /// The inside of a JSON string, or what a terminal shows.
    message: Vec<u8>,
    /// `, "requestId": "…"` or ` requestId=…`, or nothing; in the order of [`IDS`].
    ids: [Vec<u8>; IDS.len()],
    others: Vec<u8>,
    /// What stands under the line, where people read it: values of several lines.
    below: Vec<u8>,
    text: Vec<u8>,
    /// For values that are looked at before they are written.
    scratch: String,
    timestamps: Timestamps,
}

impl Line {
    /// Calls `write` with this thread's line, empty.
    pub(super) fn with<R>(style: Style, write: impl FnOnce(&mut Self) -> R) -> R {
        thread_local! {
            static LINE: RefCell<Option<Box<Line>>> = const { RefCell::new(None) };
        }
        // Taken and put back, because a value that is written may log something itself.
        let mut line = LINE
            .try_with(RefCell::take)
            .ok()
            .flatten()
            .unwrap_or_default();
        line.clear(style);
        let result = write(&mut line);
        line.secrets = None;
        let _ = LINE.try_with(|kept| kept.replace(Some(line))); // A thread that ends keeps nothing.
        result
    }

    fn clear(&mut self, style: Style) {
        let Self {
            style: old_style,
            secrets,
            message,
            ids,
            others,
            below,
            text,
            scratch,
            timestamps: _,
        } = self;
        *old_style = style;
        *secrets = None;
        scratch.clear();
        for part in ids.iter_mut().chain([message, others, below, text]) {
            // One huge line must not cost its memory for ever.
            part.shrink_to(64 * 1024);
            part.clear();
        }
        scratch.shrink_to(64 * 1024);
    }

    pub(super) fn set_message(&mut self, message: &str) {
        self.message.clear();
        match self.style {
            Style::Json => escape(message, &mut self.message),
            Style::Text { .. } => text::escape(message, &mut self.message),
        }
    }

    /// Sets the ids that are still missing, and what the line must not contain. Comes before the fields.
    pub(super) fn complete(&mut self, marks: &Marks) {
        for ((part, (_, key)), id) in self.ids.iter_mut().zip(IDS).zip(&marks.ids) {
            if let Some(id) = id.as_deref().filter(|id| !id.is_empty() && part.is_empty()) {
                begin(self.style, part, key);
                value(self.style, part, id);
            }
        }
        if self.secrets.is_none() {
            self.secrets.clone_from(&marks.secrets);
        }
    }

    /// Returns the text, with its line break.
    pub(super) fn text(&mut self, time: SystemTime, level: Level, logger: &str) -> &[u8] {
        self.text.clear();
        match self.style {
            Style::Json => self.json_head(time, level, logger),
            Style::Text { color } => self.text_head(time, level, logger, color),
        }
        let parts = self.ids.iter().chain([&self.others]);
        let begin = self.text.len();
        parts.for_each(|part| self.text.extend_from_slice(part));
        match self.style {
            Style::Json => self.text.push(b'}'),
            // Set apart from the message, which may end like one of them.
            Style::Text { .. } if self.text.len() > begin => self.text.insert(begin, b' '),
            Style::Text { .. } => {}
        }
        self.text.extend_from_slice(&self.below);
        self.text.push(b'\n');
        &self.text
    }

    fn json_head(&mut self, time: SystemTime, level: Level, logger: &str) {
        let text = &mut self.text;
        text.extend_from_slice(br#"{"timestamp": ""#);
        self.timestamps.write(time, text);
        text.extend_from_slice(br#"", "level": ""#);
        text.extend_from_slice(level_name(level).as_bytes());
        text.extend_from_slice(br#"", "message": ""#);
        text.extend_from_slice(&self.message);
        text.extend_from_slice(br#"", "logger": ""#);
        escape(logger, text);
        text.push(b'"');
    }

    fn text_head(&mut self, time: SystemTime, level: Level, logger: &str, color: bool) {
        let text = &mut self.text;
        painted(text, color, Paint::Dim, |text| {
            let begin = text.len();
            self.timestamps.write(time, text);
            text.drain(begin..begin + "2026-11-22T".len());
        });
        text.push(b' ');
        painted(text, color, Paint::Level(level), |text| {
            text.extend_from_slice(text::level_name(level).as_bytes());
        });
        text.push(b' ');
        if logger != LOGGER {
            painted(text, color, Paint::Dim, |text| {
                text::escape(logger, text);
                text.extend_from_slice(b": ");
            });
        }
        text.extend_from_slice(&self.message);
    }

    fn key(&mut self, field: &Field) {
        let key = field.name();
        let is_reserved = RESERVED.contains(&key) || IDS.iter().any(|(_, id)| *id == key);
        let key = if is_reserved {
            Cow::Owned(format!("{key}_"))
        } else {
            Cow::Borrowed(key)
        };
        begin(self.style, &mut self.others, &key);
    }

    fn plain(&mut self, field: &Field, value: impl Serialize) {
        self.key(field);
        // Numbers and booleans cannot fail.
        let text = json::to_spaced_vec(&value).unwrap_or_else(|_| b"null".to_vec());
        self.others.extend_from_slice(&text);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, text: &str) {
        let secrets = self.secrets.take();
        let text = secrets
            .as_ref()
            .map_or(Cow::Borrowed(text), |secrets| secrets.redact(text));
        if field.name() == "message" {
            self.set_message(&text);
        } else if self.style != Style::Json && text.contains('\n') {
            text::block(field.name(), &text, &mut self.below);
        } else {
            self.key(field);
            value(self.style, &mut self.others, &text);
        }
        drop(text);
        self.secrets = secrets;
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.style != Style::Json || self.secrets.is_some() {
            let mut text = mem::take(&mut self.scratch);
            text.clear();
            // A value that cannot be written has said what it could.
            let _ = write!(text, "{value:?}");
            self.record_str(field, &text);
            self.scratch = text;
            return;
        }
        let is_message = field.name() == "message";
        let part = if is_message {
            self.message.clear();
            &mut self.message
        } else {
            self.key(field);
            self.others.push(b'"');
            &mut self.others
        };
        let _ = write!(Escaped(part), "{value:?}");
        if !is_message {
            self.others.push(b'"');
        }
    }
}

/// Begins an entry that is not the first of its line.
fn begin(style: Style, out: &mut Vec<u8>, key: &str) {
    match style {
        Style::Json => {
            out.extend_from_slice(b", ");
            string(out, key);
            out.extend_from_slice(b": ");
        }
        Style::Text { color } => {
            out.push(b' ');
            painted(out, color, Paint::Dim, |out| {
                out.extend_from_slice(key.as_bytes());
                out.push(b'=');
            });
        }
    }
}

/// Adds a text as the value of an entry.
fn value(style: Style, out: &mut Vec<u8>, text: &str) {
    match style {
        Style::Json => string(out, text),
        Style::Text { .. } => text::value(text, out),
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Writes formatted text as the inside of a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(text, self.0);
        Ok(())
    }
}

/// Adds `text` as the inside of a JSON string.
fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some(index) = next_special(rest) {
        let (plain, special) = rest.split_at(index);
        out.extend_from_slice(plain);
        match special[0] {
            quoted @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', quoted]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            0x08 => out.extend_from_slice(br"\b"),
            0x0c => out.extend_from_slice(br"\f"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = &special[1..];
    }
    out.extend_from_slice(rest);
}

/// Finds the next byte that cannot stand in a JSON string as it is.
fn next_special(text: &[u8]) -> Option<usize> {
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    // Nearly all blocks have none; without an early exit the compiler looks at a whole block at once.
    let is_clean = |block: &&[u8]| !block.iter().fold(false, |any, byte| any | is_special(byte));
    let clean = text.chunks_exact(16).take_while(is_clean).count() * 16;
    let rest = &text[clean..];
    Some(clean + rest.iter().position(is_special)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_everywhere_else() {
        let every: String = ('\0'..='\u{100}').chain(['\u{2028}', '😀']).collect();
        let mut escaped = Vec::new();
        string(&mut escaped, &every);
        assert_eq!(escaped, json::to_spaced_vec(&every).unwrap());
    }

    #[test]
    fn a_line_within_a_line_leaves_both_whole() {
        let now = SystemTime::now();
        let text = |line: &mut Line| {
            let text = line.text(now, Level::INFO, "my_agent");
            String::from_utf8(text.to_vec()).unwrap()
        };
        let outer = Line::with(Style::Json, |outer| {
            outer.set_message("outer");
            let mut marks = Marks::default();
            marks.ids[0] = Some("r".to_owned());
            outer.complete(&marks);
            let inner = Line::with(Style::Json, |inner| {
                inner.set_message("inner");
                text(inner)
            });
            assert!(
                inner.ends_with("\"message\": \"inner\", \"logger\": \"my_agent\"}\n"),
                "{inner}"
            );
            text(outer)
        });
        let end = "\"message\": \"outer\", \"logger\": \"my_agent\", \"requestId\": \"r\"}\n";
        assert!(outer.ends_with(end), "{outer}");
        let next = Line::with(Style::Json, text);
        assert!(
            next.ends_with("\"message\": \"\", \"logger\": \"my_agent\"}\n"),
            "{next}"
        );
    }
}
