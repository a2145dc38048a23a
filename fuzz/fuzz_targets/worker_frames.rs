//! Reads any bytes as frames of a worker: however they arrive they mean the same, nothing panics, and nothing is waited for
//! that cannot come.
//!
//! The input's first byte says in how large pieces the rest arrives.

#![no_main]

use agentcore_host::fuzzing::read_frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else {
        return;
    };
    let whole = read_frames(bytes, bytes.len());
    assert_eq!(read_frames(bytes, usize::from(piece)), whole);
    assert_eq!(read_frames(bytes, 1), whole);
});
