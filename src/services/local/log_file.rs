//! The log of a front door's sandboxes: one JSON object a line, written by the front door, read and followed by `logs`.
//!
//! The file is turned over when it is large: one earlier file is kept beside it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::log_entry::Entry;
use super::record::make_parent;

/// The size at which the file is turned over, in bytes.
const LARGE: u64 = 16 * 1024 * 1024;

/// The writing end. Shared by everything that happens in a front door.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    open: Mutex<Open>,
    large: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

impl LogFile {
    /// Opens the file at `path` to add to it.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be made.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, LARGE)
    }

    fn with_limit(path: &Path, large: u64) -> io::Result<Self> {
        make_parent(path)?;
        Ok(Self {
            path: path.to_owned(),
            open: Mutex::new(Open::at(path)?),
            large,
        })
    }

    /// Adds `entry`.
    ///
    /// # Errors
    ///
    /// Fails if the file system does not take it; the next entry is tried again.
    pub(crate) fn append(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        // A panic elsewhere cannot leave half a line: a line is one write.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.size > 0 && open.size + line.len() as u64 > self.large {
            fs::rename(&self.path, earlier(&self.path))?;
            *open = Open::at(&self.path)?;
        }
        open.file.write_all(&line)?;
        open.size += line.len() as u64;
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        // What an agent writes is its user's alone.
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

/// The reading end: everything that was written so far, then what is added.
#[derive(Debug)]
pub(crate) struct Reader {
    path: PathBuf,
    /// Files to read to their end, the one that is written to last.
    files: VecDeque<Source>,
}

#[derive(Debug)]
struct Source {
    lines: BufReader<File>,
    inode: u64,
    /// The beginning of a line whose end has not been written yet.
    begun: Vec<u8>,
}

impl Reader {
    /// Opens the log at `path`; `None` if nothing was ever logged.
    ///
    /// # Errors
    ///
    /// Fails if there is a log and it cannot be read.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let found = [Source::open(&earlier(path))?, Source::open(path)?];
        let files: VecDeque<_> = found.into_iter().flatten().collect();
        Ok((!files.is_empty()).then(|| Self {
            path: path.to_owned(),
            files,
        }))
    }

    /// The next entry that is there already.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let Some(source) = self.files.front_mut() else {
                return Ok(None);
            };
            if let Some(line) = source.next_line()? {
                // A line that is not ours is passed over: the rest is still of use.
                if let Ok(entry) = serde_json::from_slice(&line) {
                    return Ok(Some(entry));
                }
                continue;
            }
            if self.files.len() == 1 {
                match Source::open(&self.path)? {
                    Some(newer) if newer.inode != self.files[0].inode => {
                        self.files.push_back(newer);
                    }
                    _ => return Ok(None),
                }
                // What was written between the last look and the turn is still in the older file.
                continue;
            }
            self.files.pop_front();
        }
    }
}

impl Source {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(Self {
                    lines: BufReader::new(file),
                    inode,
                    begun: Vec::new(),
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.lines.read_until(b'\n', &mut self.begun)?;
        if self.begun.ends_with(b"\n") {
            return Ok(Some(std::mem::take(&mut self.begun)));
        }
        Ok(None)
    }
}

fn earlier(path: &Path) -> PathBuf {
    path.with_extension("ndjson.1")
}

#[cfg(test)]
mod tests {
    use agentcore_local::{Event, OutputStream};

    use super::*;

    fn output(line: &str) -> Entry {
        Entry::now(&Event::Output {
            sandbox: "s1".into(),
            session: None,
            stream: OutputStream::Stdout,
            line: line.into(),
        })
    }

    fn rest(reader: &mut Reader) -> Vec<String> {
        std::iter::from_fn(|| {
            reader
                .next()
                .expect("readable")
                .map(|it| it.line.unwrap_or(it.event))
        })
        .collect()
    }

    #[test]
    fn what_is_written_is_read_in_order_and_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("logs/a.ndjson");
        assert!(Reader::open(&path).expect("nothing there").is_none());

        let log = LogFile::open(&path).expect("writable");
        log.append(&Entry::now(&Event::OrphansEnded { count: 2 }))
            .expect("writable");
        log.append(&output("one")).expect("writable");
        let mut reader = Reader::open(&path)
            .expect("readable")
            .expect("there is a log");
        let first = reader.next().expect("readable").expect("an entry");
        assert_eq!(
            (first.event.as_str(), first.more["count"].as_u64()),
            ("orphans_ended", Some(2))
        );
        assert_eq!(rest(&mut reader), ["one"]);

        log.append(&output("two")).expect("writable");
        assert_eq!(rest(&mut reader), ["two"]);
        assert_eq!(rest(&mut reader), [""; 0]);
    }

    #[test]
    fn a_line_that_is_being_written_is_waited_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.ndjson");
        let whole = r#"{"time":"t","event":"output","line":"é"}"#;
        fs::write(&path, format!("not ours\n{}", &whole[..20])).expect("writable");
        let mut reader = Reader::open(&path)
            .expect("readable")
            .expect("there is a log");
        assert_eq!(rest(&mut reader), [""; 0]);
        fs::write(&path, format!("not ours\n{whole}\n")).expect("writable");
        assert_eq!(rest(&mut reader), ["é"]);
    }

    #[test]
    fn a_large_file_is_turned_over_and_the_reader_follows() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.ndjson");
        let log = LogFile::with_limit(&path, 300).expect("writable");
        log.append(&output("0")).expect("writable");
        let mut reader = Reader::open(&path)
            .expect("readable")
            .expect("there is a log");
        let mut seen = Vec::new();
        for number in 1..20 {
            log.append(&output(&number.to_string())).expect("writable");
            seen.extend(rest(&mut reader));
        }
        assert_eq!(seen, (0..20).map(|it| it.to_string()).collect::<Vec<_>>());
        assert!(fs::metadata(&path).expect("it is there").len() <= 300);
        assert!(earlier(&path).exists());
    }
}
