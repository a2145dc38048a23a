//! The surroundings of one run: where it prints, which environment it saw, where it stands.
//!
//! Built once in `run` and only read after that; nothing else asks the process for these.

use std::path::PathBuf;

use crate::config::env::Env;
use crate::error::CliError;
use crate::ui::printer::Printer;
use crate::ui::progress::Progress;

/// What every command is given first.
#[derive(Debug)]
pub(crate) struct Context {
    /// The only way to stdout and stderr.
    pub(crate) printer: Printer,
    /// The environment variables, read once.
    pub(crate) env: Env,
    /// The folder that typed paths are relative to.
    pub(crate) cwd: PathBuf,
}

impl Context {
    /// Reads the process's environment and folder.
    pub(crate) fn new(printer: Printer) -> Result<Self, CliError> {
        let cwd = std::env::current_dir().map_err(|error| {
            CliError::other("cannot tell the current folder")
                .caused_by(error)
                .hint("change to a folder that exists and run the command again")
        })?;
        Ok(Self {
            printer,
            env: Env::from_process(),
            cwd,
        })
    }

    /// Where long steps are shown. In CI nobody watches, terminal or not.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new(self.printer, !self.env.is_ci())
    }
}
