//! The archive that carries a build context to the engine.
//!
//! The same files give the same bytes, on every machine: entries are sorted, and owners and times are always the same.
//! Permission bits are kept as they are, and so are names and link targets, whatever bytes they are made of. A file with
//! several names is sent once for each. Files are read while the archive is sent, in a thread of its own that never gets
//! more than a few chunks ahead, and that ends when the archive is no longer wanted.

mod merge;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use tokio::sync::mpsc;

use super::error::ContextError;
use super::walk::ContextFile;
use merge::Merge;
use writer::{Sink, Stop, Writer};

/// How many chunks may wait for the engine.
const AHEAD: usize = 4;

/// A file that is added to a context, or replaces one there.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Where it is in the context.
    pub path: PathBuf,
    /// What is in it.
    pub content: ExtraContent,
    /// Its permission bits.
    pub mode: u32,
}

/// What is in an added file.
#[derive(Clone, Debug)]
pub enum ExtraContent {
    /// What is in this file of this machine.
    File(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A chunk, or the end of the archive. Only that tells a whole archive from one whose thread died.
type Message = io::Result<Option<Bytes>>;

/// Archives `files`, which are in `root` and in the order of their paths, and `extras`.
///
/// An error is the last item of the stream; it is a [`ContextError`] inside. Nothing is sent after it, so that an archive
/// with a file missing never looks complete.
pub fn archive<I>(
    root: &Path,
    files: I,
    extras: Vec<Extra>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<I>
where
    I: Iterator<Item = Result<ContextFile, ContextError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(AHEAD);
    let root = root.to_owned();
    let thread = std::thread::Builder::new().name("build context".to_owned());
    // Not a task of the runtime: a runtime that shuts down would wait for a slow disk.
    let started = thread.spawn(move || send(root, files, extras, sender));
    stream::unfold(Some((started.err(), receiver)), |state| async move {
        let (failed, mut receiver) = state?;
        if let Some(error) = failed {
            return Some((Err(error), None));
        }
        match receiver.recv().await {
            Some(Ok(Some(chunk))) => Some((Ok(chunk), Some((None, receiver)))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((
                Err(io::Error::other("the context was not read to its end")),
                None,
            )),
        }
    })
}

impl Sink for mpsc::Sender<Message> {
    fn take(&mut self, chunk: Bytes) -> bool {
        self.blocking_send(Ok(Some(chunk))).is_ok()
    }
}

fn send<I>(root: PathBuf, files: I, extras: Vec<Extra>, sender: mpsc::Sender<Message>)
where
    I: Iterator<Item = Result<ContextFile, ContextError>>,
{
    let end = sender.clone();
    let last = match write(files, extras, Writer::new(root, sender)) {
        Ok(_) => Ok(None),
        Err(Stop::Failed(error)) => Err(error.into()),
        Err(Stop::Unwanted) => return,
    };
    // Nobody may be there to hear it.
    let _ = end.blocking_send(last);
}

fn write<I, S: Sink>(files: I, extras: Vec<Extra>, mut writer: Writer<S>) -> Result<S, Stop>
where
    I: Iterator<Item = Result<ContextFile, ContextError>>,
{
    for entry in Merge::new(files, extras)? {
        writer.entry(entry?)?;
    }
    writer.finish()
}
