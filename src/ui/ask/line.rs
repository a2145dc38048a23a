//! A line of text that is being typed: what each key does to it, and the part of it that a terminal has room for.
//!
//! Pure: keys in, text out. `dialoguer`'s own text input is not used because it ignores Ctrl-D, leaves the rest of a
//! wrapped line on the screen and miscounts wide characters.

use std::ops::Range;

use dialoguer::console::{Key, measure_text_width};

/// What has been typed so far.
#[derive(Debug, Default)]
pub(super) struct Line {
    chars: Vec<char>,
    /// The cursor stands before this character.
    at: usize,
}

/// What a key means beyond the line itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Typing goes on.
    Key,
    /// The line is complete.
    Done,
    /// The person wants no more of it.
    Stop,
}

/// What a terminal shows of the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The characters that there is room for.
    pub(super) text: String,
    /// The columns before the cursor.
    pub(super) cursor: usize,
}

impl Line {
    /// Does what `key` asks for. The control keys are those of every shell.
    pub(super) fn press(&mut self, key: &Key) -> Next {
        match key {
            Key::Enter => return Next::Done,
            Key::CtrlC => return Next::Stop,
            // End of input on an empty line; on any other, the key deletes as `Del` does.
            Key::Char('\x04') if self.chars.is_empty() => return Next::Stop,
            Key::Char('\x04') | Key::Del => self.remove(self.at..self.at + 1),
            Key::Backspace => self.remove(self.at.saturating_sub(1)..self.at),
            Key::Char('\x0b') => self.remove(self.at..self.chars.len()),
            Key::Char('\x15') => self.remove(0..self.at),
            Key::Char('\x17') => self.remove(self.word_start()..self.at),
            Key::ArrowLeft | Key::Char('\x02') => self.at = self.at.saturating_sub(1),
            Key::ArrowRight | Key::Char('\x06') => self.at = self.chars.len().min(self.at + 1),
            Key::Home => self.at = 0,
            Key::End => self.at = self.chars.len(),
            Key::Char(char) if !char.is_control() => {
                self.chars.insert(self.at, *char);
                self.at += 1;
            }
            _ => {}
        }
        Next::Key
    }

    /// The text without the blanks around it.
    pub(super) fn text(&self) -> String {
        let text: String = self.chars.iter().collect();
        text.trim().to_owned()
    }

    /// The part around the cursor that fits into `columns`, the cursor's own included.
    pub(super) fn view(&self, columns: usize) -> View {
        let room = columns.saturating_sub(1).max(1);
        let (mut start, mut cursor) = (self.at, 0);
        while start > 0 && cursor + width(self.chars[start - 1]) <= room {
            start -= 1;
            cursor += width(self.chars[start]);
        }
        let (mut end, mut used) = (self.at, cursor);
        while let Some(char) = self.chars.get(end) {
            used += width(*char);
            if used > room {
                break;
            }
            end += 1;
        }
        View {
            text: self.chars[start..end].iter().collect(),
            cursor,
        }
    }

    fn remove(&mut self, range: Range<usize>) {
        let range = range.start..range.end.min(self.chars.len());
        self.at = range.start;
        self.chars.drain(range);
    }

    /// Where the word before the cursor begins.
    fn word_start(&self) -> usize {
        let before = &self.chars[..self.at];
        let end = before
            .iter()
            .rposition(|it| !it.is_whitespace())
            .map_or(0, |it| it + 1);
        before[..end]
            .iter()
            .rposition(|it| it.is_whitespace())
            .map_or(0, |it| it + 1)
    }
}

fn width(char: char) -> usize {
    measure_text_width(char.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Line {
        let mut line = Line::default();
        for char in text.chars() {
            assert_eq!(line.press(&Key::Char(char)), Next::Key);
        }
        line
    }

    fn after(text: &str, keys: &[Key]) -> String {
        let mut line = typed(text);
        for key in keys {
            assert_eq!(line.press(key), Next::Key, "{key:?}");
        }
        let (before, behind) = line.chars.split_at(line.at);
        format!(
            "{}|{}",
            before.iter().collect::<String>(),
            behind.iter().collect::<String>()
        )
    }

    #[test]
    fn keys_edit_as_in_a_shell() {
        let control = |letter: char| Key::Char(((letter as u8) & 0x1f) as char);
        assert_eq!(after("abc", &[]), "abc|");
        assert_eq!(after("abc", &[Key::Backspace]), "ab|");
        assert_eq!(
            after("abc", &[Key::ArrowLeft, Key::ArrowLeft, Key::Char('x')]),
            "ax|bc"
        );
        assert_eq!(after("abc", &[Key::Home, Key::Del]), "|bc");
        assert_eq!(after("abc", &[Key::Home, control('d')]), "|bc");
        assert_eq!(after("abc", &[Key::Home, Key::End]), "abc|");
        assert_eq!(after("abc", &[Key::ArrowLeft, control('k')]), "ab|");
        assert_eq!(after("abc", &[Key::ArrowLeft, control('u')]), "|c");
        assert_eq!(after("one two  ", &[control('w')]), "one |");
        assert_eq!(after("one", &[control('w'), control('w')]), "|");
        assert_eq!(after("日本", &[Key::Backspace]), "日|");
        // Keys that have nothing to do.
        for key in [
            Key::Backspace,
            Key::Del,
            Key::ArrowLeft,
            Key::ArrowRight,
            control('u'),
            control('k'),
            control('w'),
            control('z'),
            Key::Tab,
            Key::ArrowUp,
            Key::Escape,
            Key::UnknownEscSeq(vec!['[', '9']),
        ] {
            assert_eq!(after("", &[key]), "|");
        }
        assert_eq!(after("ab", &[Key::Del]), "ab|");
    }

    #[test]
    fn a_line_ends_or_is_stopped() {
        assert_eq!(typed("a").press(&Key::Enter), Next::Done);
        assert_eq!(typed("a").press(&Key::CtrlC), Next::Stop);
        assert_eq!(typed("").press(&Key::Char('\x04')), Next::Stop);
        assert_eq!(typed("a").press(&Key::Char('\x04')), Next::Key);
        assert_eq!(typed("  a b ").text(), "a b");
    }

    #[test]
    fn the_view_keeps_the_cursor_in_sight() {
        let view = |line: &Line, columns: usize| {
            let View { text, cursor } = line.view(columns);
            (text, cursor)
        };
        let mut line = typed("abcdef");
        assert_eq!(view(&line, 80), ("abcdef".to_owned(), 6));
        assert_eq!(view(&line, 4), ("def".to_owned(), 3));
        line.press(&Key::Home);
        assert_eq!(view(&line, 4), ("abc".to_owned(), 0));
        assert_eq!(view(&line, 0), ("a".to_owned(), 0));
        // A wide character takes two columns, or none if they are not there.
        let line = typed("a日本");
        assert_eq!(view(&line, 80), ("a日本".to_owned(), 5));
        assert_eq!(view(&line, 4), ("本".to_owned(), 2));
        assert_eq!(view(&line, 1), (String::new(), 0));
    }
}
