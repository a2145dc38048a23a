//! The encoder: events to bytes.
//!
//! Whatever texts an event holds, the bytes are one well-formed event: nothing in it can end it
//! early or add a field.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use memchr::memchr2;

use super::Event;

/// Appends `event` to `out`.
///
/// Data is written line by line. A receiver joins lines with `\n`, so `\r` and `\r\n` in the data
/// become `\n`. A line break in the event type becomes a space. An id with a line break or NUL is
/// left out, because no receiver would take it.
pub fn encode(event: &Event, out: &mut BytesMut) {
    let Event {
        event: kind,
        data,
        id,
        retry,
    } = event;
    if let Some(kind) = kind.as_deref().filter(|kind| !kind.is_empty()) {
        field(b"event: ", one_line(kind).as_bytes(), out);
    }
    if let Some(id) = id.as_deref().filter(|id| !id.contains(['\r', '\n', '\0'])) {
        field(b"id: ", id.as_bytes(), out);
    }
    if let Some(retry) = retry {
        field(b"retry: ", retry.to_string().as_bytes(), out);
    }
    encode_json(data.as_bytes(), out);
}

/// Appends an event that has only `data`, which is one JSON text: `data: …` and an empty line.
///
/// JSON allows line breaks between its tokens; where `data` has some, it is written line by line
/// and stays the same JSON.
pub fn encode_json(data: &[u8], out: &mut BytesMut) {
    out.reserve(data.len() + b"data: \n\n".len());
    let mut rest = data;
    while let Some(end) = memchr2(b'\r', b'\n', rest) {
        field(b"data: ", &rest[..end], out);
        let break_len = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + break_len..];
    }
    field(b"data: ", rest, out);
    out.put_u8(b'\n');
}

fn field(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.put_u8(b'\n');
}

fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\r', '\n']) {
        text.replace(['\r', '\n'], " ").into()
    } else {
        text.into()
    }
}
