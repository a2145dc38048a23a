//! Writes any JSON value in both dialects: each is one line that reads back as the value.

#![no_main]

use agentcore_protocol::json;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    let spaced = json::to_spaced_vec(&value).expect("a JSON value can be written");
    let compact = json::to_compact_vec(&value).expect("a JSON value can be written");
    for text in [&spaced, &compact] {
        assert!(
            !text.contains(&b'\n') && !text.contains(&b'\r'),
            "more than one line"
        );
        let again: Value = serde_json::from_slice(text).expect("a written value can be read");
        assert_eq!(again, value);
    }
    assert!(compact.len() <= spaced.len());
});
