//! Questions to the person at the terminal: how they are put, and how answers are typed.
//!
//! Everything goes to stderr. What is asked and what counts as an answer is the commands' matter. Ends by Ctrl-C, Ctrl-D
//! or a signal as [`Kind::Interrupted`](crate::error::Kind::Interrupted), with the terminal as it was before.

mod interrupts;
mod line;
mod plain;
mod session;
mod terminal;

use std::io::{self, IsTerminal};

use dialoguer::console::is_dumb;

use super::printer::Printer;
use crate::error::{CliError, Kind};
use plain::Plain;
use terminal::Terminal;

/// What is asked for, and what an empty answer means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prompt<'a> {
    /// The thing itself, in a few words.
    pub(crate) label: &'a str,
    /// What Enter alone stands for; none if something must be typed.
    pub(crate) enter: Option<&'a str>,
}

/// Puts questions.
pub(crate) trait Asker {
    /// Asks for a line of text and returns it without the blanks around it; Enter alone is the empty line.
    ///
    /// # Errors
    ///
    /// Fails with [`Kind::Interrupted`] if the person stops.
    fn line(&mut self, prompt: Prompt<'_>) -> Result<String, CliError>;

    /// Asks for one of `items`, `default` being the one that Enter alone takes, and returns its index.
    ///
    /// # Errors
    ///
    /// Fails with [`Kind::Interrupted`] if the person stops.
    fn choose(&mut self, label: &str, items: &[String], default: usize) -> Result<usize, CliError>;

    /// Says why an answer is not taken.
    fn refuse(&mut self, reason: &CliError);
}

/// Whether somebody is there to answer: what is asked is read on stderr, and what is typed comes from stdin.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Begins to ask; the terminal is as it was when the result is dropped.
///
/// # Errors
///
/// Fails if the terminal cannot be set up.
pub(crate) fn begin(printer: Printer) -> Result<Box<dyn Asker>, CliError> {
    let begun: io::Result<Box<dyn Asker>> = if is_dumb() {
        Plain::begin(printer).map(|it| Box::new(it) as _)
    } else {
        Terminal::begin(printer).map(|it| Box::new(it) as _)
    };
    begun.map_err(|error| {
        CliError::other("cannot ask at this terminal")
            .caused_by(error)
            .hint("give everything as flags, with `--non-interactive`")
    })
}

/// The end of the questions, asked for by the person or the system.
fn stopped() -> CliError {
    CliError::new(Kind::Interrupted, "interrupted; nothing was written")
}

/// A terminal that went away is a person who left; anything else is a failure.
fn failed(error: io::Error) -> CliError {
    let gone = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::UnexpectedEof => stopped(),
        _ if gone => stopped(),
        _ => CliError::other("cannot read from the terminal").caused_by(error),
    }
}
