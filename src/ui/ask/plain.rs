//! Questions on a terminal that cannot move its cursor (`TERM=dumb`): the terminal's own line editing, and choices by
//! number. Nothing of the terminal is changed.

use std::io;

use dialoguer::console::Term;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio::stdin;

use super::interrupts::Interrupts;
use super::{Asker, Prompt, failed, stopped};
use crate::error::CliError;
use crate::ui::printer::Printer;

/// A terminal that is written to like a typewriter.
pub(super) struct Plain {
    term: Term,
    printer: Printer,
    _interrupts: Interrupts,
}

impl Plain {
    /// Gets ready to ask.
    pub(super) fn begin(printer: Printer) -> io::Result<Self> {
        Ok(Self {
            term: Term::stderr(),
            printer,
            _interrupts: Interrupts::begin()?,
        })
    }

    /// Asks with `question` as it is; none at the end of the input.
    fn ask(&self, question: &str) -> io::Result<Option<String>> {
        self.term.write_str(question)?;
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\n") {
            // Waiting is what a signal interrupts; a read would go on after it.
            poll(&mut [PollFd::new(&stdin(), PollFlags::IN)], None)?;
            let mut piece = [0; 4096];
            let len = rustix::io::read(stdin(), &mut piece)?;
            if len == 0 && bytes.is_empty() {
                return Ok(None);
            }
            if len == 0 {
                break;
            }
            bytes.extend_from_slice(&piece[..len]);
        }
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    fn answer(&self, question: &str) -> Result<String, CliError> {
        let outcome = match self.ask(question) {
            Ok(Some(text)) => return Ok(text),
            Ok(None) => stopped(),
            Err(error) => failed(error),
        };
        let _ = self.term.write_line("");
        Err(outcome)
    }
}

impl Asker for Plain {
    fn line(&mut self, prompt: Prompt<'_>) -> Result<String, CliError> {
        let Prompt { label, enter } = prompt;
        match enter {
            Some(enter) => self.answer(&format!("{label} [{enter}]: ")),
            None => self.answer(&format!("{label}: ")),
        }
    }

    fn choose(&mut self, label: &str, items: &[String], default: usize) -> Result<usize, CliError> {
        for (index, item) in items.iter().enumerate() {
            self.term
                .write_line(&format!("  {} {item}", index + 1))
                .map_err(failed)?;
        }
        loop {
            let text = self.answer(&format!("{label} [{}]: ", default + 1))?;
            if text.is_empty() {
                return Ok(default);
            }
            let number = text.parse::<usize>().ok();
            match number.and_then(|it| it.checked_sub(1)) {
                Some(index) if index < items.len() => return Ok(index),
                _ => self.refuse(
                    &CliError::usage(format!("`{text}` is not a number of the list"))
                        .hint(format!("type a number from 1 to {}", items.len())),
                ),
            }
        }
    }

    fn refuse(&mut self, reason: &CliError) {
        self.printer.error(reason);
    }
}
