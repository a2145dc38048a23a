//! Whether a pattern is well formed: whether Go's `filepath.Match` compares it with the name `.` without complaint, which is
//! what Docker asks before anything else.
//!
//! That function looks at a pattern only until it knows the answer, so what is malformed behind that point passes. What a
//! pattern then means is decided elsewhere, by other rules.

use super::expression::Malformed;
use super::rune;

/// The name that patterns are compared with.
const NAME: &[u8] = b".";

/// Whether `pattern` is accepted.
pub(super) fn is_well_formed(pattern: &[u8]) -> bool {
    compare(pattern).is_ok()
}

fn compare(pattern: &[u8]) -> Result<(), Malformed> {
    let mut name = NAME;
    let mut rest = pattern;
    while !rest.is_empty() {
        let (star, chunk);
        (star, chunk, rest) = next_chunk(rest);
        if star && chunk.is_empty() {
            return Ok(());
        }
        let fits = |left: &[u8]| left.is_empty() || !rest.is_empty();
        if let Some(left) = match_chunk(chunk, name)?.filter(|left| fits(left)) {
            name = left;
            continue;
        }
        // The star may take the name, which has but one character.
        let behind = match name {
            [_, behind @ ..] if star => match_chunk(chunk, behind)?.filter(|left| fits(left)),
            _ => None,
        };
        match behind {
            Some(left) => name = left,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// Splits off what stands before the next star that is outside brackets, and whether a star stands before that.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|&&byte| byte == b'*').count();
    let pattern = &pattern[stars..];
    let (mut in_brackets, mut at) = (false, 0);
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += usize::from(at + 1 < pattern.len()),
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            b'*' if !in_brackets => break,
            _ => {}
        }
        at += 1;
    }
    let (chunk, rest) = pattern.split_at(at);
    (stars > 0, chunk, rest)
}

/// What is left of `name` behind `chunk`, if it begins with it. The chunk is read to its end in any case.
fn match_chunk<'a>(mut chunk: &[u8], name: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let mut left = Some(name);
    while let Some((&first, behind)) = chunk.split_first() {
        chunk = behind;
        let next = left.and_then(rune::first);
        let fits = match first {
            b'[' => {
                let (found, behind) = brackets(chunk, next.map(|it| it.0))?;
                chunk = behind;
                found
            }
            b'?' => next.is_some_and(|it| it.0 != '/'),
            b'\\' => {
                let (&literal, behind) = chunk.split_first().ok_or(Malformed)?;
                chunk = behind;
                next.is_some() && left.is_some_and(|it| it[0] == literal)
            }
            literal => next.is_some() && left.is_some_and(|it| it[0] == literal),
        };
        left = match (left, next) {
            (Some(name), Some((_, len))) if fits => Some(&name[len..]),
            _ => None,
        };
    }
    Ok(left)
}

/// Whether the brackets whose inside `chunk` begins with have `character`, and what follows them.
fn brackets(chunk: &[u8], character: Option<char>) -> Result<(bool, &[u8]), Malformed> {
    let (inverted, mut chunk) = match chunk.strip_prefix(b"^") {
        Some(chunk) => (true, chunk),
        None => (false, chunk),
    };
    let (mut found, mut ranges) = (false, 0);
    loop {
        if ranges > 0
            && let Some(behind) = chunk.strip_prefix(b"]")
        {
            return Ok((character.is_some() && found != inverted, behind));
        }
        let (low, high);
        (low, chunk) = bound(chunk)?;
        (high, chunk) = match chunk.strip_prefix(b"-") {
            Some(chunk) => bound(chunk)?,
            None => (low, chunk),
        };
        found |= character.is_some_and(|it| (low..=high).contains(&it));
        ranges += 1;
    }
}

/// The bound of a range that `chunk` begins with, and what follows it; something must.
fn bound(chunk: &[u8]) -> Result<(char, &[u8]), Malformed> {
    if matches!(chunk.first(), None | Some(b'-' | b']')) {
        return Err(Malformed);
    }
    let chunk = chunk.strip_prefix(b"\\").unwrap_or(chunk);
    let (bound, len) = rune::first(chunk).ok_or(Malformed)?;
    let behind = &chunk[len..];
    let is_text = bound != char::REPLACEMENT_CHARACTER || len > 1;
    if is_text && !behind.is_empty() {
        Ok((bound, behind))
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_patterns_are_told_from_others() {
        for good in [
            "abc", "*", "a*b?c", "[a]", "[^a]", "[a-z]", "[\\]]", "[\\-x]", "a]", "[z-a]", "\\*",
            "**", "[a*]b", "[[]", "[é-ü]", "]", "^", "{", "(", "[!a]",
        ] {
            assert!(is_well_formed(good.as_bytes()), "{good}");
        }
        for bad in [
            "[", "[^", "[a", "[]", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "\\", "a\\", "a[",
            "*[", ".*[a-", "[a\\", "[^]", "a/[/b",
        ] {
            assert!(!is_well_formed(bad.as_bytes()), "{bad}");
        }
        assert!(!is_well_formed(b"[\xff]"));
        assert!(is_well_formed(b"\xff*"));
    }

    #[test]
    fn what_is_behind_the_answer_is_not_looked_at() {
        for good in ["x*[", "x**/**\\", "*x*["] {
            assert!(is_well_formed(good.as_bytes()), "{good}");
        }
    }
}
