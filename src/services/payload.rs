//! What `invoke` sends: the PAYLOAD argument, read and checked before anything goes over the wire.
//!
//! JSON travels byte for byte as it was given; only plain text is wrapped. Nothing is reformatted.

use std::io::{self, Read};
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::json;

use crate::error::CliError;

/// The most that AgentCore accepts as one payload, in bytes.
const MAX_BYTES: u64 = 100_000_000;

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadError {
    /// It cannot be read.
    #[error("cannot read {origin}")]
    Unreadable {
        /// Where it was to come from.
        origin: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is larger than an invocation may be.
    #[error("{origin} is larger than the 100 MB that an invocation may carry")]
    TooLarge {
        /// Where it comes from.
        origin: String,
    },
    /// It is not text.
    #[error("{origin} is not UTF-8 text")]
    NotText {
        /// Where it comes from.
        origin: String,
    },
    /// It begins like JSON and is none.
    #[error("{origin} is not valid JSON: {reason}")]
    NotJson {
        /// Where it comes from.
        origin: String,
        /// What is wrong, with line and column.
        reason: serde_json::Error,
    },
}

/// Reads the payload that `argument` names: `@file`, `-` for `stdin`, or the text itself.
///
/// # Errors
///
/// Fails if a file cannot be read, if the payload is too large or not UTF-8, or if it looks like JSON and is not.
pub(crate) fn read(argument: &str, cwd: &Path, stdin: impl Read) -> Result<Vec<u8>, PayloadError> {
    match argument {
        "-" => from_reader(stdin, "standard input"),
        _ => match argument.strip_prefix('@') {
            Some(path) => from_file(&cwd.join(path), path),
            None => encode(argument, "the payload"),
        },
    }
}

fn from_file(path: &Path, typed: &str) -> Result<Vec<u8>, PayloadError> {
    let origin = format!("`{typed}`");
    match std::fs::File::open(path) {
        Ok(file) => from_reader(file, &origin),
        Err(source) => Err(PayloadError::Unreadable { origin, source }),
    }
}

fn from_reader(reader: impl Read, origin: &str) -> Result<Vec<u8>, PayloadError> {
    let origin = || origin.to_owned();
    let mut bytes = Vec::new();
    reader
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| PayloadError::Unreadable {
            origin: origin(),
            source,
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(PayloadError::TooLarge { origin: origin() });
    }
    let text = String::from_utf8(bytes).map_err(|_| PayloadError::NotText { origin: origin() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // The line break that `echo` or an editor puts at the end belongs to the file, not to the prompt.
    let text = text.strip_suffix('\n').unwrap_or(text);
    encode(text.strip_suffix('\r').unwrap_or(text), &origin())
}

fn encode(text: &str, origin: &str) -> Result<Vec<u8>, PayloadError> {
    // `IgnoredAny` checks the syntax without limits on depth or on the size of numbers: those are the agent's to set.
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text.as_bytes().to_vec()),
        Err(reason) if text.trim_start().starts_with(['{', '[', '"']) => {
            Err(PayloadError::NotJson {
                origin: origin.to_owned(),
                reason,
            })
        }
        Err(_) => Ok(json!({ "prompt": text }).to_string().into_bytes()),
    }
}

impl From<PayloadError> for CliError {
    fn from(error: PayloadError) -> Self {
        let failure = Self::usage(error.to_string());
        match error {
            PayloadError::Unreadable { source, .. } => failure.caused_by(source).hint(
                "name a file after the `@`, relative to the folder in which the command runs; `{\"prompt\": \"@…\"}` sends the text itself",
            ),
            PayloadError::TooLarge { .. } => {
                failure.hint("put large data where the agent can fetch it, and send its address")
            }
            PayloadError::NotText { .. } => {
                failure.hint("send other bytes as base64, inside of JSON")
            }
            PayloadError::NotJson { .. } => failure
                .hint("check the quotes: most shells want the whole payload in single quotes")
                .hint("to send text that starts like JSON, wrap it: `{\"prompt\": \"…\"}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn sent(argument: &str, stdin: &str) -> Result<String, PayloadError> {
        read(argument, Path::new("/nonexistent"), stdin.as_bytes())
            .map(|bytes| String::from_utf8(bytes).expect("payloads here are text"))
    }

    #[test]
    fn json_is_sent_as_it_is_and_text_becomes_a_prompt() {
        for (typed, body) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            (
                r#" {"a" : 12345678901234567890123 } "#,
                r#" {"a" : 12345678901234567890123 } "#,
            ),
            (r#"["x", 1e999]"#, r#"["x", 1e999]"#),
            (r#""text""#, r#""text""#),
            ("5", "5"),
            ("true", "true"),
            ("null", "null"),
            ("hello", r#"{"prompt":"hello"}"#),
            ("", r#"{"prompt":""}"#),
            ("5 apples", r#"{"prompt":"5 apples"}"#),
            ("NaN", r#"{"prompt":"NaN"}"#),
            ("say \"hi\"\n", r#"{"prompt":"say \"hi\"\n"}"#),
            ("Grüße 🌍", r#"{"prompt":"Grüße 🌍"}"#),
        ] {
            assert_eq!(sent(typed, "").expect(typed), body, "typed: {typed}");
        }
    }

    #[test]
    fn deep_json_is_the_agents_business() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(sent(&deep, "").expect("valid JSON"), deep);
    }

    #[test]
    fn text_that_looks_like_json_and_is_not_is_a_usage_error_with_line_and_column() {
        for (typed, place) in [
            (r#"{"a": }"#, "line 1 column 7"),
            ("{\n \"a\": 1,\n}", "line 3 column 1"),
            ("[1, 2", "line 1 column 5"),
            (r#""open"#, "line 1 column 5"),
            ("  {bad}", "line 1 column 4"),
            ("[NaN]", "line 1 column 2"),
        ] {
            let error = sent(typed, "").expect_err(typed);
            assert!(error.to_string().contains(place), "{typed}: {error}");
        }
    }

    #[test]
    fn standard_input_and_files_follow_the_same_rules() {
        assert_eq!(sent("-", "hello\n").expect("text"), r#"{"prompt":"hello"}"#);
        assert_eq!(
            sent("-", "hello\r\n").expect("text"),
            r#"{"prompt":"hello"}"#
        );
        assert_eq!(
            sent("-", "\u{feff}{\"a\": 1}\n").expect("JSON"),
            r#"{"a": 1}"#
        );
        assert!(sent("-", "{\"a\"").is_err());

        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("in.json"), "{\"n\": 1}\n").expect("the file is written");
        let bytes = read("@in.json", folder.path(), io::empty()).expect("the file is JSON");
        assert_eq!(bytes, b"{\"n\": 1}");
    }

    #[test]
    fn a_payload_that_cannot_be_read_is_a_usage_error() {
        let missing = sent("@no.json", "").expect_err("there is no such file");
        assert_eq!(missing.to_string(), "cannot read `no.json`");
        assert_eq!(CliError::from(missing).kind(), Kind::Usage);
        let binary = read("-", Path::new("/"), &b"\xff\xfe"[..]).expect_err("not UTF-8");
        assert_eq!(binary.to_string(), "standard input is not UTF-8 text");
    }
}
