//! The lines of an ignore file: which of them are patterns, and how each is cleaned before it is compiled.
//!
//! Two programs clean in turn, the reader of the file and the matcher, and each has its own surprises: `/!a` is an
//! exception, ` # a` is a pattern, `!/` is an error. Both are followed step by step. Everything is bytes, because file
//! names are.

use super::rune;

/// The longest line that Docker reads, without its line feed.
const LONGEST: usize = 64 * 1024 - 1;

/// A pattern as the matcher sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleaned {
    /// Whether what it matches is put back in.
    pub(super) exception: bool,
    /// The pattern, without the `!`.
    pub(super) text: Vec<u8>,
}

/// What is wrong with a line, before anything is compiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadLine {
    /// It is longer than Docker reads.
    TooLong,
    /// It is `!` and nothing more.
    OnlyException,
}

/// The lines of `text` with their numbers from 1, as they stand there, without line ends and byte order mark.
pub(super) fn numbered(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|&byte| byte == b'\n')
        .zip(1..)
        .map(|(line, number)| (number, line.strip_suffix(b"\r").unwrap_or(line)))
}

/// Makes a pattern of `line`; nothing for comments and blank lines.
pub(super) fn clean(line: &[u8]) -> Result<Option<Cleaned>, BadLine> {
    // Docker counts a carriage return at the end, which is gone here: one byte more or less of 65,535 is all the same.
    if line.len() > LONGEST {
        return Err(BadLine::TooLong);
    }
    match read(line) {
        Some(pattern) => compile_form(&pattern),
        None => Ok(None),
    }
}

/// The part of the file's reader: comments, `!` apart, a clean path, one leading slash less.
fn read(line: &[u8]) -> Option<Vec<u8>> {
    if line.starts_with(b"#") {
        return None;
    }
    let line = trim(line);
    if line.is_empty() {
        return None;
    }
    let (exception, path) = match line.strip_prefix(b"!") {
        Some(rest) => (true, trim(rest)),
        None => (false, line),
    };
    let mut pattern = if path.is_empty() {
        Vec::new()
    } else {
        clean_path(path)
    };
    if pattern.len() > 1 && pattern[0] == b'/' {
        pattern.remove(0);
    }
    if exception {
        pattern.insert(0, b'!');
    }
    Some(pattern)
}

/// The part of the matcher: it trims and cleans once more, now with the `!` in front.
fn compile_form(pattern: &[u8]) -> Result<Option<Cleaned>, BadLine> {
    let pattern = trim(pattern);
    if pattern.is_empty() {
        return Ok(None);
    }
    let text = clean_path(pattern);
    match text.strip_prefix(b"!") {
        Some([]) => Err(BadLine::OnlyException),
        Some(rest) => Ok(Some(Cleaned {
            exception: true,
            text: rest.to_vec(),
        })),
        None => Ok(Some(Cleaned {
            exception: false,
            text,
        })),
    }
}

/// The shortest path that means the same, found in the text alone: no empty parts, no `.`, no `..` after a name.
fn clean_path(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.last() {
                Some(&last) if last != b".." => {
                    parts.pop();
                }
                // Nothing is above the root.
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let mut clean = if rooted { b"/".to_vec() } else { Vec::new() };
    clean.extend(parts.join(&b'/'));
    if clean.is_empty() {
        clean.push(b'.');
    }
    clean
}

/// `text` without white space at both ends, in the sense of Unicode.
fn trim(mut text: &[u8]) -> &[u8] {
    while let Some((first, len)) = rune::first(text)
        && first.is_whitespace()
    {
        text = &text[len..];
    }
    while let Some((last, len)) = rune::last(text)
        && last.is_whitespace()
    {
        text = &text[..text.len() - len];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(line: &str) -> Option<(bool, String)> {
        let cleaned = clean(line.as_bytes()).expect(line)?;
        Some((
            cleaned.exception,
            String::from_utf8(cleaned.text).expect("UTF-8"),
        ))
    }

    #[test]
    fn both_cleaners_are_followed() {
        for (line, expected) in [
            ("", None),
            (" \t ", None),
            ("# a", None),
            (" # a", Some((false, "# a"))),
            ("/#a", Some((false, "#a"))),
            ("a", Some((false, "a"))),
            ("a/", Some((false, "a"))),
            ("/a", Some((false, "a"))),
            ("//a//b/", Some((false, "a/b"))),
            ("./a", Some((false, "a"))),
            ("a/./b/../c", Some((false, "a/c"))),
            ("../a", Some((false, "../a"))),
            ("a/../../b", Some((false, "../b"))),
            ("/../a", Some((false, "a"))),
            ("/", Some((false, "/"))),
            (".", Some((false, "."))),
            ("\u{a0}a\u{2003}", Some((false, "a"))),
            ("a b", Some((false, "a b"))),
            ("!a", Some((true, "a"))),
            ("! a", Some((true, "a"))),
            ("!/a/", Some((true, "a"))),
            ("/!a", Some((true, "a"))),
            ("!!a", Some((true, "!a"))),
            ("\\!a", Some((false, "\\!a"))),
            ("!.", Some((true, "."))),
            ("a/..", Some((false, "."))),
            ("**/", Some((false, "**"))),
            ("/ a", Some((false, "a"))),
            ("/ /", None),
        ] {
            let expected = expected.map(|(exception, text)| (exception, text.to_owned()));
            assert_eq!(cleaned(line), expected, "{line:?}");
        }
        for line in ["!", "! ", "!/", "!//", " ! "] {
            assert_eq!(
                clean(line.as_bytes()),
                Err(BadLine::OnlyException),
                "{line:?}"
            );
        }
    }

    #[test]
    fn lines_are_numbered_and_bare() {
        let lines: Vec<_> = numbered(b"\xef\xbb\xbfa\r\n\n#b\r\r\nc").collect();
        let expected: [(usize, &[u8]); 4] = [(1, b"a"), (2, b""), (3, b"#b\r"), (4, b"c")];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_line_has_a_longest_length() {
        assert!(clean(&vec![b'a'; LONGEST]).is_ok());
        assert_eq!(clean(&vec![b'a'; LONGEST + 1]), Err(BadLine::TooLong));
    }

    #[test]
    fn bytes_that_are_not_text_stay() {
        let cleaned = clean(b" \xff/\xfe ")
            .expect("a pattern")
            .expect("a pattern");
        assert_eq!(cleaned.text, b"\xff/\xfe");
    }
}
