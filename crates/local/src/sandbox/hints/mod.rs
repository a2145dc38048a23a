//! What to do about causes that are known: a table from what agents, servers and systems write to advice.
//!
//! It reads text and guesses nothing: what is in no row gets no hint. Advice is for whoever runs the agent, and names the
//! option or file that helps.

mod advice;

use super::container::Listening;
use crate::error::EndCause;

/// Only these last lines speak of the end; what came before may have been survived.
const LAST_LINES: usize = 40;

/// What is known of a sandbox that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'a> {
    pub(crate) setting: Setting,
    pub(crate) cause: &'a EndCause,
    /// Its last lines, oldest first.
    pub(crate) lines: &'a [String],
    /// Where something listens inside, as far as that is known.
    pub(crate) listening: Option<&'a Listening>,
}

/// What kind of sandbox it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Process,
    Container {
        /// The port that it must listen on.
        port: u16,
        /// Whether its root file system is read-only.
        read_only: bool,
    },
}

/// One row: what a line must contain, and what follows from it.
struct Known {
    /// Any of these, in lower case, in a line of any case.
    signs: &'static [&'static str],
    advice: Advice,
}

/// What follows from a line.
enum Advice {
    /// The same for every line that fits.
    Fixed(fn(Setting) -> &'static str),
    /// It depends on the line, which may also mean something else here.
    Read(fn(&str, Setting) -> Option<String>),
}

use Advice::{Fixed, Read};

/// The first row that fits a line is taken, so the more exact ones stand first.
const TABLE: &[Known] = &[
    Known {
        signs: &["exec format error"],
        advice: Fixed(advice::architecture),
    },
    Known {
        signs: &["modulenotfounderror: no module named"],
        advice: Read(advice::module),
    },
    Known {
        signs: &[
            "cannot open shared object file",
            "error loading shared library",
        ],
        advice: Read(advice::library),
    },
    Known {
        signs: &[
            "nocredentialserror",
            "unable to locate credentials",
            "credentialsnotloaded",
            "could not load credentials from any providers",
            "no credentials in the property bag",
            "the credential provider was not enabled",
            "no providers in chain provided credentials",
        ],
        advice: Fixed(advice::credentials),
    },
    Known {
        signs: &[
            "expiredtoken",
            "the security token included in the request is expired",
        ],
        advice: Fixed(advice::expired),
    },
    Known {
        signs: &["noregionerror", "you must specify a region"],
        advice: Fixed(advice::region),
    },
    Known {
        signs: &[
            "read-only file system",
            "attempt to write a readonly database",
        ],
        advice: Read(advice::read_only),
    },
    Known {
        signs: &["no space left on device"],
        advice: Fixed(advice::disk),
    },
    Known {
        signs: &[
            "executable file not found in $path",
            "container process caused: exec:",
            "container process: exec:",
            "[fatal tini",
        ],
        advice: Read(advice::no_program),
    },
    Known {
        signs: &[
            "can't start new thread",
            "fork: retry: resource temporarily unavailable",
        ],
        advice: Read(advice::processes),
    },
    Known {
        signs: &["cannot allocate memory", "signal 9 (sigkill)"],
        advice: Read(advice::memory),
    },
    Known {
        signs: &["operation not permitted"],
        advice: Read(advice::capability),
    },
    Known {
        signs: &["permission denied"],
        advice: Read(advice::permission),
    },
];

impl Evidence<'_> {
    /// Returns what to do, if that is known.
    pub(crate) fn hint(&self) -> Option<String> {
        let by_log = || {
            let last = self.lines.len().saturating_sub(LAST_LINES);
            let newest_first = self.lines[last..].iter().rev();
            newest_first
                .map(String::as_str)
                .find_map(|line| of_line(line, self.setting))
        };
        match self.cause {
            EndCause::OutOfMemory { .. } => {
                Some("make it need less: in the cloud a session has 8 GB".to_owned())
            }
            EndCause::Unreachable { .. } => self.by_listening(),
            // What listens is what keeps it from answering; its log may be about anything.
            EndCause::StartTimedOut { .. } => self.by_listening().or_else(by_log),
            EndCause::NotStarted { error } => of_line(error, self.setting).or_else(by_log),
            EndCause::Exited { .. } | EndCause::Signalled { .. } => by_log(),
            EndCause::EngineGone { .. } | EndCause::EngineAway { .. } => {
                Some("start the Docker engine again; the next call gets a new sandbox".to_owned())
            }
            EndCause::Removed
            | EndCause::Unresponsive
            | EndCause::Idle { .. }
            | EndCause::MaxLifetime { .. }
            | EndCause::Stopped
            | EndCause::FrontDoorEnded => None,
        }
    }

    fn by_listening(&self) -> Option<String> {
        let Setting::Container { port, .. } = self.setting else {
            return None;
        };
        let listening = self.listening?;
        if let Some(address) = listening.only_inside(port) {
            return Some(advice::bound_inside(address, port));
        }
        listening
            .elsewhere(port)
            .map(|address| advice::other_port(address, port))
    }
}

/// Returns what to do about one line, or about an error that an agent answered.
pub(crate) fn of_line(line: &str, setting: Setting) -> Option<String> {
    let lower = line.to_ascii_lowercase();
    let fits = |known: &&Known| known.signs.iter().any(|sign| lower.contains(sign));
    TABLE
        .iter()
        .filter(fits)
        .find_map(|known| match known.advice {
            Fixed(advice) => Some(advice(setting).to_owned()),
            Read(advice) => advice(line, setting),
        })
}

#[cfg(test)]
mod tests;
