//! The files of a context and what is added to them, in one order: each path once, each folder before what is in it.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoIter;
use std::iter::Peekable;
use std::path::{Component, Path, PathBuf};

use super::{Extra, ExtraContent};
use crate::context::error::ContextError;
use crate::context::walk::{ContextFile, FileKind};

/// The mode of folders that exist only because something is added in them.
const FOLDER_MODE: u32 = 0o755;

/// One entry of the archive.
#[derive(Debug)]
pub(super) enum Entry {
    /// From the folder of the context.
    Own(ContextFile),
    /// Added to it.
    Added(Extra),
    /// A folder on the way to something that is added.
    Folder {
        /// Relative to the root of the context.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Joins both. The files must come in the order of their paths; what is added replaces a file of the same path.
pub(super) struct Merge<I: Iterator> {
    files: Peekable<I>,
    extras: Peekable<IntoIter<PathBuf, (ExtraContent, u32)>>,
    /// The last folder that was passed on: it and all above it are in the archive.
    folder: PathBuf,
}

impl<I> Merge<I>
where
    I: Iterator<Item = Result<ContextFile, ContextError>>,
{
    /// # Errors
    ///
    /// Fails if a path among `extras` is not one that a context can have, or lies in another one.
    pub(super) fn new(files: I, extras: Vec<Extra>) -> Result<Self, ContextError> {
        let mut sorted = BTreeMap::new();
        for Extra {
            path,
            content,
            mode,
        } in extras
        {
            sorted.insert(path, (content, mode));
        }
        for path in sorted.keys() {
            let in_another = path.ancestors().skip(1).any(|it| sorted.contains_key(it));
            if in_another || !is_plain(path) {
                return Err(misplaced(path));
            }
        }
        Ok(Self {
            files: files.peekable(),
            extras: sorted.into_iter().peekable(),
            folder: PathBuf::new(),
        })
    }

    fn advance(&mut self) -> Result<Option<Entry>, ContextError> {
        let Some((path, _)) = self.extras.peek() else {
            return self.own();
        };
        match self.files.peek() {
            Some(Err(_)) => return self.own(),
            Some(Ok(file)) => {
                let is_folder = file.kind == FileKind::Folder;
                // A file where a folder is needed, or a folder where a file is added.
                if is_folder && file.path == *path
                    || !is_folder && file.path != *path && path.starts_with(&file.path)
                {
                    return Err(misplaced(path));
                }
                if file.path < *path {
                    return self.own();
                }
                if file.path == *path {
                    self.files.next();
                }
            }
            None => {}
        }
        Ok(self.added())
    }

    fn own(&mut self) -> Result<Option<Entry>, ContextError> {
        let Some(file) = self.files.next().transpose()? else {
            return Ok(None);
        };
        if file.kind == FileKind::Folder {
            self.folder.clone_from(&file.path);
        }
        Ok(Some(Entry::Own(file)))
    }

    /// What is added next, or a folder that it needs first.
    fn added(&mut self) -> Option<Entry> {
        let (path, _) = self.extras.peek()?;
        let missing = path
            .ancestors()
            .skip(1)
            .take_while(|it| !self.folder.starts_with(it))
            .last();
        if let Some(folder) = missing {
            self.folder = folder.to_owned();
            return Some(Entry::Folder {
                path: folder.to_owned(),
                mode: FOLDER_MODE,
            });
        }
        let (path, (content, mode)) = self.extras.next()?;
        Some(Entry::Added(Extra {
            path,
            content,
            mode,
        }))
    }
}

impl<I> Iterator for Merge<I>
where
    I: Iterator<Item = Result<ContextFile, ContextError>>,
{
    type Item = Result<Entry, ContextError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// Whether `path` is made of names alone.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|it| matches!(it, Component::Normal(_)))
}

fn misplaced(path: &Path) -> ContextError {
    ContextError::Misplaced {
        path: path.to_owned(),
    }
}
