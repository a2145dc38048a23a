//! Reads any bytes as an ignore file and asks it about any path: no panic, and one answer whichever way it is asked.
//!
//! The input's last line is the path, what stands before it is the file.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::IgnoreRules;
use libfuzzer_sys::fuzz_target;

// The module alone: the crate that it belongs to would bring an HTTP client and its hundred dependencies with it.
#[path = "../../crates/docker/src/context/ignore/mod.rs"]
#[expect(dead_code, reason = "the walk is not part of this program")]
mod ignore;

fuzz_target!(|input: &[u8]| {
    let cut = input.iter().rposition(|&byte| byte == b'\n');
    let (text, path) = match cut {
        Some(cut) => (&input[..cut], &input[cut + 1..]),
        None => (input, b"a/b".as_slice()),
    };
    let path = Path::new(OsStr::from_bytes(path));
    let Ok(rules) = IgnoreRules::parse(text) else {
        return;
    };
    let excluded = rules.excludes(path);

    // Lines that every file may have change nothing.
    let padded = [b"# comment\r\n \n".as_slice(), text, b"\r\n\t\n"].concat();
    // A byte order mark is one at the beginning only.
    if !text.starts_with(b"\xef\xbb\xbf") {
        let padded = IgnoreRules::parse(&padded).expect("the same lines");
        assert_eq!(padded.excludes(path), excluded, "with empty lines");
    }

    // Files behind each other are one file.
    let joined = IgnoreRules::default().followed_by(&rules);
    assert_eq!(joined.excludes(path), excluded, "joined");

    // The last word is the last word.
    assert!(!rules.clone().keeping(path).excludes(path), "kept");
    let everything = IgnoreRules::parse(b"**").expect("a pattern");
    let nothing = rules.followed_by(&everything);
    assert!(
        nothing.excludes(path) || path.as_os_str().is_empty(),
        "left out"
    );
    if let Some(name) = path.file_name() {
        assert!(!nothing.keeps_by_name(path, name), "kept by name");
        let _ = nothing.may_keep_by_name_below(path, name);
    }
});
