//! The bytes of the archive: GNU tar, which keeps every name as it is (the newer format wants UTF-8), packed into chunks.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use tar::{EntryType, Header};

use super::merge::Entry;
use super::{Extra, ExtraContent};
use crate::context::error::ContextError;
use crate::context::walk::{ContextFile, FileKind};

/// The time of every entry: the second day of 1980, because zip archives, which programs in an image may make of these
/// files, know no earlier year in any time zone.
const MODIFIED: u64 = 315_619_200;

/// How much is sent at once.
const CHUNK: usize = 64 * 1024;

/// The unit of the format.
const BLOCK: usize = 512;

/// Where the chunks go.
pub(super) trait Sink {
    /// Takes a chunk; false if nobody wants more.
    fn take(&mut self, chunk: Bytes) -> bool;
}

/// Why the archive was not finished.
pub(super) enum Stop {
    /// Nobody reads it any more.
    Unwanted,
    /// Something could not be read.
    Failed(ContextError),
}

impl From<ContextError> for Stop {
    fn from(error: ContextError) -> Self {
        Self::Failed(error)
    }
}

/// Writes entries to a sink.
pub(super) struct Writer<S> {
    root: PathBuf,
    sink: S,
    chunk: Vec<u8>,
}

impl<S: Sink> Writer<S> {
    /// A writer of the files in `root`.
    pub(super) fn new(root: PathBuf, sink: S) -> Self {
        Self {
            root,
            sink,
            chunk: Vec::with_capacity(CHUNK),
        }
    }

    /// Writes one entry with its content.
    pub(super) fn entry(&mut self, entry: Entry) -> Result<(), Stop> {
        match entry {
            Entry::Own(file) => self.own(&file),
            Entry::Added(extra) => self.added(extra),
            Entry::Folder { path, mode } => self.header(EntryType::Directory, &path, mode, 0),
        }
    }

    /// Writes the end and hands out the last chunk.
    pub(super) fn finish(mut self) -> Result<S, Stop> {
        self.write(&[0; 2 * BLOCK])?;
        self.flush()?;
        Ok(self.sink)
    }

    fn own(&mut self, file: &ContextFile) -> Result<(), Stop> {
        let ContextFile { path, kind, mode } = file;
        match kind {
            FileKind::Folder => self.header(EntryType::Directory, path, *mode, 0),
            FileKind::Pipe => self.header(EntryType::Fifo, path, *mode, 0),
            FileKind::Link { target } => {
                let mut header = new_header(EntryType::Symlink, 0o777, 0);
                self.long_name(EntryType::GNULongLink, target.as_os_str().as_bytes())?;
                put(
                    &mut header.as_old_mut().linkname,
                    target.as_os_str().as_bytes(),
                );
                self.named(header, path.as_os_str().as_bytes())
            }
            FileKind::File { len } => {
                // An empty file is not worth opening.
                let content = match len {
                    0 => None,
                    _ => {
                        Some(open(&self.root.join(path)).map_err(|error| unreadable(path, error))?)
                    }
                };
                self.header(EntryType::Regular, path, *mode, *len)?;
                match content {
                    Some(content) => self.content(path, &content, *len),
                    None => Ok(()),
                }
            }
        }
    }

    fn added(&mut self, extra: Extra) -> Result<(), Stop> {
        let Extra {
            path,
            content,
            mode,
        } = extra;
        match content {
            ExtraContent::Bytes(bytes) => {
                self.header(EntryType::Regular, &path, mode, bytes.len() as u64)?;
                self.write(&bytes)?;
                self.pad(bytes.len() as u64)
            }
            ExtraContent::File(source) => {
                let failed = |error| ContextError::file(&source, error);
                let content = File::open(&source).map_err(failed)?;
                let metadata = content.metadata().map_err(failed)?;
                if !metadata.is_file() {
                    return Err(failed(io::ErrorKind::InvalidInput.into()).into());
                }
                self.header(EntryType::Regular, &path, mode, metadata.len())?;
                self.content(&source, &content, metadata.len())
            }
        }
    }

    fn header(&mut self, kind: EntryType, path: &Path, mode: u32, len: u64) -> Result<(), Stop> {
        let header = new_header(kind, mode, len);
        let path = path.as_os_str().as_bytes();
        if kind == EntryType::Directory {
            self.named(header, &[path, b"/"].concat())
        } else {
            self.named(header, path)
        }
    }

    /// Writes `header` under the name `name`.
    fn named(&mut self, mut header: Header, name: &[u8]) -> Result<(), Stop> {
        self.long_name(EntryType::GNULongName, name)?;
        put(&mut header.as_old_mut().name, name);
        header.set_cksum();
        self.write(header.as_bytes())
    }

    /// Writes `name` as an entry of its own, if it is too long for the header that follows.
    fn long_name(&mut self, kind: EntryType, name: &[u8]) -> Result<(), Stop> {
        let mut header = new_header(kind, 0o644, name.len() as u64 + 1);
        if name.len() <= header.as_old().name.len() {
            return Ok(());
        }
        put(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_cksum();
        self.write(header.as_bytes())?;
        self.write(name)?;
        self.write(&[0])?;
        self.pad(name.len() as u64 + 1)
    }

    /// Writes exactly `len` bytes of `file`. What was added to its end since `len` was read is not sent.
    fn content(&mut self, path: &Path, file: &File, len: u64) -> Result<(), Stop> {
        let mut left = len;
        while left > 0 {
            let before = self.chunk.len();
            let read = retry_on_intr(|| rustix::io::read(file, spare_capacity(&mut self.chunk)))
                .map_err(|error| ContextError::file(path, error.into()))?;
            if read == 0 {
                return Err(ContextError::changed(path).into());
            }
            let taken = left.min(read as u64);
            self.chunk
                .truncate(before + usize::try_from(taken).unwrap_or(read));
            left -= taken;
            self.send_if_full()?;
        }
        self.pad(len)
    }

    /// Fills the block that `len` bytes end in.
    fn pad(&mut self, len: u64) -> Result<(), Stop> {
        let over = usize::try_from(len % BLOCK as u64).unwrap_or(0);
        if over == 0 {
            return Ok(());
        }
        self.write(&[0; BLOCK][over..])
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let (now, later) =
                bytes.split_at(bytes.len().min(self.chunk.capacity() - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            self.send_if_full()?;
        }
        Ok(())
    }

    fn send_if_full(&mut self) -> Result<(), Stop> {
        if self.chunk.len() < self.chunk.capacity() {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let full = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        if full.is_empty() || self.sink.take(full.into()) {
            Ok(())
        } else {
            Err(Stop::Unwanted)
        }
    }
}

/// A header that says nothing of this machine and its people.
fn new_header(kind: EntryType, mode: u32, len: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MODIFIED);
    header.set_size(len);
    header
}

/// Writes as much of `text` as there is room for.
fn put(field: &mut [u8], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// Opens a file that was one when it was listed. Should it be a link or a pipe by now, nothing is followed and nobody is
/// waited for.
fn open(path: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from)
}

fn unreadable(path: &Path, error: Errno) -> ContextError {
    match error {
        Errno::NOENT | Errno::LOOP | Errno::NOTDIR => ContextError::changed(path),
        error => ContextError::file(path, error.into()),
    }
}
