//! What runs already of the agent that is to be launched: refused, or replaced at the right moment.

use super::settings::Settings;
use crate::commands::chosen::Chosen;
use crate::context::Context;
use crate::error::CliError;
use crate::services::local::ask;
use crate::services::local::door::DoorError;
use crate::services::local::plan::Port;
use crate::services::local::record::{Presence, Record};
use crate::services::local::stop;

/// What runs already, and is to be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Starting,
    Running(Record),
}

impl Before {
    /// Tells what runs already.
    ///
    /// # Errors
    ///
    /// Fails if something does and is not to be replaced.
    pub(super) fn of(settings: &Settings) -> Result<Self, CliError> {
        let Settings {
            chosen, restart, ..
        } = settings;
        let before = match chosen.places().look().map_err(DoorError::State)? {
            Presence::Absent | Presence::Stale(_) => return Ok(Self::Nothing),
            Presence::Starting => Self::Starting,
            Presence::Running(record) => Self::Running(record),
        };
        if *restart {
            return Ok(before);
        }
        let record = match before {
            Self::Running(record) => Some(Box::new(record)),
            Self::Starting | Self::Nothing => None,
        };
        if let Some(record) = &record
            && ask::ask(record).is_err()
            && ask::has_died(&chosen.places()).map_err(DoorError::State)?
        {
            return Ok(Self::Nothing);
        }
        Err(DoorError::AlreadyRunning {
            agent: chosen.name.to_string(),
            record,
        }
        .into())
    }

    /// Ends it, now that what replaces it is ready to start.
    pub(super) fn end(&self, ctx: &Context, chosen: &Chosen) -> Result<(), CliError> {
        if *self != Self::Nothing {
            ctx.printer.status("Stopping the one that runs.");
            stop::stop(&chosen.places(), &chosen.orphan_mark())?;
        }
        Ok(())
    }

    /// Where to listen: as asked for, otherwise where callers know it.
    pub(super) fn port(&self, asked: Option<u16>) -> Port {
        match (asked, self) {
            (Some(port), _) => Port::Only(port),
            (None, Self::Running(record)) => Port::Preferably(record.port),
            (None, Self::Starting | Self::Nothing) => Port::FirstFree,
        }
    }
}
