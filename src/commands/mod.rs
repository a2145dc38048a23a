//! One command is one file with four beats: arguments → settings → service → report.

pub(crate) mod chosen;
pub(crate) mod configure;
pub(crate) mod front_door;
pub(crate) mod invoke;
pub(crate) mod launch;
mod live;
pub(crate) mod logs;
pub(crate) mod serve;
mod signals;
pub(crate) mod status;
pub(crate) mod stop;
