//! Questions on a terminal that can move its cursor: a line editor for text, `dialoguer`'s menu for choices.

use std::fmt;
use std::io;

use dialoguer::Select;
use dialoguer::console::{Style, Term, measure_text_width, truncate_str};
use dialoguer::theme::Theme;

use super::interrupts::Interrupts;
use super::line::{Line, Next, View};
use super::session::Session;
use super::{Asker, Prompt, failed, stopped};
use crate::error::CliError;
use crate::ui::printer::Printer;

/// A terminal with less room than this beside the question is given the next line to type on.
const LEAST_ROOM: usize = 20;
/// What stands before the text there.
const MARK: &str = "> ";

/// How a menu is used.
const KEYS: &str = "(arrow keys, then Enter)";

/// A terminal, set up for questions.
pub(super) struct Terminal {
    term: Term,
    printer: Printer,
    /// Before the session, so that no signal disturbs the end of that.
    _interrupts: Interrupts,
    session: Session,
}

impl Terminal {
    /// Sets the terminal up.
    pub(super) fn begin(printer: Printer) -> io::Result<Self> {
        Ok(Self {
            term: Term::stderr(),
            printer,
            _interrupts: Interrupts::begin()?,
            session: Session::begin()?,
        })
    }

    /// Reads keys until the line is complete; the question or `before` it stands on the same row.
    fn read(&self, before: &str) -> io::Result<Option<Line>> {
        let mut line = Line::default();
        loop {
            self.draw(before, &line)?;
            match line.press(&self.term.read_key_raw()?) {
                Next::Key => {}
                Next::Done => return Ok(Some(line)),
                Next::Stop => return Ok(None),
            }
        }
    }

    /// Draws the row anew. What does not fit is not shown, so there is always one row and no more.
    fn draw(&self, before: &str, line: &Line) -> io::Result<()> {
        let used = measure_text_width(before);
        let View { text, cursor } = line.view(self.columns().saturating_sub(used));
        let right = used + cursor;
        let moved = if right == 0 {
            String::new()
        } else {
            format!("\x1b[{right}C")
        };
        self.term
            .write_str(&format!("\r{before}{text}\x1b[K\r{moved}"))
    }

    fn columns(&self) -> usize {
        self.term.size().1.into()
    }

    fn ask(&self, prompt: Prompt<'_>) -> io::Result<Option<String>> {
        let question = question(prompt);
        let beside = measure_text_width(&question) + LEAST_ROOM <= self.columns();
        let (before, answered) = if beside {
            (question.as_str(), format!("{}: ", prompt.label))
        } else {
            self.term.write_line(question.trim_end())?;
            (MARK, MARK.to_owned())
        };
        let Some(line) = self.read(before)? else {
            return Ok(None);
        };
        let text = line.text();
        let shown = match prompt.enter {
            Some(enter) if text.is_empty() => enter,
            _ => &text,
        };
        let shown = answer_style().apply_to(shown);
        self.term
            .write_line(&format!("\r\x1b[K{answered}{shown}"))?;
        Ok(Some(text))
    }

    /// Begins a new row for what is said next, and keeps what was typed ahead from the shell.
    fn stop(&mut self) -> CliError {
        self.session.discard_rest();
        // A terminal that cannot be written to has no rows.
        let _ = self.term.write_line("");
        stopped()
    }
}

impl Asker for Terminal {
    fn line(&mut self, prompt: Prompt<'_>) -> Result<String, CliError> {
        match self.ask(prompt) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(self.stop()),
            Err(error) => {
                self.stop();
                Err(failed(error))
            }
        }
    }

    fn choose(&mut self, label: &str, items: &[String], default: usize) -> Result<usize, CliError> {
        // A row that wraps would be counted as one and stay on the screen.
        let columns = self.columns();
        let room = columns.saturating_sub(MARK.len() + 1);
        let rows = items.iter().map(|it| truncate_str(it, room, "…"));
        let chosen = Select::with_theme(&Look { columns })
            .with_prompt(label)
            .items(rows)
            .default(default)
            .report(false)
            .interact_on(&self.term)
            .map_err(|dialoguer::Error::IO(error)| error)
            .and_then(|index| {
                let shown = answer_style().apply_to(&items[index]);
                self.term.write_line(&format!("{label}: {shown}"))?;
                Ok(index)
            });
        chosen.map_err(|error| {
            self.stop();
            failed(error)
        })
    }

    fn refuse(&mut self, reason: &CliError) {
        self.printer.error(reason);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A menu that was left hides it.
        let _ = self.term.show_cursor();
    }
}

/// `Label [what Enter stands for]: `.
fn question(prompt: Prompt<'_>) -> String {
    let Prompt { label, enter } = prompt;
    match enter {
        Some(enter) => {
            let shown = faint_style().apply_to(format!("[{enter}]"));
            format!("{label} {shown}: ")
        }
        None => format!("{label}: "),
    }
}

fn faint_style() -> Style {
    Style::new().for_stderr().dim()
}

fn answer_style() -> Style {
    Style::new().for_stderr().cyan()
}

/// Menus that look like the other questions.
struct Look {
    columns: usize,
}

impl Theme for Look {
    fn format_select_prompt(&self, f: &mut dyn fmt::Write, prompt: &str) -> fmt::Result {
        if prompt.len() + KEYS.len() + 2 < self.columns {
            write!(f, "{prompt} {}:", faint_style().apply_to(KEYS))
        } else {
            write!(f, "{prompt}:")
        }
    }

    fn format_select_prompt_item(
        &self,
        f: &mut dyn fmt::Write,
        text: &str,
        active: bool,
    ) -> fmt::Result {
        if active {
            write!(f, "{}", answer_style().apply_to(format!("{MARK}{text}")))
        } else {
            write!(f, "  {text}")
        }
    }
}
