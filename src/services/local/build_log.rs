//! The log of an image's build, kept whole beside the other logs, and its end for whoever must be told why it failed.
//!
//! It is overwritten by the next build of the same agent. What a build prints is its user's alone.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, LineWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentcore_docker::BuildEvent;

use super::record::make_parent;

/// How many lines are kept for the report of a failure.
const END: usize = 20;

/// A log that is being written.
#[derive(Debug)]
pub(crate) struct BuildLog {
    path: PathBuf,
    file: LineWriter<File>,
    end: VecDeque<String>,
    /// The image that is being fetched: progress is told often, and written once.
    pulling: Option<String>,
}

impl BuildLog {
    /// Begins the log at `path`, in place of the one of the build before.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be made private and written.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        make_parent(path)?;
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            path: path.to_owned(),
            file: LineWriter::new(file),
            end: VecDeque::with_capacity(END),
            pulling: None,
        })
    }

    /// Writes down what happens.
    pub(crate) fn tell(&mut self, event: &BuildEvent) {
        match event {
            BuildEvent::Step {
                number,
                total,
                text,
            } => {
                let of = total.map(|it| format!("/{it}")).unwrap_or_default();
                self.line(format!("Step {number}{of}: {text}"));
            }
            BuildEvent::Output(line) => self.line(line.clone()),
            BuildEvent::Pull { image, .. } if self.pulling.as_ref() != Some(image) => {
                self.pulling = Some(image.clone());
                self.line(format!("Pulling {image}"));
            }
            _ => {}
        }
    }

    fn line(&mut self, line: String) {
        // A full disk must not be what fails the build; the engine will say it where it matters.
        let _ = writeln!(self.file, "{line}");
        if self.end.len() == END {
            self.end.pop_front();
        }
        self.end.push_back(line);
    }

    /// Its last lines, oldest first.
    pub(crate) fn end(&self) -> impl Iterator<Item = &str> {
        self.end.iter().map(String::as_str)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> BuildEvent {
        BuildEvent::Output(text.to_owned())
    }

    #[test]
    fn the_whole_build_is_kept_in_a_private_file_and_its_end_at_hand() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("logs/a.build.log");
        let mut log = BuildLog::create(&path).expect("writable");
        log.tell(&BuildEvent::Sent(7));
        log.tell(&BuildEvent::Step {
            number: 1,
            total: Some(2),
            text: "FROM python:3.13-slim".into(),
        });
        for current in [1, 2] {
            log.tell(&BuildEvent::Pull {
                image: "python:3.13-slim".into(),
                current,
                total: 2,
            });
        }
        for number in 0..30 {
            log.tell(&output(&format!("line {number}")));
        }
        assert_eq!(log.path(), path);
        let end: Vec<&str> = log.end().collect();
        assert_eq!((end.len(), end[0], end[19]), (20, "line 10", "line 29"));
        drop(log);
        let text = fs::read_to_string(&path).expect("it was written");
        assert!(
            text.starts_with("Step 1/2: FROM python:3.13-slim\nPulling python:3.13-slim\nline 0\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 32);
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_next_build_begins_anew_whoever_could_read_the_last_log() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.build.log");
        fs::write(&path, "before\n").expect("writable");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
        let mut log = BuildLog::create(&path).expect("writable");
        log.tell(&output("now"));
        drop(log);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "now\n");
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
