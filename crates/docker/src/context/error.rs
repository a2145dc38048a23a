//! Why a build context could not be listed or sent.

use std::io;
use std::path::{Path, PathBuf};

/// Why a build context could not be listed or sent. Paths are relative to the folder of the context.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// A folder cannot be listed.
    #[error("cannot read the folder `{}`", path.display())]
    Folder {
        /// The folder; the context's own as it was given.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file or link cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file became shorter, went away or became something else while the context was read.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file was to be added at a path that cannot be in a context.
    #[error("`{}` cannot be added to the context", path.display())]
    Misplaced {
        /// The path.
        path: PathBuf,
    },
}

impl ContextError {
    pub(super) fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn changed(path: &Path) -> Self {
        Self::Changed {
            path: path.to_owned(),
        }
    }

    /// What the user can do about it, in the imperative.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Folder { .. } | Self::File { .. } => {
                Some("make it readable, or name it in `.dockerignore`")
            }
            Self::Changed { .. } => Some(
                "run the command again when nothing writes to it, or name it in `.dockerignore`",
            ),
            Self::Misplaced { .. } => None,
        }
    }
}

/// As an error of a stream; the [`ContextError`] is found in it again by `get_ref` and `downcast_ref`.
impl From<ContextError> for io::Error {
    fn from(error: ContextError) -> Self {
        let kind = match &error {
            ContextError::Folder { source, .. } | ContextError::File { source, .. } => {
                source.kind()
            }
            ContextError::Changed { .. } => io::ErrorKind::UnexpectedEof,
            ContextError::Misplaced { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}
