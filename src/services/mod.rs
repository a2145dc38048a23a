//! The work behind the commands: what is sent, built, started, found and stopped.
//!
//! Nothing here prints, asks or reads the environment: values come in, values and errors go out.

pub(crate) mod cargo;
pub(crate) mod elf;
pub(crate) mod env_file;
pub(crate) mod host_binary;
pub(crate) mod image;
pub(crate) mod invoke;
pub(crate) mod local;
pub(crate) mod payload;
pub(crate) mod python;
pub(crate) mod refusal;
pub(crate) mod source_files;
