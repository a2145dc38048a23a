//! The list of the files of a context: sorted, and read folder by folder as it is asked for.
//!
//! Links are listed, never followed. Of the tree only the names in the folders on the way to the current file are held. A
//! folder that is left out is not opened unless an exception may match something in it; it is listed itself only when
//! something in it is, before it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::vec;

use super::error::ContextError;
use super::ignore::{IgnoreRules, Matched, Verdict};

/// One entry of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextFile {
    /// The path, relative to the folder of the context.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// The permission bits, those for set-user-id and the like with them.
    pub mode: u32,
}

/// What an entry of a context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File {
        /// Its size in bytes when it was listed.
        len: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// What it points to, as it stands in the link.
        target: PathBuf,
    },
    /// A named pipe. What is in it, if anything, is not part of the context.
    Pipe,
}

/// What a second judge says of a file that the rules let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It belongs to the context.
    Keep,
    /// It is left out, and a folder with everything in it.
    LeaveOut,
    /// The folder is left out, but something in it may be kept.
    LookInside,
}

/// Judges what the rules let through; see [`Files::unless`].
type Judge = Box<dyn FnMut(&ContextFile) -> Opinion + Send>;

/// Lists the files of the context in `root`, which must be a folder.
///
/// Sockets are left out, as Docker does, and so are devices, which Docker sends: an image is no way to open a device of the
/// machine that it runs on. After an error the list ends.
pub fn files(root: &Path, rules: &IgnoreRules) -> Files {
    Files {
        root: root.to_owned(),
        rules: rules.clone(),
        judge: None,
        state: State::New,
        open: Vec::new(),
        ready: VecDeque::new(),
    }
}

/// The iterator that [`files()`] returns.
pub struct Files {
    root: PathBuf,
    rules: IgnoreRules,
    judge: Option<Judge>,
    state: State,
    open: Vec<Folder>,
    ready: VecDeque<ContextFile>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    New,
    Reading,
    Failed,
}

/// A folder that is being read.
struct Folder {
    path: PathBuf,
    names: vec::IntoIter<(OsString, FileType)>,
    matched: Matched,
    /// The folder's own entry, if it is to be listed with the first file in it.
    waiting: Option<ContextFile>,
}

impl Files {
    /// Asks `judge` too, for every entry that the rules let through, before it is listed.
    #[must_use]
    pub fn unless(mut self, judge: impl FnMut(&ContextFile) -> Opinion + Send + 'static) -> Self {
        self.judge = Some(Box::new(judge));
        self
    }

    fn advance(&mut self) -> Result<Option<ContextFile>, ContextError> {
        if self.state == State::New {
            self.state = State::Reading;
            let root = self.root.clone();
            let names = names(&root).map_err(|error| ContextError::folder(&root, error))?;
            self.open.push(Folder {
                path: PathBuf::new(),
                names,
                matched: Matched::default(),
                waiting: None,
            });
        }
        loop {
            if let Some(file) = self.ready.pop_front() {
                return Ok(Some(file));
            }
            let Some(folder) = self.open.last_mut() else {
                return Ok(None);
            };
            match folder.names.next() {
                Some((name, kind)) => {
                    let path = folder.path.join(name);
                    self.look_at(path, kind)?;
                }
                None => {
                    self.open.pop();
                }
            }
        }
    }

    /// Puts `path` on the list, opens it, or passes it by.
    fn look_at(&mut self, path: PathBuf, kind: FileType) -> Result<(), ContextError> {
        let Some(parent) = self.open.last() else {
            return Ok(());
        };
        let bytes = path.as_os_str().as_bytes();
        if !kind.is_dir() {
            if self.rules.verdict(bytes, &parent.matched) != Verdict::Kept {
                return Ok(());
            }
            return match self.describe(path)? {
                Some(file) => self.add(file),
                None => Ok(()),
            };
        }
        let (verdict, matched) = self.rules.folder_verdict(bytes, &parent.matched);
        let waits = match verdict {
            Verdict::Kept => false,
            Verdict::Excluded { by } if self.rules.may_keep_below(bytes, by) => true,
            Verdict::Excluded { .. } => return Ok(()),
        };
        let Some(file) = self.describe(path)? else {
            return Ok(());
        };
        self.enter(file, matched, waits)
    }

    fn add(&mut self, file: ContextFile) -> Result<(), ContextError> {
        if file.kind == FileKind::Folder {
            // It was none a moment ago, and what is in it has not been asked for.
            return Err(ContextError::changed(&file.path));
        }
        if self.opinion(&file) == Opinion::Keep {
            self.list(file);
        }
        Ok(())
    }

    fn enter(
        &mut self,
        file: ContextFile,
        matched: Matched,
        waits: bool,
    ) -> Result<(), ContextError> {
        if file.kind != FileKind::Folder {
            // It was a folder a moment ago.
            return Err(ContextError::changed(&file.path));
        }
        let opinion = self.opinion(&file);
        if opinion == Opinion::LeaveOut {
            return Ok(());
        }
        let names = match names(&self.root.join(&file.path)) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ContextError::folder(&file.path, error)),
        };
        let path = file.path.clone();
        let waits = waits || opinion == Opinion::LookInside;
        let waiting = if waits {
            Some(file)
        } else {
            self.list(file);
            None
        };
        self.open.push(Folder {
            path,
            names,
            matched,
            waiting,
        });
        Ok(())
    }

    fn opinion(&mut self, file: &ContextFile) -> Opinion {
        self.judge
            .as_mut()
            .map_or(Opinion::Keep, |judge| judge(file))
    }

    /// Lists `file`, after those of its folders that have waited for it.
    fn list(&mut self, file: ContextFile) {
        let waiting = self
            .open
            .iter_mut()
            .filter_map(|folder| folder.waiting.take());
        self.ready.extend(waiting);
        self.ready.push_back(file);
    }

    /// Reads what is to be known of the file; nothing if it has gone since its folder was read, or is of a kind that no
    /// context has.
    fn describe(&self, path: PathBuf) -> Result<Option<ContextFile>, ContextError> {
        let full = self.root.join(&path);
        match read_entry(&full) {
            Ok(Some((kind, metadata))) => Ok(Some(ContextFile {
                path,
                kind,
                mode: metadata.mode() & 0o7777,
            })),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ContextError::file(&path, error)),
        }
    }
}

impl Iterator for Files {
    type Item = Result<ContextFile, ContextError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Failed {
            return None;
        }
        let next = self.advance().transpose();
        if matches!(next, Some(Err(_))) {
            self.state = State::Failed;
        }
        next
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("root", &self.root)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn read_entry(path: &Path) -> io::Result<Option<(FileKind, Metadata)>> {
    let metadata = fs::symlink_metadata(path)?;
    let file_type = metadata.file_type();
    let kind = if file_type.is_file() {
        FileKind::File {
            len: metadata.len(),
        }
    } else if file_type.is_dir() {
        FileKind::Folder
    } else if file_type.is_symlink() {
        FileKind::Link {
            target: fs::read_link(path)?,
        }
    } else if file_type.is_fifo() {
        FileKind::Pipe
    } else {
        return Ok(None);
    };
    Ok(Some((kind, metadata)))
}

/// The names in a folder, in the order of their bytes.
fn names(folder: &Path) -> io::Result<vec::IntoIter<(OsString, FileType)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) => names.push((entry.file_name(), kind)),
            // Gone since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names.into_iter())
}
