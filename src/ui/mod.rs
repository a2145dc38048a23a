//! Everything that reaches the terminal: the only folder that prints.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod detached;
pub(crate) mod log_lines;
pub(crate) mod printer;
pub(crate) mod progress;
pub(crate) mod usage;
