//! The form of a line that people read on a terminal: safe texts, short values, colours.
//!
//! What is logged comes from callers too. A terminal obeys control characters, so none reaches it.

use tracing::Level;

/// What a part of a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Dim,
    Level(Level),
}

/// Adds what `write` adds, painted if `color` says so.
pub(super) fn painted(
    out: &mut Vec<u8>,
    color: bool,
    paint: Paint,
    write: impl FnOnce(&mut Vec<u8>),
) {
    if !color {
        return write(out);
    }
    let code = match paint {
        Paint::Dim => "2",
        Paint::Level(Level::ERROR) => "1;31",
        Paint::Level(Level::WARN) => "33",
        Paint::Level(Level::INFO) => "32",
        Paint::Level(Level::DEBUG) => "34",
        Paint::Level(Level::TRACE) => "35",
    };
    out.extend_from_slice(b"\x1b[");
    out.extend_from_slice(code.as_bytes());
    out.push(b'm');
    write(out);
    out.extend_from_slice(b"\x1b[0m");
}

/// The name of a level, padded so that messages stand under each other.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN ",
        Level::INFO => "INFO ",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// Adds `text` without anything that a terminal obeys, or that changes the order of what is read.
pub(super) fn escape(text: &str, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    for letter in text.chars() {
        if is_obeyed(letter) {
            out.extend(letter.escape_default().map(|ascii| ascii as u8));
        } else {
            out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

/// Adds the value of a field: as it is if it is one word, and in quotes if not.
pub(super) fn value(text: &str, out: &mut Vec<u8>) {
    let is_word = |letter: char| !letter.is_whitespace() && !matches!(letter, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(is_word) {
        return escape(text, out);
    }
    out.push(b'"');
    for piece in text.split_inclusive(['"', '\\']) {
        let (plain, quoted) = match piece.strip_suffix(['"', '\\']) {
            Some(plain) => (plain, piece.as_bytes().last()),
            None => (piece, None),
        };
        escape(plain, out);
        out.extend(quoted.into_iter().flat_map(|&quoted| [b'\\', quoted]));
    }
    out.push(b'"');
}

/// Adds a value of several lines under its key; all are set in, so that none looks like a line of the log's own.
pub(super) fn block(key: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\n    ");
    out.extend_from_slice(key.as_bytes());
    out.push(b':');
    for line in text.lines() {
        out.extend_from_slice(b"\n      ");
        escape(line, out);
    }
}

/// Control characters, and the invisible ones that reorder text.
fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let every: String = ('\0'..='\u{2100}').collect();
        let shown = written(|out| escape(&every, out));
        assert!(!shown.chars().any(is_obeyed));
        for (text, expected) in [
            ("Ünïcode 😀 \\ \"", "Ünïcode 😀 \\ \""),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[31mred\x07\x7f", "\\u{1b}[31mred\\u{7}\\u{7f}"),
            ("\u{9b}31m\u{202e}olleh", "\\u{9b}31m\\u{202e}olleh"),
        ] {
            assert_eq!(written(|out| escape(text, out)), expected);
        }
    }

    #[test]
    fn values_are_quoted_only_if_they_are_not_one_word() {
        for (text, expected) in [
            ("conversation-123", "conversation-123"),
            ("0.5", "0.5"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("\"", "\"\\\"\""),
            ("\\\n", "\"\\\\\\n\""),
            ("\u{1b}[2J", "\\u{1b}[2J"),
        ] {
            assert_eq!(written(|out| value(text, out)), expected);
        }
    }

    #[test]
    fn paint_is_only_put_on_if_it_is_wanted() {
        let painted = |color| {
            written(|out| {
                painted(out, color, Paint::Level(Level::ERROR), |out| {
                    out.extend_from_slice(b"x");
                });
            })
        };
        assert_eq!(painted(false), "x");
        assert_eq!(painted(true), "\u{1b}[1;31mx\u{1b}[0m");
    }
}
