//! Reads the payload of an invocation as the type that a handler asks for.
//!
//! Bodies are UTF-8 JSON. What the reference SDK reads beyond that (UTF-16, `NaN`, lone surrogates) is refused with 400,
//! and so is nesting of 128 levels and more.

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::failure::Failure;

/// What a caller is told about a body that is not JSON; the details say where.
pub(crate) const INVALID_JSON: &str = "Invalid JSON";
/// What a caller is told about a body that is not UTF-8.
pub(crate) const INVALID_ENCODING: &str = "Invalid encoding";
/// What a caller is told about JSON that is not what the handler takes.
const INVALID_PAYLOAD: &str = "Invalid payload";

/// Reads `body` as a `P`.
///
/// Of keys that are there twice a `Value` has the last, as in the reference; a struct refuses them, as serde does.
pub(crate) fn parse<P: DeserializeOwned>(body: &[u8]) -> Result<P, Failure> {
    let text = std::str::from_utf8(body)
        .map_err(|error| bad_request(INVALID_ENCODING, undecodable(body, error)))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => bad_request(INVALID_PAYLOAD, located::<P>(text, &error)),
        _ if is_blank(text) => bad_request(INVALID_JSON, value_expected(text)),
        _ => bad_request(INVALID_JSON, described(&error)),
    })
}

/// Says which part of the payload does not fit: reads it once more, because only those who are refused shall pay for the path.
///
/// There is none for the payload itself, and none into what serde reads as a whole, such as a flattened or an untagged part.
fn located<P: DeserializeOwned>(text: &str, error: &serde_json::Error) -> String {
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, P>(&mut reader) {
        Err(found) if found.path().iter().len() > 0 => format!("{}: {error}", found.path()),
        _ => error.to_string(),
    }
}

/// Describes what is not JSON; the one limit that is ours to name is named.
fn described(error: &serde_json::Error) -> String {
    error.to_string().replacen(
        "recursion limit exceeded",
        "nested deeper than 127 levels",
        1,
    )
}

fn bad_request(error: &str, details: String) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, error).with_details(details)
}

fn is_blank(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

/// The words of the reference about a body without a value, the one mistake that users see most.
fn value_expected(blank: &str) -> String {
    let line = blank.bytes().filter(|&byte| byte == b'\n').count() + 1;
    let column = blank.len() - blank.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    format!(
        "Expecting value: line {line} column {column} (char {})",
        blank.len()
    )
}

/// The words of the reference about the first byte that is not UTF-8.
fn undecodable(body: &[u8], error: std::str::Utf8Error) -> String {
    let position = error.valid_up_to();
    let byte = body.get(position).copied().unwrap_or_default();
    let reason = match (error.error_len(), byte) {
        (None, _) => "unexpected end of data",
        (Some(_), 0xc2..=0xf4) => "invalid continuation byte",
        (Some(_), _) => "invalid start byte",
    };
    format!("'utf-8' codec can't decode byte 0x{byte:02x} in position {position}: {reason}")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    fn refusal<P: DeserializeOwned>(body: &[u8]) -> (Value, String) {
        let failure = parse::<P>(body).err().unwrap();
        assert_eq!(failure.status(), StatusCode::BAD_REQUEST);
        let details = failure.details().unwrap().to_owned();
        (failure.error().clone(), details)
    }

    #[test]
    fn any_json_is_a_payload() {
        for text in [
            r#"{"b":1,"a":[true,null]}"#,
            "3",
            r#""text""#,
            "null",
            "\u{feff}{}",
        ] {
            let expected: Value =
                serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
            assert_eq!(parse::<Value>(text.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn a_body_without_a_value_is_described_as_the_reference_does() {
        for (body, details) in [
            ("", "Expecting value: line 1 column 1 (char 0)"),
            ("   ", "Expecting value: line 1 column 4 (char 3)"),
            (" \n\n ", "Expecting value: line 3 column 2 (char 4)"),
        ] {
            assert_eq!(
                refusal::<Value>(body.as_bytes()),
                (json!("Invalid JSON"), details.to_owned())
            );
        }
    }

    #[test]
    fn what_is_not_json_says_where() {
        for body in ["{\"a\":1} x", "{\"a\":1,}", "NaN", "\"\\ud800\"", "{'a':1}"] {
            let (error, details) = refusal::<Value>(body.as_bytes());
            assert_eq!(error, "Invalid JSON", "{body}");
            assert!(details.contains("line 1 column"), "{body}: {details}");
        }
        let deep = [b"[".repeat(200), b"]".repeat(200)].concat();
        assert_eq!(
            refusal::<Value>(&deep).1,
            "nested deeper than 127 levels at line 1 column 128"
        );
    }

    #[test]
    fn what_is_not_utf_8_says_which_byte() {
        for (body, details) in [
            (
                &b"\x80"[..],
                "'utf-8' codec can't decode byte 0x80 in position 0: invalid start byte",
            ),
            (
                b"\"a\xe4b\"",
                "'utf-8' codec can't decode byte 0xe4 in position 2: invalid continuation byte",
            ),
            (
                b"\"\xe4\xb8",
                "'utf-8' codec can't decode byte 0xe4 in position 1: unexpected end of data",
            ),
        ] {
            assert_eq!(
                refusal::<Value>(body),
                (json!("Invalid encoding"), details.to_owned())
            );
        }
    }

    #[test]
    fn a_typed_mismatch_carries_the_reason() {
        #[derive(Debug, Deserialize)]
        struct Order {
            #[expect(dead_code, reason = "only its absence matters here")]
            prompt: String,
        }
        let (error, details) = refusal::<Order>(b"{}");
        assert_eq!(error, "Invalid payload");
        assert_eq!(details, "missing field `prompt` at line 1 column 2");
    }
}
