//! The front door of this machine, as the commands see it: planned, started (here or in the background), found again
//! by its record, asked, logged and stopped.
//!
//! What happens behind the front door is the `agentcore-local` crate's matter.

pub(crate) mod ask;
pub(crate) mod build_log;
pub(crate) mod detach;
pub(crate) mod door;
pub(crate) mod environment;
pub(crate) mod log_entry;
pub(crate) mod log_file;
pub(crate) mod orphans;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod spec;
pub(crate) mod stop;
mod traces;
