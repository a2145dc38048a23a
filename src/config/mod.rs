//! Where settings come from and where they are kept: the environment, the project file, the state beside it.
//!
//! The only folder that reads the environment and the project file.

pub(crate) mod change;
pub(crate) mod cross;
pub(crate) mod entrypoint;
pub(crate) mod env;
#[cfg(test)]
mod file_tests;
pub(crate) mod project;
pub(crate) mod shared;
pub(crate) mod state;
pub(crate) mod toolkit;
pub(crate) mod write;
pub(crate) mod yaml;
