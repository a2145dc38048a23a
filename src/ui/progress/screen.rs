//! The terminal behind stderr, as a live display draws on it: a few columns narrower than it is.
//!
//! A display fills its rows, and what is typed meanwhile is echoed at its end: with the columns to spare a `^C` stays in the
//! same row, and the display can still be taken away.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;
use rustix::termios::tcgetwinsize;

/// The columns to spare: `^C` twice.
const SPARE: u16 = 4;
/// The size of a terminal that does not tell.
const USUAL: (u16, u16) = (80, 24);

/// The terminal, and what is still to be written to it in one piece.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pending: Mutex<String>,
}

impl Screen {
    fn pending(&self) -> MutexGuard<'_, String> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor `n` cells in the direction that `letter` stands for.
    fn move_cursor(&self, n: usize, letter: char) {
        if n > 0 {
            // Writing into a text never fails.
            let _ = write!(self.pending(), "\u{1b}[{n}{letter}");
        }
    }
}

/// How wide and how high the terminal is at the moment.
fn size() -> (u16, u16) {
    match tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => USUAL,
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        size().0.saturating_sub(SPARE).max(1)
    }

    fn height(&self) -> u16 {
        size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.move_cursor(n, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        let mut pending = self.pending();
        pending.push_str(text);
        pending.push('\n');
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.pending().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.pending().push_str("\r\u{1b}[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let text = mem::take(&mut *self.pending());
        let mut stderr = io::stderr().lock();
        stderr.write_all(text.as_bytes())?;
        stderr.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_written_as_terminals_know_them() {
        let screen = Screen::default();
        screen.move_cursor_up(2).expect("it is only remembered");
        screen.move_cursor_left(0).expect("it is only remembered");
        screen.clear_line().expect("it is only remembered");
        screen.write_str("text").expect("it is only remembered");
        assert_eq!(*screen.pending(), "\u{1b}[2A\r\u{1b}[2Ktext");
        assert!(screen.width() > 0 && screen.height() > 0);
    }
}
