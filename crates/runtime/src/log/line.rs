//! One line of the log: its parts as they are found, then its text in the order of the schema.
//!
//! Every invocation writes one, so nothing is built twice and the memory is used again: parts are kept as the JSON that they
//! become. Where the parts come from and where the line goes is not decided here.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use agentcore_protocol::json;
use serde::Serialize;
use tracing::Level;
use tracing::field::{Field, Visit};

use super::timestamp::Timestamps;

/// Keys that have a place and a meaning of their own in a line.
const RESERVED: [&str; 6] = [
    "timestamp",
    "level",
    "message",
    "logger",
    "requestId",
    "sessionId",
];

/// What a line says, with the memory for it.
#[derive(Default)]
pub(super) struct Line {
    /// The inside of a JSON string.
    message: Vec<u8>,
    /// `, "requestId": "…"`, or nothing; and so on.
    request_id: Vec<u8>,
    session_id: Vec<u8>,
    others: Vec<u8>,
    text: Vec<u8>,
    timestamps: Timestamps,
}

impl Line {
    /// Calls `write` with this thread's line, empty.
    pub(super) fn with<R>(write: impl FnOnce(&mut Self) -> R) -> R {
        thread_local! {
            static LINE: RefCell<Line> = RefCell::default();
        }
        // Taken and put back, because a value that is written may log something itself.
        let mut line = LINE.try_with(RefCell::take).unwrap_or_default();
        line.clear();
        let result = write(&mut line);
        let _ = LINE.try_with(|kept| kept.replace(line)); // A thread that ends keeps nothing.
        result
    }

    fn clear(&mut self) {
        let Self {
            message,
            request_id,
            session_id,
            others,
            text,
            timestamps: _,
        } = self;
        for part in [message, request_id, session_id, others, text] {
            // One huge line must not cost its memory for ever.
            part.shrink_to(64 * 1024);
            part.clear();
        }
    }

    pub(super) fn set_message(&mut self, message: &str) {
        self.message.clear();
        escape(message, &mut self.message);
    }

    /// Sets the ids that are still missing.
    pub(super) fn complete_ids(&mut self, request_id: Option<&str>, session_id: Option<&str>) {
        for (part, key, id) in [
            (&mut self.request_id, "requestId", request_id),
            (&mut self.session_id, "sessionId", session_id),
        ] {
            if let Some(id) = id.filter(|_| part.is_empty()) {
                begin(part, key);
                string(part, id);
            }
        }
    }

    /// Returns the text, with its line break.
    pub(super) fn text(&mut self, time: SystemTime, level: Level, logger: &str) -> &[u8] {
        let Self {
            message,
            request_id,
            session_id,
            others,
            text,
            timestamps,
        } = self;
        text.clear();
        text.extend_from_slice(br#"{"timestamp": ""#);
        timestamps.write(time, text);
        text.extend_from_slice(br#"", "level": ""#);
        text.extend_from_slice(level_name(level).as_bytes());
        text.extend_from_slice(br#"", "message": ""#);
        text.extend_from_slice(message);
        text.extend_from_slice(br#"", "logger": ""#);
        escape(logger, text);
        text.push(b'"');
        for part in [request_id, session_id, others] {
            text.extend_from_slice(part);
        }
        text.extend_from_slice(b"}\n");
        text
    }

    fn key(&mut self, field: &Field) {
        let key = field.name();
        if RESERVED.contains(&key) {
            begin(&mut self.others, &format!("{key}_"));
        } else {
            begin(&mut self.others, key);
        }
    }

    fn value(&mut self, field: &Field, value: impl Serialize) {
        self.key(field);
        // Numbers and booleans cannot fail.
        let text = json::to_spaced_vec(&value).unwrap_or_else(|_| b"null".to_vec());
        self.others.extend_from_slice(&text);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.set_message(value);
        } else {
            self.key(field);
            string(&mut self.others, value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let is_message = field.name() == "message";
        let part = if is_message {
            self.message.clear();
            &mut self.message
        } else {
            self.key(field);
            self.others.push(b'"');
            &mut self.others
        };
        // A value that cannot be written has said what it could.
        let _ = write!(Escaped(part), "{value:?}");
        if !is_message {
            self.others.push(b'"');
        }
    }
}

/// Begins an entry that is not the first of its object.
fn begin(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b", ");
    string(out, key);
    out.extend_from_slice(b": ");
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
    let is_special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let mut rest = text.as_bytes();
    while let Some(index) = rest.iter().position(is_special) {
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
        let outer = Line::with(|outer| {
            outer.set_message("outer");
            outer.complete_ids(Some("r"), None);
            let inner = Line::with(|inner| {
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
        let next = Line::with(text);
        assert!(
            next.ends_with("\"message\": \"\", \"logger\": \"my_agent\"}\n"),
            "{next}"
        );
    }
}
