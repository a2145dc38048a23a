//! The two JSON dialects of the wire: spaced for results, events and log lines, compact for errors
//! and pings.
//!
//! They are what Python's `json.dumps` and a compact writer produce, byte for byte, floats
//! included. Both leave text other than ASCII as it is. A float that JSON cannot carry (NaN,
//! infinity) becomes `null`, so that a body is always JSON.

use std::io::{self, Write};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

/// Writes `value` with `", "` and `": "` between its parts, as handler results, events and log
/// lines are.
///
/// ```
/// let value = serde_json::json!({ "a": 1, "b": [true, null, 1e16] });
/// let text = agentcore_protocol::json::to_spaced_vec(&value)?;
/// assert_eq!(text, br#"{"a": 1, "b": [true, null, 1e+16]}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
///
/// Fails if `value` refuses to be serialized, or has a map whose keys are not text, numbers or
/// booleans.
pub fn to_spaced_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    write(
        value,
        Dialect {
            between_items: b", ",
            after_key: b": ",
        },
    )
}

/// Writes `value` without any white space, as error and ping bodies are.
///
/// # Errors
///
/// As [`to_spaced_vec`].
pub fn to_compact_vec<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Vec<u8>> {
    write(
        value,
        Dialect {
            between_items: b",",
            after_key: b":",
        },
    )
}

/// Writes one of this crate's own bodies, compact.
pub(crate) fn compact_body<T: Serialize>(body: &T) -> Bytes {
    to_compact_vec(body).expect(PLAIN).into()
}

/// Writes one of this crate's own bodies, spaced.
pub(crate) fn spaced_body<T: Serialize>(body: &T) -> Bytes {
    to_spaced_vec(body).expect(PLAIN).into()
}

const PLAIN: &str = "our own bodies are structs of plain values, which JSON can always hold";

fn write<T: Serialize + ?Sized>(value: &T, dialect: Dialect) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    value.serialize(&mut Serializer::with_formatter(&mut out, dialect))?;
    Ok(out)
}

#[derive(Clone, Copy)]
struct Dialect {
    between_items: &'static [u8],
    after_key: &'static [u8],
}

impl Formatter for Dialect {
    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(self.between_items)
        }
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            writer.write_all(self.between_items)
        }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.after_key)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        // The digits of the `f32` itself: 0.1_f32 is `0.1`, not the digits of the double it equals.
        let digits = serde_json::to_string(&value)?;
        let wide = digits
            .parse()
            .expect("a finite float is written as a number");
        self.write_f64(writer, wide)
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let digits = serde_json::to_string(&value)?;
        if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
            writer.write_all(digits.as_bytes())
        } else {
            write_scientific(writer, &digits)
        }
    }
}

/// Writes a float that Python's `repr` gives an exponent, from the digits that `serde_json` chose.
///
/// Both choose the shortest digits that read back to the same number, of two such the nearer one,
/// of two as near the even one. (Rust's own formatting does not: 726247197409275.25 ends in `.3`
/// there and in `.2` here.) Only where an exponent begins and how it is spelled differs.
fn write_scientific<W: ?Sized + Write>(writer: &mut W, digits: &str) -> io::Result<()> {
    if let Some((mantissa, exponent)) = digits.split_once('e') {
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent.trim_start_matches('+')),
        };
        return write!(writer, "{mantissa}e{sign}{exponent:0>2}");
    }
    let (sign, digits) = digits
        .split_once("0.0000")
        .expect("only numbers below 1e-4 get here");
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    write!(writer, "{sign}{first}{point}{rest}e-05")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn spaced(value: &(impl Serialize + ?Sized)) -> String {
        String::from_utf8(to_spaced_vec(value).unwrap()).unwrap()
    }

    fn compact(value: &(impl Serialize + ?Sized)) -> String {
        String::from_utf8(to_compact_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn the_dialects_are_those_of_python_byte_for_byte() {
        // The right-hand sides are what Python 3.11 printed for the same values.
        let value = json!({
            "a": 1, "b": [true, null, -3, 2.0, [], {}], "é\n": { "k": "世界🌍" },
            "big": u64::MAX, "neg": i64::MIN, "": "",
        });
        assert_eq!(
            spaced(&value),
            r#"{"a": 1, "b": [true, null, -3, 2.0, [], {}], "é\n": {"k": "世界🌍"}, "big": 18446744073709551615, "neg": -9223372036854775808, "": ""}"#
        );
        assert_eq!(
            compact(&value),
            r#"{"a":1,"b":[true,null,-3,2.0,[],{}],"é\n":{"k":"世界🌍"},"big":18446744073709551615,"neg":-9223372036854775808,"":""}"#
        );
        for (value, text) in [
            (json!("hello"), r#""hello""#),
            (json!(null), "null"),
            (json!([]), "[]"),
            (json!({}), "{}"),
            (json!([[[1]]]), "[[[1]]]"),
            (json!("a\nb"), r#""a\nb""#),
            (json!("data: x\n\n"), r#""data: x\n\n""#),
        ] {
            assert_eq!(spaced(&value), text);
            assert_eq!(compact(&value), text);
        }
    }

    #[test]
    fn only_quotes_backslashes_and_control_characters_are_escaped() {
        let controls: String = (0..=32_u8).map(char::from).collect();
        let text = controls + "\"\\/\u{7f}\u{80}\u{a0}é世🌍\u{2028}\u{2029}\u{feff}";
        let from_python = concat!(
            r#""\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f"#,
            r"\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d",
            r#"\u001e\u001f \"\\/"#,
            "\u{7f}\u{80}\u{a0}é世🌍\u{2028}\u{2029}\u{feff}\"",
        );
        assert_eq!(spaced(&text), from_python);
        assert_eq!(compact(&text), from_python);
    }

    #[test]
    fn floats_are_spelled_as_python_spells_them() {
        let table = include_str!("../testdata/python-floats.txt");
        let lines: Vec<_> = table
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert!(
            lines.len() > 600,
            "the table was cut: {} lines",
            lines.len()
        );
        for line in lines {
            let (bits, repr) = line.split_once(' ').expect("bits, a space, repr");
            let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
            assert_eq!(spaced(&value), repr, "{bits}");
            assert_eq!(compact(&json!([value])), format!("[{repr}]"), "{bits}");
        }
    }

    #[test]
    fn single_floats_keep_their_own_digits() {
        for (value, text) in [
            (0.1_f32, "0.1"),
            (-0.0, "-0.0"),
            (16_777_216.0, "16777216.0"),
            (1e13, "10000000000000.0"),
            (1.5e15, "1500000000000000.0"),
            (1e16, "1e+16"),
            (1.25e-5, "1.25e-05"),
            (1e-7, "1e-07"),
            (f32::MAX, "3.4028235e+38"),
            (f32::from_bits(1), "1e-45"),
        ] {
            assert_eq!(spaced(&value), text);
        }
    }

    #[test]
    fn a_float_that_json_cannot_carry_is_null() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(spaced(&[value]), "[null]");
            assert_eq!(compact(&[value]), "[null]");
        }
    }

    #[test]
    fn keys_that_are_no_texts_become_texts_or_are_refused() {
        assert_eq!(
            spaced(&BTreeMap::from([(1, 2), (3, 4)])),
            r#"{"1": 2, "3": 4}"#
        );
        assert_eq!(compact(&BTreeMap::from([(true, 1)])), r#"{"true":1}"#);
        assert!(to_spaced_vec(&BTreeMap::from([((1, 2), 3)])).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            // Decimals that every reader takes exactly; the property below has the other floats.
            any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_written_float_is_the_same_float(value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            prop_assert_eq!(spaced(&value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn both_dialects_are_one_line_of_the_same_json(value in any_json()) {
            let (spaced, compact) = (spaced(&value), compact(&value));
            prop_assert!(!spaced.contains(['\n', '\r']));
            prop_assert_eq!(&serde_json::from_str::<Value>(&spaced).unwrap(), &value);
            prop_assert_eq!(&serde_json::from_str::<Value>(&compact).unwrap(), &value);
        }
    }
}
