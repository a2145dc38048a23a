//! Characters in bytes that may not be text, as Go decodes them: every byte that begins no character counts as one
//! U+FFFD.

/// The first character of `bytes`, and how many bytes it takes.
pub(super) fn first(bytes: &[u8]) -> Option<(char, usize)> {
    let &lead = bytes.first()?;
    if lead.is_ascii() {
        return Some((char::from(lead), 1));
    }
    let longest = bytes.len().min(4);
    let whole = (2..=longest).find_map(|len| {
        let text = std::str::from_utf8(&bytes[..len]).ok()?;
        text.chars().next().map(|it| (it, len))
    });
    Some(whole.unwrap_or((char::REPLACEMENT_CHARACTER, 1)))
}

/// The last character of `bytes`, and how many bytes it takes.
pub(super) fn last(bytes: &[u8]) -> Option<(char, usize)> {
    let &tail = bytes.last()?;
    if tail.is_ascii() {
        return Some((char::from(tail), 1));
    }
    let longest = bytes.len().min(4);
    let whole = (2..=longest).find_map(|len| {
        let text = std::str::from_utf8(&bytes[bytes.len() - len..]).ok()?;
        text.chars().next().map(|it| (it, len))
    });
    Some(whole.unwrap_or((char::REPLACEMENT_CHARACTER, 1)))
}

/// Every character of `bytes`.
pub(super) fn all(mut bytes: &[u8]) -> impl Iterator<Item = char> {
    std::iter::from_fn(move || {
        let (next, len) = first(bytes)?;
        bytes = &bytes[len..];
        Some(next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_character_counts_byte_by_byte() {
        let decoded: String = all(b"a\xc3\xa9\xff\xe2\x82\xf0\x9f\x98\x80").collect();
        assert_eq!(decoded, "aé\u{fffd}\u{fffd}\u{fffd}😀");
        assert_eq!(last("é".as_bytes()), Some(('é', 2)));
        assert_eq!(last(b"a\xa9"), Some(('\u{fffd}', 1)));
        assert_eq!(first(b""), None);
        assert_eq!(last(b""), None);
    }
}
