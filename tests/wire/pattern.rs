//! Texts with holes, for what no contract can fix: `<<integer>>`, `<<decimal>>`, `<<uuid>>`, `<<hex>>`, `<<any>>`.
//!
//! A hole with a name, `<<integer:since>>`, must hold the same wherever it stands in a row. Matching never goes back: a
//! hole takes what is its kind, and `<<any>>` everything before the next fixed text, or before the last one.

use std::collections::BTreeMap;

/// What the named holes of a row have held.
pub(super) type Found = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Decimal,
    Uuid,
    Hex,
    Any,
}

#[derive(Debug)]
enum Part<'a> {
    Fixed(&'a [u8]),
    Hole(Kind, Option<&'a str>),
}

/// Says why `pattern` is none.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let parts = parse(pattern.as_bytes())?;
    let unbounded = |pair: &[Part<'_>]| matches!(pair, [Part::Hole(Kind::Any, _), Part::Hole(..)]);
    if parts.windows(2).any(unbounded) {
        return Err(format!("nothing fixed ends `<<any>>` in `{pattern}`"));
    }
    Ok(())
}

/// Whether `text` is what `pattern` describes; what its named holes hold is added to `found`.
pub(super) fn matches(pattern: &[u8], text: &[u8], found: &mut Found) -> bool {
    let Ok(parts) = parse(pattern) else {
        return false;
    };
    let mut rest = text;
    for (index, part) in parts.iter().enumerate() {
        let taken = match part {
            Part::Fixed(fixed) if rest.starts_with(fixed) => fixed.len(),
            Part::Fixed(_) => return false,
            Part::Hole(kind, _) => match kind.take(rest, &parts[index + 1..]) {
                Some(taken) => taken,
                None => return false,
            },
        };
        let (held, left) = rest.split_at(taken);
        if let Part::Hole(_, Some(name)) = part {
            let first = found
                .entry((*name).to_owned())
                .or_insert_with(|| held.to_vec());
            if first != held {
                return false;
            }
        }
        rest = left;
    }
    rest.is_empty()
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "integer" => Self::Integer,
            "decimal" => Self::Decimal,
            "uuid" => Self::Uuid,
            "hex" => Self::Hex,
            "any" => Self::Any,
            _ => return None,
        })
    }

    /// How many bytes at the beginning of `text` are of this kind; none if that is no such thing.
    fn take(self, text: &[u8], next: &[Part<'_>]) -> Option<usize> {
        let run = |is_part: fn(&u8) -> bool| text.iter().take_while(|&byte| is_part(byte)).count();
        match self {
            Self::Integer => Some(run(u8::is_ascii_digit)).filter(|&length| length > 0),
            Self::Hex => Some(run(u8::is_ascii_hexdigit)).filter(|&length| length > 0),
            Self::Decimal => {
                let length = run(|byte| byte.is_ascii_digit() || b".e+-".contains(byte));
                let number = std::str::from_utf8(&text[..length]).ok()?;
                number.parse::<f64>().ok().map(|_| length)
            }
            Self::Uuid => {
                let id = std::str::from_utf8(text.get(..36)?).ok()?;
                uuid::Uuid::try_parse(id).ok().map(|_| 36)
            }
            Self::Any => match next {
                [] => Some(text.len()),
                [Part::Fixed(end)] => text.strip_suffix(*end).map(<[u8]>::len),
                [Part::Fixed(end), ..] => text.windows(end.len()).position(|it| it == *end),
                [Part::Hole(..), ..] => None,
            },
        }
    }
}

fn parse(pattern: &[u8]) -> Result<Vec<Part<'_>>, String> {
    let find = |text: &[u8], mark: &[u8; 2]| text.windows(2).position(|pair| pair == mark);
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(start) = find(rest, b"<<") {
        let end = start + find(&rest[start..], b">>").ok_or("a `<<` without its `>>`")?;
        let words =
            std::str::from_utf8(&rest[start + 2..end]).map_err(|error| error.to_string())?;
        let (kind, name) = match words.split_once(':') {
            Some((kind, name)) => (kind, Some(name)),
            None => (words, None),
        };
        let kind = Kind::named(kind).ok_or_else(|| format!("there is no hole `<<{words}>>`"))?;
        if start > 0 {
            parts.push(Part::Fixed(&rest[..start]));
        }
        parts.push(Part::Hole(kind, name));
        rest = &rest[end + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Fixed(rest));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), &mut Found::new())
    }

    #[test]
    fn a_hole_takes_its_kind_and_no_more() {
        for (pattern, text, fit) in [
            ("{\"a\":1}", "{\"a\":1}", true),
            ("{\"a\":1}", "{\"a\": 1}", false),
            ("{\"at\":<<integer>>}", "{\"at\":1795344202}", true),
            ("{\"at\":<<integer>>}", "{\"at\":1.5}", false),
            ("{\"at\":<<integer>>}", "{\"at\":}", false),
            ("<<decimal>>", "0.52", true),
            ("<<decimal>>", "5.2e-06", true),
            ("<<decimal>>", "half", false),
            (
                "\"<<uuid>>\"",
                "\"12345678-1234-5678-1234-567812345678\"",
                true,
            ),
            (
                "\"<<uuid>>\"",
                "\"12345678-1234-5678-1234-56781234567\"",
                false,
            ),
            ("at 0x<<hex>>>", "at 0x7fA0>", true),
            ("<<any>>", "", true),
            ("a <<any>> c", "a b c", true),
            ("a <<any>> c", "a b", false),
            ("[<<any>>]", "[[1]]", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn a_named_hole_holds_the_same_everywhere() {
        let mut found = Found::new();
        assert!(matches(b"<<integer:at>>", b"12", &mut found));
        assert!(matches(b"at <<integer:at>>", b"at 12", &mut found));
        assert!(!matches(b"<<integer:at>>", b"13", &mut found));
        assert!(fits("<<integer:a>> <<integer:a>>", "7 7"));
        assert!(!fits("<<integer:a>> <<integer:a>>", "7 8"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!(
            check("<<number>>").unwrap_err(),
            "there is no hole `<<number>>`"
        );
        assert_eq!(check("a <<any").unwrap_err(), "a `<<` without its `>>`");
        assert!(check("<<any>><<integer>>").is_err());
        assert_eq!(check("<any> <<any>>, <<integer:a>>"), Ok(()));
    }
}
