//! The decoder: bytes to events, however the bytes are cut into pieces.
//!
//! Time is linear in the bytes, whatever their cuts. It holds one line and one event at a time plus
//! the events that were not taken yet, and sets no limit on them: a caller that distrusts the
//! stream counts what it pushes.

use std::collections::VecDeque;

use memchr::memchr2;

use super::Event;

/// Turns the bytes of an event stream into [`Event`]s.
///
/// Lines end with CR, LF or CRLF; one byte-order mark at the very start is skipped; comments and
/// unknown fields are ignored; bytes that are not UTF-8 become U+FFFD; a block without `data` makes
/// no event.
///
/// ```
/// use agentcore_protocol::sse::{Decoder, Event};
///
/// let mut decoder = Decoder::new();
/// decoder.push(b"data: one\r");
/// assert_eq!(decoder.next(), None);
/// decoder.push(b"\ndata: two\n\ndata: thr");
/// assert_eq!(decoder.next(), Some(Event::data("one\ntwo")));
/// assert_eq!(decoder.next(), None);
/// let unfinished = decoder.finish().expect("the last event has no empty line after it");
/// assert_eq!(unfinished.event.data, "thr");
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// Complete events in the order of the stream.
    ready: VecDeque<Event>,
    block: Block,
    /// The start of a line whose end was not pushed yet.
    line: Vec<u8>,
    /// A CR ended the last line: an LF that follows belongs to it.
    after_cr: bool,
    /// The first line is over, so a byte-order mark is text from now on.
    begun: bool,
}

impl Decoder {
    /// Creates a decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream: as many or as few as there are.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = memchr2(b'\r', b'\n', bytes) {
            self.end_line(&bytes[..end]);
            let rest = &bytes[end + 1..];
            bytes = match bytes[end] {
                b'\r' if rest.is_empty() => {
                    self.after_cr = true;
                    rest
                }
                b'\r' => rest.strip_prefix(b"\n").unwrap_or(rest),
                _ => rest,
            };
        }
        self.line.extend_from_slice(bytes);
    }

    /// Returns the next complete event, or `None` until more bytes are pushed.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator is over after `None`; this goes on after the next push"
    )]
    pub fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Ends the stream, and returns what was begun and not completed, which the standard drops.
    ///
    /// Events that were not taken with [`next`](Self::next) are lost.
    pub fn finish(mut self) -> Option<Unfinished> {
        let mid_line = !self.line.is_empty();
        if mid_line {
            self.end_line(&[]);
        }
        self.block.unfinished(mid_line)
    }

    /// Ends a line: what was kept of it, and `tail`.
    fn end_line(&mut self, tail: &[u8]) {
        // Most lines come whole and are read where they are.
        let mut kept = std::mem::take(&mut self.line);
        let line = if kept.is_empty() {
            tail
        } else {
            kept.extend_from_slice(tail);
            &kept[..]
        };
        let line = if self.begun {
            line
        } else {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        };
        self.begun = true;
        if line.is_empty() {
            self.ready
                .extend(std::mem::take(&mut self.block).into_event());
        } else {
            self.block.take_line(line);
        }
        if kept.capacity() <= KEPT_CAPACITY {
            kept.clear();
            self.line = kept;
        }
    }
}

/// The largest line buffer that is reused: one huge event must not hold its memory until the stream
/// ends.
const KEPT_CAPACITY: usize = 64 * 1024;

/// What a stream had begun when it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The event as far as it came; the last line may be cut short.
    pub event: Event,
    /// The stream ended within a line, not only before the empty line that completes an event.
    pub mid_line: bool,
}

/// The lines since the last empty line.
#[derive(Debug, Default)]
struct Block {
    kind: Option<String>,
    /// `None` until a `data` line comes: a block without one is no event, one with empty data is.
    data: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    /// Some line was not a comment.
    has_field: bool,
}

impl Block {
    fn take_line(&mut self, line: &[u8]) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return,
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        self.has_field = true;
        match name {
            b"data" => self.take_data(value),
            b"event" => self.kind = Some(text(value)).filter(|kind| !kind.is_empty()),
            b"id" if !value.contains(&b'\0') => self.id = Some(text(value)),
            b"retry" => self.retry = milliseconds(value).or(self.retry),
            _ => {}
        }
    }

    fn take_data(&mut self, value: &[u8]) {
        match &mut self.data {
            None => self.data = Some(text(value)),
            Some(data) => {
                data.push('\n');
                data.push_str(&String::from_utf8_lossy(value));
            }
        }
    }

    fn into_event(self) -> Option<Event> {
        let Self {
            kind,
            data,
            id,
            retry,
            has_field: _,
        } = self;
        Some(Event {
            event: kind,
            data: data?,
            id,
            retry,
        })
    }

    fn unfinished(self, mid_line: bool) -> Option<Unfinished> {
        let Self {
            kind,
            data,
            id,
            retry,
            has_field,
        } = self;
        let event = Event {
            event: kind,
            data: data.unwrap_or_default(),
            id,
            retry,
        };
        has_field.then_some(Unfinished { event, mid_line })
    }
}

/// Decodes a whole line's value. No byte of a line break occurs inside a UTF-8 sequence, so this is
/// what decoding the whole stream first would give.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads a `retry` value: ASCII digits and nothing else. A number too large for any clock is
/// ignored like other text.
fn milliseconds(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}
