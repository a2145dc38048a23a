//! What an agent writes to its standard streams: cut into lines, handed on, and its end kept for the reason of a failure.
//!
//! Two pipes have no order between them. So an agent that knows how sends both streams through that of standard error,
//! where a byte in front of a line says that it is standard output.
//!
//! Memory stays bounded whatever the agent writes: a line without an end is handed on in parts, and who does not keep up
//! makes the agent wait, not the front door grow.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::event::OutputStream;

/// The longest line that is handed on in one piece, in bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// The variable that tells an agent how its streams are read.
pub(crate) const OUTPUT_VARIABLE: &str = "AGENTCORE_OUTPUT";
/// The value of [`OUTPUT_VARIABLE`]: both streams may come through one pipe.
pub(crate) const MERGED: &str = "merged";
/// What a line of standard output begins with in the pipe of standard error.
const STDOUT_MARK: u8 = 1;

/// Reads the stream `name` to its end and calls `line` for each line in it.
pub(crate) async fn each_line(
    mut stream: impl AsyncRead + Unpin,
    name: OutputStream,
    mut line: impl FnMut(OutputStream, String),
) -> io::Result<()> {
    let mut lines = Lines::new(name);
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            lines.finish(&mut line);
            return Ok(());
        }
        lines.push(&chunk[..count], &mut line);
    }
}

/// Cuts the bytes of one pipe into lines.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The stream that the pipe is of.
    pipe: OutputStream,
    open: Vec<u8>,
    /// The stream of the line that has begun; none between two lines.
    stream: Option<OutputStream>,
}

impl Lines {
    pub(crate) fn new(pipe: OutputStream) -> Self {
        Self {
            pipe,
            open: Vec::new(),
            stream: None,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], line: &mut impl FnMut(OutputStream, String)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let part = self.begin(part);
            match part.strip_suffix(b"\n") {
                Some(end) => {
                    self.extend(end, line);
                    self.emit(line);
                    self.stream = None;
                }
                None => self.extend(part, line),
            }
        }
    }

    /// Takes the mark off, if `bytes` begin a line.
    fn begin<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.stream.is_some() {
            return bytes;
        }
        let unmarked = bytes.strip_prefix(&[STDOUT_MARK]);
        self.stream = Some(unmarked.map_or(self.pipe, |_| OutputStream::Stdout));
        unmarked.unwrap_or(bytes)
    }

    /// Hands on what has no end yet.
    pub(crate) fn finish(&mut self, line: &mut impl FnMut(OutputStream, String)) {
        if !self.open.is_empty() {
            self.emit(line);
        }
    }

    /// Adds bytes of one line; what is too long for one piece is handed on.
    fn extend(&mut self, mut bytes: &[u8], line: &mut impl FnMut(OutputStream, String)) {
        while self.open.len() + bytes.len() > LONGEST_LINE {
            let (now, later) = bytes.split_at(LONGEST_LINE - self.open.len());
            self.open.extend_from_slice(now);
            bytes = later;
            let rest = self.open.split_off(last_whole_character(&self.open));
            self.emit(line);
            self.open = rest;
        }
        self.open.extend_from_slice(bytes);
    }

    fn emit(&mut self, line: &mut impl FnMut(OutputStream, String)) {
        let bytes = self.open.strip_suffix(b"\r").unwrap_or(&self.open);
        let text = String::from_utf8_lossy(bytes).into_owned();
        line(self.stream.unwrap_or(self.pipe), text);
        self.open.clear();
    }
}

/// Returns where `bytes` can be cut without cutting a UTF-8 character at their end.
fn last_whole_character(bytes: &[u8]) -> usize {
    let start = bytes.len().saturating_sub(3);
    let lead = bytes[start..].iter().rposition(|&byte| byte >= 0xc0);
    match lead.map(|index| start + index) {
        Some(index) if std::str::from_utf8(&bytes[index..]).is_err() => index,
        _ => bytes.len(),
    }
}

/// The last lines of an agent.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<(OutputStream, String)>,
    bytes: usize,
}

impl Tail {
    const MOST_LINES: usize = 200;
    const MOST_BYTES: usize = 64 * 1024;

    pub(crate) fn push(&mut self, stream: OutputStream, line: &str) {
        // Of an endless line the beginning says enough.
        let line = &line[..line.floor_char_boundary(4 * 1024)];
        self.bytes += line.len();
        self.lines.push_back((stream, line.to_owned()));
        while self.lines.len() > Self::MOST_LINES || self.bytes > Self::MOST_BYTES {
            let Some((_, oldest)) = self.lines.pop_front() else {
                return;
            };
            self.bytes -= oldest.len();
        }
    }

    /// Returns the lines, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Returns what the lines on standard error say about the end: the last line of the last Python traceback, the message
    /// of a Rust panic, or else the last line.
    pub(crate) fn reason(&self) -> Option<String> {
        let errors: Vec<&str> = self
            .lines
            .iter()
            .filter(|(stream, line)| *stream == OutputStream::Stderr && !line.trim().is_empty())
            .map(|(_, line)| line.as_str())
            .collect();
        let reason = exception(&errors).or_else(|| panic(&errors));
        reason
            .or_else(|| errors.last().copied())
            // What the reason is part of says that it is an error.
            .map(|line| line.trim().trim_start_matches("error: ").to_owned())
    }
}

/// Returns the line after the last traceback's indented part: `ValueError: no`.
fn exception<'a>(lines: &[&'a str]) -> Option<&'a str> {
    // A syntax error in the file that is run has no headline, only the line that names the file.
    let is_traceback =
        |line: &&str| line.starts_with("Traceback (most recent") || line.starts_with("  File \"");
    let last = lines.iter().rposition(is_traceback)?;
    let after = lines[last + 1..].iter();
    after.copied().find(|line| !line.starts_with([' ', '\t']))
}

/// Returns the first line of the last panic's message.
fn panic<'a>(lines: &[&'a str]) -> Option<&'a str> {
    let is_panic = |line: &&str| line.starts_with("thread '") && line.contains(" panicked at ");
    let last = lines.iter().rposition(is_panic)?;
    lines.get(last + 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts what comes through the pipe of standard error.
    fn cut_and_named(chunks: &[&[u8]]) -> Vec<(OutputStream, String)> {
        let mut seen = Vec::new();
        let mut lines = Lines::new(OutputStream::Stderr);
        let mut line = |stream, text| seen.push((stream, text));
        for chunk in chunks {
            lines.push(chunk, &mut line);
        }
        lines.finish(&mut line);
        seen
    }

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let seen = cut_and_named(chunks).into_iter();
        seen.map(|(_, text)| text).collect()
    }

    fn reason(stderr: &str) -> Option<String> {
        let mut tail = Tail::default();
        tail.push(OutputStream::Stdout, "not an error");
        for line in stderr.lines() {
            tail.push(OutputStream::Stderr, line);
        }
        tail.reason()
    }

    #[test]
    fn lines_are_cut_wherever_the_chunks_end() {
        assert_eq!(
            cut(&[b"a\nb", b"c\r", b"\n\nlast"]),
            ["a", "bc", "", "last"]
        );
        assert_eq!(cut(&[b"whole\n"]), ["whole"]);
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn a_mark_names_the_stream_wherever_the_chunks_end() {
        let text = b"one\n\x01two\n\x01\n\n\x01\x01\nin \x01 between\n\x01last";
        let expected = [
            (OutputStream::Stderr, "one"),
            (OutputStream::Stdout, "two"),
            (OutputStream::Stdout, ""),
            (OutputStream::Stderr, ""),
            (OutputStream::Stdout, "\x01"),
            (OutputStream::Stderr, "in \x01 between"),
            (OutputStream::Stdout, "last"),
        ]
        .map(|(stream, text)| (stream, text.to_owned()));
        for size in 1..=text.len() {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(cut_and_named(&chunks), expected, "chunks of {size}");
        }
        assert!(cut_and_named(&[b"\x01"]).is_empty());
    }

    #[test]
    fn parts_of_a_long_line_keep_their_stream() {
        // Inside a line, also at the beginning of a part, the byte is a byte like any other.
        let long = [&b"\x01"[..], &vec![1; LONGEST_LINE * 2 + 5], b"\nerror\n"].concat();
        let seen = cut_and_named(&long.chunks(1000).collect::<Vec<_>>());
        let lengths: Vec<_> = seen
            .iter()
            .map(|(name, part)| (*name, part.len()))
            .collect();
        let part = (OutputStream::Stdout, LONGEST_LINE);
        assert_eq!(
            lengths,
            [
                part,
                part,
                (OutputStream::Stdout, 5),
                (OutputStream::Stderr, 5)
            ]
        );
    }

    #[test]
    fn what_is_held_of_an_endless_line_stays_small() {
        let mut lines = Lines::new(OutputStream::Stdout);
        let mut told = 0;
        let chunk = vec![b'x'; 16 * 1024];
        for _ in 0..10_000 {
            lines.push(&chunk, &mut |_, part| told += part.len());
            assert!(lines.open.capacity() <= 4 * LONGEST_LINE);
        }
        assert!(told + lines.open.len() == 10_000 * chunk.len());
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        assert_eq!(cut(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn a_line_without_an_end_is_handed_on_in_parts() {
        let long = vec![b'x'; LONGEST_LINE * 2 + 5];
        let lengths: Vec<usize> = cut(&[&long]).iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, LONGEST_LINE, 5]);
    }

    #[test]
    fn parts_of_a_long_line_do_not_cut_characters() {
        let text = "é".repeat(LONGEST_LINE);
        let odd = format!("x{text}");
        let parts = cut(&[odd.as_bytes()]);
        assert!(parts.iter().all(|part| part.len() <= LONGEST_LINE));
        assert_eq!(parts.concat(), odd);
    }

    #[test]
    fn the_tail_stays_small() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            tail.push(
                OutputStream::Stdout,
                &format!("{number} {}", "y".repeat(5000)),
            );
        }
        assert!(tail.bytes <= Tail::MOST_BYTES);
        assert!(tail.lines().last().unwrap().starts_with("9999 "));
    }

    #[test]
    fn the_reason_is_the_last_line_of_the_last_traceback() {
        let stderr = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    import numpi\n\
                      KeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\n\
                      Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    raise X\n\
                      ModuleNotFoundError: No module named 'numpi'\nerror: the agent cannot be loaded";
        assert_eq!(
            reason(stderr).as_deref(),
            Some("ModuleNotFoundError: No module named 'numpi'")
        );
    }

    #[test]
    fn a_syntax_error_is_found_without_a_headline() {
        let stderr =
            "  File \"a.py\", line 1\n    def (\n        ^\nSyntaxError: invalid syntax\nmore";
        assert_eq!(
            reason(stderr).as_deref(),
            Some("SyntaxError: invalid syntax")
        );
    }

    #[test]
    fn a_panic_gives_its_message() {
        let stderr = "thread 'main' (7) panicked at src/main.rs:2:5:\nno key\nnote: run with `RUST_BACKTRACE=1`";
        assert_eq!(reason(stderr).as_deref(), Some("no key"));
    }

    #[test]
    fn otherwise_the_last_line_is_the_reason() {
        assert_eq!(reason("one\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(reason("error: no app").as_deref(), Some("no app"));
        assert_eq!(reason(""), None);
    }
}
