//! The build context: which files of a folder an image is built from, and the archive that carries them.
//!
//! [`IgnoreRules`] are the rules of a `.dockerignore` file, [`files()`] lists what they let through, [`archive()`] makes the
//! stream that an engine builds from. Nothing here decides what the rules are.

mod archive;
mod error;
mod ignore;
mod walk;

pub use archive::{Extra, ExtraContent, archive};
pub use error::ContextError;
pub use ignore::{IgnoreRules, InvalidPattern};
pub use walk::{ContextFile, FileKind, Files, Opinion, files};
