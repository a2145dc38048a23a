//! Feeds any bytes to the decoder, cut anywhere: the events never depend on the cuts.
//!
//! The input's first byte says how many of the next bytes are lengths of pieces; the rest is the
//! stream, whose tail is one more piece.

#![no_main]

use agentcore_protocol::sse::{self, Decoder, Event, Unfinished};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else {
        return;
    };
    let (lengths, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let whole = decode([stream]);
    assert_eq!(decode(pieces(stream, lengths)), whole, "cut at {lengths:?}");
    assert_eq!(decode(stream.chunks(1)), whole, "byte by byte");

    // What was decoded goes over the wire again unchanged.
    let mut wire = Default::default();
    for event in &whole.0 {
        sse::encode(event, &mut wire);
    }
    assert_eq!(decode([&wire[..]]), (whole.0, None), "encoded again");
});

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Option<Unfinished>) {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        events.extend(std::iter::from_fn(|| decoder.next()));
    }
    (events, decoder.finish())
}

fn pieces<'a>(mut stream: &'a [u8], lengths: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &length in lengths {
        let (piece, rest) = stream.split_at(usize::from(length).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces.push(stream);
    pieces
}
