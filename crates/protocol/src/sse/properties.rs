//! What holds for any bytes and any events: the decoder against a second reading of the standard,
//! and the encoder and the decoder against each other.

use bytes::BytesMut;
use proptest::prelude::*;

use super::tests::{decode, rules};
use super::*;

#[test]
fn the_second_reading_agrees_with_the_table() {
    for (name, bytes, events) in rules() {
        assert_eq!(second_reading(bytes), events, "{name}");
    }
}

/// What the standard says, step by step: decode everything, split into lines, go through them.
fn second_reading(bytes: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop(); // what follows the last line end is not a line
    let mut events = Vec::new();
    let (mut event, mut has_data) = (Event::default(), false);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "" if line.is_empty() => {
                let mut done = std::mem::take(&mut event);
                if std::mem::take(&mut has_data) {
                    done.data.pop();
                    events.push(done);
                }
            }
            "data" => {
                has_data = true;
                event.data += &value;
                event.data.push('\n');
            }
            "event" if value.is_empty() => event.event = None,
            "event" => event.event = Some(value),
            "id" if !value.contains('\0') => event.id = Some(value),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                event.retry = value.parse().ok().or(event.retry);
            }
            _ => {}
        }
    }
    events
}

/// Bytes that are likely to mean something to the decoder.
fn stream_bytes() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: &[&[u8]] = &[
        b"\n",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b":",
        b": ",
        b" ",
        b"data",
        b"data: ",
        b"event:",
        b"id: ",
        b"retry: ",
        b"1",
        b"9999999999",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xe4\xb8",
        b"\xff",
        "世🌍".as_bytes(),
        b"x",
    ];
    let word = prop_oneof![
        9 => prop::sample::select(WORDS).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

fn any_event() -> impl Strategy<Value = Event> {
    let text = || {
        prop_oneof![
            any::<String>(),
            "[ab:\r\n\0\u{feff} ]{0,12}",
            "(data: |event: |\n|\r| ){0,9}"
        ]
    };
    (
        prop::option::of(text()),
        text(),
        prop::option::of(text()),
        prop::option::of(any::<u64>()),
    )
        .prop_map(|(event, data, id, retry)| Event {
            event,
            data,
            id,
            retry,
        })
}

/// What a receiver gets of an event: what [`encode`] promises in its documentation.
fn carried(event: Event) -> Event {
    let Event {
        event,
        data,
        id,
        retry,
    } = event;
    Event {
        event: event
            .map(|it| it.replace(['\r', '\n'], " "))
            .filter(|it| !it.is_empty()),
        data: data.replace("\r\n", "\n").replace('\r', "\n"),
        id: id.filter(|it| !it.contains(['\r', '\n', '\0'])),
        retry,
    }
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_events(
        bytes in stream_bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        let whole = decode([&bytes[..]]);
        prop_assert_eq!(&decode(pieces), &whole);
        prop_assert_eq!(&decode(bytes.chunks(1)), &whole);
        prop_assert_eq!(second_reading(&bytes), whole.0);
    }

    #[test]
    fn what_was_encoded_is_decoded(events in prop::collection::vec(any_event(), 0..5)) {
        let mut wire = BytesMut::new();
        for event in &events {
            encode(event, &mut wire);
        }
        let expected: Vec<_> = events.into_iter().map(carried).collect();
        prop_assert_eq!(decode([&wire[..]]), (expected.clone(), None));
        prop_assert_eq!(decode(wire.chunks(3)), (expected, None));
    }

    #[test]
    fn any_framed_bytes_are_one_event(data in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut wire = BytesMut::new();
        encode_json(&data, &mut wire);
        let text = String::from_utf8_lossy(&data).replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(decode([&wire[..]]), (vec![Event::data(text)], None));
    }
}
