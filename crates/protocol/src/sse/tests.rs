//! The encoder and the decoder against tables of rules.
//!
//! What holds for any bytes and any events is in `properties`.

use bytes::BytesMut;

use super::*;

pub(super) fn decode<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Event>, Option<Unfinished>) {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        events.extend(std::iter::from_fn(|| decoder.next()));
    }
    (events, decoder.finish())
}

fn encoded(event: &Event) -> BytesMut {
    let mut out = BytesMut::new();
    encode(event, &mut out);
    out
}

/// Events of the default type that have only data.
fn data<const N: usize>(texts: [&str; N]) -> Vec<Event> {
    texts.into_iter().map(Event::data).collect()
}

fn with_type(kind: &str, data: &str) -> Event {
    Event {
        event: Some(kind.to_owned()),
        ..Event::data(data)
    }
}

fn with_id(id: &str, data: &str) -> Event {
    Event {
        id: Some(id.to_owned()),
        ..Event::data(data)
    }
}

fn with_retry(retry: u64, data: &str) -> Event {
    Event {
        retry: Some(retry),
        ..Event::data(data)
    }
}

/// Rules that show in the data alone: a name, the bytes, the data of each event.
const DATA_RULES: &[(&str, &[u8], &[&str])] = &[
    ("nothing", b"", &[]),
    ("LF", b"data: a\n\ndata: b\n\n", &["a", "b"]),
    ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
    ("CR", b"data: a\r\rdata: b\r\r", &["a", "b"]),
    (
        "all ends",
        b"data: a\r\n\ndata: b\r\r\ndata: c\n\r",
        &["a", "b", "c"],
    ),
    ("CR LF is one end", b"data: a\r\ndata: b\r\n\r\n", &["a\nb"]),
    ("LF CR is two", b"data: a\n\rdata: b\n\r", &["a", "b"]),
    ("empty lines only", b"\n\r\n\r\r\n\n", &[]),
    ("byte-order mark", b"\xef\xbb\xbfdata: a\n\n", &["a"]),
    ("a second mark", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", &[]),
    (
        "a mark later",
        b"data: a\n\n\xef\xbb\xbfdata: b\n\n",
        &["a"],
    ),
    ("a mark after a line", b"\n\xef\xbb\xbfdata: b\n\n", &[]),
    ("a mark in data", b"data: \xef\xbb\xbfa\n\n", &["\u{feff}a"]),
    ("half a mark", b"\xef\xbb\ndata: a\n\n", &["a"]),
    (
        "lines",
        b"data: a\ndata: b\ndata\ndata: c\n\n",
        &["a\nb\n\nc"],
    ),
    ("last line empty", b"data: a\ndata:\n\n", &["a\n"]),
    (
        "comments",
        b": hi\n:\ndata: a\n: x\n\n:keep-alive\n\n",
        &["a"],
    ),
    ("no space", b"data:a\n\n", &["a"]),
    ("one space goes", b"data:  a \n\n", &[" a "]),
    ("a tab stays", b"data:\ta\n\n", &["\ta"]),
    (
        "colons in data",
        b"data:a: b\n\ndata: :c\n\n",
        &["a: b", ":c"],
    ),
    ("no colon", b"data\n\ndata\ndata\n\n", &["", "\n"]),
    ("empty data", b"data:\n\ndata: \n\n", &["", ""]),
    (
        "no data",
        b"event: x\n\nid: 1\n\nretry: 1\n\ndata: a\n\n",
        &["a"],
    ),
    ("empty type", b"event: x\nevent:\ndata: a\n\n", &["a"]),
    (
        "no retry",
        b"retry:\nretry: +5\nretry: -5\ndata: a\n\n",
        &["a"],
    ),
    (
        "nor this",
        b"retry: 5x\nretry:  5\nretry: \xd9\xa5\ndata: a\n\n",
        &["a"],
    ),
    (
        "too large",
        b"retry: 18446744073709551616\ndata: a\n\n",
        &["a"],
    ),
    (
        "other fields",
        b"DATA: x\nfoo: y\n data: z\ndata : z\ndata: a\n\n",
        &["a"],
    ),
    (
        "UTF-8",
        b"data: \xc3\xa9\xe4\xb8\x96\xf0\x9f\x8c\x8d\n\n",
        &["é世🌍"],
    ),
    (
        "no line ends",
        b"data: \xe2\x80\xa8\xc2\x85\x0b\x0c\n\n",
        &["\u{2028}\u{85}\u{b}\u{c}"],
    ),
    ("NUL in data", b"data: a\0b\n\n", &["a\0b"]),
    (
        "no UTF-8",
        b"data: a\xffb\n\ndata: c\n\n",
        &["a\u{fffd}b", "c"],
    ),
    (
        "cut UTF-8",
        b"data: \xe4\xb8\ndata: \xf0\x9f\n\n",
        &["\u{fffd}\n\u{fffd}"],
    ),
    (
        "surrogate",
        b"data: \xed\xa0\x80\n\n",
        &["\u{fffd}\u{fffd}\u{fffd}"],
    ),
    ("no UTF-8 in a name", b"da\xffta: x\ndata: a\n\n", &["a"]),
    ("no end", b"data: a\n\ndata: b\n", &["a"]),
];

/// Every rule: a name, the bytes, the events.
pub(super) fn rules() -> Vec<(&'static str, &'static [u8], Vec<Event>)> {
    let plain = |data: &[&str]| data.iter().copied().map(Event::data).collect();
    let data_rules = DATA_RULES
        .iter()
        .map(|&(name, bytes, data)| (name, bytes, plain(data)));
    let field_rules: [(_, &[u8], _); 6] = [
        (
            "type",
            b"event: x\ndata: a\n\ndata: b\n\n",
            vec![with_type("x", "a"), Event::data("b")],
        ),
        (
            "last type",
            b"event: x\ndata: a\nevent: y\n\n",
            vec![with_type("y", "a")],
        ),
        (
            "id",
            b"id: 1\ndata: a\n\ndata: b\n\n",
            vec![with_id("1", "a"), Event::data("b")],
        ),
        (
            "empty id",
            b"id\ndata: a\n\nid:\ndata: b\n\n",
            vec![with_id("", "a"), with_id("", "b")],
        ),
        (
            "id with NUL",
            b"id: 1\nid: 2\0\ndata: a\n\nid: \0\ndata: b\n\n",
            vec![with_id("1", "a"), Event::data("b")],
        ),
        (
            "retry",
            b"retry: 5\nretry: five\ndata: a\n\nretry:007\ndata: b\n\n",
            vec![with_retry(5, "a"), with_retry(7, "b")],
        ),
    ];
    data_rules.chain(field_rules).collect()
}

#[test]
fn every_rule_holds_whole_in_two_pieces_and_byte_by_byte() {
    for (name, bytes, events) in rules() {
        assert_eq!(decode([bytes]).0, events, "{name}, whole");
        assert_eq!(decode(bytes.chunks(1)).0, events, "{name}, byte by byte");
        for cut in 0..=bytes.len() {
            let (start, end) = bytes.split_at(cut);
            assert_eq!(decode([start, b"", end]).0, events, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn an_event_is_there_as_soon_as_its_last_byte_is() {
    for bytes in [&b"data: a\n\n"[..], b"data: a\r\r", b"data: a\r\n\r"] {
        let (last, start) = bytes.split_last().unwrap();
        let mut decoder = Decoder::new();
        decoder.push(start);
        assert_eq!(decoder.next(), None);
        decoder.push(&[*last]);
        assert_eq!(
            decoder.next(),
            Some(Event::data("a")),
            "{}",
            bytes.escape_ascii()
        );
        assert_eq!(decoder.next(), None);
    }
}

#[test]
fn events_that_wait_come_out_in_order() {
    let mut decoder = Decoder::new();
    decoder.push(b"data: 1\n\ndata: 2\n\n");
    decoder.push(b"data: 3\n\ndata: 4");
    assert_eq!(decoder.next(), Some(Event::data("1")));
    decoder.push(b"\n\n");
    let rest: Vec<_> = std::iter::from_fn(|| decoder.next()).collect();
    assert_eq!(rest, data(["2", "3", "4"]));
    assert_eq!(decoder.finish(), None);
}

#[test]
fn what_stood_open_at_the_end_is_reported() {
    let open = |event, mid_line| Some(Unfinished { event, mid_line });
    for (bytes, expected) in [
        (&b""[..], None),
        (b"data: a\n\n", None),
        (b"data: a\r\r", None),
        (b"data: a\n\n: comment", None),
        (b": comment\n", None),
        (b"\xef\xbb\xbf", None),
        (b"data: a\n", open(Event::data("a"), false)),
        (b"data: a\r", open(Event::data("a"), false)),
        (b"data: a\n\ndata: b", open(Event::data("b"), true)),
        (
            b"data: a\ndata: \xe4\xb8",
            open(Event::data("a\n\u{fffd}"), true),
        ),
        (b"data: a\n: comment", open(Event::data("a"), true)),
        (b"data: a\n\nid: 7\n", open(with_id("7", ""), false)),
        (b"data: a\n\nda", open(Event::default(), true)),
    ] {
        assert_eq!(decode([bytes]).1, expected, "{}", bytes.escape_ascii());
        assert_eq!(
            decode(bytes.chunks(1)).1,
            expected,
            "{}, bytewise",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn one_huge_event_arrives_whole_from_small_pieces() {
    let text = "0123456789abcdef".repeat(8 * 65_536);
    let wire = encoded(&Event::data(text.as_str()));
    let (events, unfinished) = decode(wire.chunks(16 * 1024));
    assert_eq!(events.len(), 1);
    assert!(events[0].data == text, "the text changed on the way");
    assert_eq!(unfinished, None);
}

#[test]
fn the_encoder_writes_these_bytes() {
    for (event, bytes) in [
        (Event::data("hello"), &b"data: hello\n\n"[..]),
        (Event::data(""), b"data: \n\n"),
        (
            Event::data("a\nb\r\nc\rd"),
            b"data: a\ndata: b\ndata: c\ndata: d\n\n",
        ),
        (Event::data("a\n"), b"data: a\ndata: \n\n"),
        (
            Event::data("\n\nevent: x"),
            b"data: \ndata: \ndata: event: x\n\n",
        ),
        (with_type("tick", "a"), b"event: tick\ndata: a\n\n"),
        (with_type("", "a"), b"data: a\n\n"),
        (
            with_type("a\ndata: b\r\n", "c"),
            b"event: a data: b  \ndata: c\n\n",
        ),
        (with_id("7", "a"), b"id: 7\ndata: a\n\n"),
        (with_id("", "a"), b"id: \ndata: a\n\n"),
        (with_id("7\n\ndata: x", "a"), b"data: a\n\n"),
        (with_id("7\0", "a"), b"data: a\n\n"),
        (with_retry(1500, "a"), b"retry: 1500\ndata: a\n\n"),
        (
            Event {
                id: Some("7".to_owned()),
                retry: Some(0),
                ..with_type("tick", "a")
            },
            b"event: tick\nid: 7\nretry: 0\ndata: a\n\n",
        ),
    ] {
        assert_eq!(encoded(&event), bytes, "{event:?}");
    }
}

#[test]
fn a_built_event_is_one_event_whatever_its_fields_hold() {
    let built = Event::json(&serde_json::json!({ "text": "a\nb" })).unwrap();
    for (event, bytes) in [
        (built.clone(), &b"data: {\"text\": \"a\\nb\"}\n\n"[..]),
        (
            built
                .clone()
                .event("token")
                .id("7")
                .retry(Duration::from_micros(1_500_999)),
            b"event: token\nid: 7\nretry: 1500\ndata: {\"text\": \"a\\nb\"}\n\n",
        ),
        (
            Event::data("x").event("a\ndata: b").id("7\r\ndata: c"),
            b"event: a data: b\ndata: x\n\n",
        ),
        (
            Event::data("x").retry(Duration::MAX),
            b"retry: 18446744073709551615\ndata: x\n\n",
        ),
    ] {
        assert_eq!(encoded(&event), bytes, "{event:?}");
    }
    let no_json = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(Event::json(&no_json).is_err());
}

#[test]
fn json_is_framed_as_it_is() {
    for (json, bytes) in [
        (&br#""hello""#[..], &b"data: \"hello\"\n\n"[..]),
        (br#"{"k": 1}"#, b"data: {\"k\": 1}\n\n"),
        (b"null", b"data: null\n\n"),
        (
            b"{\n  \"k\": 1\r\n}",
            b"data: {\ndata:   \"k\": 1\ndata: }\n\n",
        ),
        (b"\xff", b"data: \xff\n\n"),
    ] {
        let mut out = BytesMut::from(&b"before"[..]);
        encode_json(json, &mut out);
        assert_eq!(&out[..6], b"before");
        assert_eq!(&out[6..], bytes, "{}", json.escape_ascii());
    }
}
