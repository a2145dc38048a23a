//! The settings of the terminal while questions are asked, and that they come back.

use std::io;

use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// A terminal that gives every key at once and shows none, until this is dropped.
///
/// Keys are read one by one; between two of them the terminal must not fall back to its own line editing, which would
/// echo what was typed ahead and cut a long paste.
#[derive(Debug)]
pub(super) struct Session {
    before: Termios,
    /// What is still unread when the questions end.
    rest: OptionalActions,
}

impl Session {
    /// Sets the terminal on stdin up.
    pub(super) fn begin() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut keys = before.clone();
        keys.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        keys.input_modes.remove(InputModes::IXON);
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin(), OptionalActions::Drain, &keys)?;
        Ok(Self {
            before,
            rest: OptionalActions::Drain,
        })
    }

    /// Lets what is still unread go: the rest of a paste that was stopped is no command for the shell.
    pub(super) fn discard_rest(&mut self) {
        self.rest = OptionalActions::Flush;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A signal may come in between; a terminal that is gone needs no settings.
        while tcsetattr(stdin(), self.rest, &self.before) == Err(Errno::INTR) {}
    }
}
