//! What reaches stdout, case by case.

use super::*;

fn wire(events: &[&str]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    for data in events {
        sse::encode_json(data.as_bytes(), &mut out);
    }
    out.to_vec()
}

/// What is shown of `events`, pushed in pieces of `size` bytes.
fn shown(events: &[&str], size: usize) -> (String, Result<(), AnswerError>) {
    let mut out = Vec::new();
    let mut view = EventText::new(&mut out);
    let pushed = wire(events)
        .chunks(size)
        .try_for_each(|piece| view.push(piece));
    let result = pushed.and_then(|()| view.finish());
    (String::from_utf8(out).expect("text"), result)
}

#[test]
fn strings_are_joined_and_everything_else_is_a_line() {
    for (events, text) in [
        (&[][..], ""),
        (&[r#""a""#], "a\n"),
        (&[r#""Hel""#, r#""lo\n""#, r#""you""#], "Hello\nyou\n"),
        (&[r#""a\n""#], "a\n"),
        (&[r#""""#], ""),
        (
            &[r#""a""#, r#"{"n": 1, "s": "x y"}"#, r#""b""#],
            "a\n{\"n\":1,\"s\":\"x y\"}\nb\n",
        ),
        (&["1", "null", "[ ]", "true"], "1\nnull\n[]\ntrue\n"),
        (&["12345678901234567890.0"], "12345678901234567890.0\n"),
        (&[r#"{"a \" b": "c \\"}"#], "{\"a \\\" b\":\"c \\\\\"}\n"),
        (&["plain words", r#""x""#, "NaN"], "plain words\nx\nNaN\n"),
        (&[r#""\u00e9 🌍""#], "é 🌍\n"),
        (&[r#""\ud800""#], "\"\\ud800\"\n"),
        (
            &[r#"{"error": "mine", "code": 1}"#],
            "{\"error\":\"mine\",\"code\":1}\n",
        ),
    ] {
        for size in [1, 7, usize::MAX] {
            let (out, result) = shown(events, size);
            assert_eq!(out, text, "{events:?}");
            result.expect("a whole stream");
        }
    }
}

#[test]
fn an_error_event_ends_the_answer_on_a_new_line() {
    let error = r#"{"error": "boom", "error_type": "ValueError", "message": "An error occurred during streaming"}"#;
    let (out, result) = shown(&[r#""half""#, error, r#""never""#], usize::MAX);
    assert_eq!(out, "half\n");
    let Err(AnswerError::Agent(failure)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(
        (failure.error.as_str(), failure.error_type.as_str()),
        ("boom", "ValueError")
    );
}

#[test]
fn a_stream_cut_in_an_event_is_an_error_and_its_line_is_ended() {
    let mut out = Vec::new();
    let mut view = EventText::new(&mut out);
    view.push(b"data: \"whole\"\n\ndata: \"hal")
        .expect("stdout takes it");
    assert!(matches!(view.finish(), Err(AnswerError::CutShort)));
    assert_eq!(out, b"whole\n");
}

#[test]
fn every_piece_is_flushed() {
    #[derive(Default)]
    struct Flushed(Vec<u8>, usize);
    impl Write for &mut Flushed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            self.1 = self.0.len();
            Ok(())
        }
    }
    let mut out = Flushed::default();
    let mut view = EventText::new(&mut out);
    view.push(b"data: \"one\"\n\n").expect("stdout takes it");
    assert_eq!((out.0.as_slice(), out.1), (&b"one"[..], 3));
}

/// What is shown of a body, however it is cut into pieces.
fn body(make: fn(&mut Vec<u8>) -> BodyText<&mut Vec<u8>>, text: &str) -> String {
    let show = |size| {
        let mut out = Vec::new();
        let mut view = make(&mut out);
        text.as_bytes()
            .chunks(size)
            .for_each(|piece| view.push(piece).expect("a vector takes it"));
        view.finish().expect("a vector takes it");
        String::from_utf8(out).expect("text")
    };
    let whole = show(usize::MAX);
    assert_eq!(show(1), whole);
    whole
}

#[test]
fn a_json_body_is_shown_as_received_and_a_string_as_its_text() {
    for (received, text) in [
        (r#"{"a":  1}"#, "{\"a\":  1}\n"),
        ("{\"a\": 1}\n", "{\"a\": 1}\n"),
        (r#""two\nlines""#, "two\nlines\n"),
        (r#""a line\n""#, "a line\n"),
        (r#" "é""#, "é\n"),
        (r#""\ud800""#, "\"\\ud800\"\n"),
        (r#"["a"]"#, "[\"a\"]\n"),
        ("null", "null\n"),
        ("NaN", "NaN\n"),
        ("", ""),
    ] {
        let received = received.trim_start();
        assert_eq!(
            body(|out| BodyText::json(out), received),
            text,
            "{received}"
        );
    }
}

#[test]
fn other_bodies_are_not_touched() {
    assert_eq!(
        body(|out| BodyText::text(out), "\"quoted\""),
        "\"quoted\"\n"
    );
    assert_eq!(body(|out| BodyText::bytes(out), "\"raw"), "\"raw");
}

#[test]
fn programs_get_one_line_an_event_and_one_at_the_end() {
    let mut out = Vec::new();
    let mut view = EventLines::new(&mut out);
    view.push(&wire(&[
        r#""a""#,
        r#"{"n": 12345678901234567890123}"#,
        "plain",
    ]))
    .expect("a vector takes it");
    view.push(b"event: note\nid: 7\ndata: 1\n\n")
        .expect("a vector takes it");
    view.finish("s-1").expect("a whole stream");
    let head = r#"{"schema_version":1,"command":"invoke","type":"#;
    let expected = [
        r#""event","data":"a"}"#,
        r#""event","data":{"n":12345678901234567890123}}"#,
        r#""event","data":"plain"}"#,
        r#""event","data":1,"event":"note","id":"7"}"#,
        r#""end","session_id":"s-1","events":4}"#,
    ];
    let expected = expected.map(|tail| format!("{head}{tail}\n")).concat();
    assert_eq!(String::from_utf8(out).expect("text"), expected);
}

#[test]
fn a_body_becomes_a_json_value_whatever_it_is() {
    for (received, value) in [
        ("{\"a\": [1,\n 2e400]}", r#"{"a":[1,2e400]}"#),
        (r#""text""#, r#""text""#),
        ("NaN", r#""NaN""#),
        ("", r#""""#),
    ] {
        assert_eq!(body_as_json(received.as_bytes()).get(), value);
    }
}
