//! Where a running front door is: a lock that it holds for life, and a record that says how to reach it.
//!
//! The lock alone tells whether one runs, because the kernel lets it go when its holder dies, however it dies. The
//! record of a dead one is stale and is never acted upon, except to clean up.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agentcore_docker::Endpoint;
use serde::{Deserialize, Serialize};

/// How long a starting front door waits for the lock: somebody who only looks holds it for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The files that belong to one agent's front door, inside the project's state folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Places {
    state_dir: PathBuf,
    agent: String,
}

/// How to reach a front door, and what to clean up after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The host it listens on.
    pub(crate) host: String,
    /// The port it listens on.
    pub(crate) port: u16,
    /// Its process.
    pub(crate) pid: u32,
    /// When it started, in seconds since 1970.
    pub(crate) started: u64,
    /// What it calls itself; the listener confirms it.
    pub(crate) instance: String,
    /// The ARN under which it serves the agent.
    pub(crate) arn: String,
    /// Its private folder: sockets, homes of sandboxes.
    pub(crate) run_dir: PathBuf,
    /// It has a healthy sandbox.
    pub(crate) ready: bool,
    /// Where its containers are, if it has any. The shell may name another engine by the time they must be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine: Option<Endpoint>,
    /// Engines that could not be looked at, on which containers of earlier front doors may be left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unseen: Vec<Endpoint>,
}

/// Whether a front door runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// None runs, and none was left behind.
    Absent,
    /// None runs; the last one ended without clearing up.
    Stale(Record),
    /// One is about to listen.
    Starting,
    /// One listens.
    Running(Record),
}

/// The lock of a front door, let go when this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Places {
    /// The places of `agent` in the project whose state folder is `state_dir`.
    pub(crate) fn new(state_dir: &Path, agent: &str) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            agent: agent.to_owned(),
        }
    }

    /// What the sandboxes wrote, one JSON object a line.
    pub(crate) fn log(&self) -> PathBuf {
        self.state_dir
            .join("logs")
            .join(format!("{}.ndjson", self.agent))
    }

    /// What a detached front door itself has to say.
    pub(crate) fn front_door_log(&self) -> PathBuf {
        self.state_dir
            .join("logs")
            .join(format!("{}.front-door.log", self.agent))
    }

    /// What the build of its image said.
    pub(crate) fn build_log(&self) -> PathBuf {
        self.state_dir
            .join("logs")
            .join(format!("{}.build.log", self.agent))
    }

    fn record(&self) -> PathBuf {
        self.state_dir
            .join("local")
            .join(format!("{}.json", self.agent))
    }

    fn lock(&self) -> PathBuf {
        self.state_dir
            .join("local")
            .join(format!("{}.lock", self.agent))
    }

    /// Tells whether a front door runs, without disturbing it.
    ///
    /// # Errors
    ///
    /// Fails if the lock or the record cannot be read.
    pub(crate) fn look(&self) -> io::Result<Presence> {
        let record = self.read_record()?;
        let file = match File::open(self.lock()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(record.map_or(Presence::Absent, Presence::Stale));
            }
            Err(error) => return Err(error),
        };
        if is_free(&file)? {
            return Ok(record.map_or(Presence::Absent, Presence::Stale));
        }
        // A record that is not the holder's is a dead one's, about to be replaced.
        let holder = holder(file)?;
        Ok(record
            .filter(|it| it.instance == holder)
            .map_or(Presence::Starting, Presence::Running))
    }

    /// Takes the lock in the name of `instance`; `None` if another front door holds it.
    ///
    /// # Errors
    ///
    /// Fails if the lock file cannot be made, or if the file system knows no locks.
    pub(crate) fn lock_for(&self, instance: &str) -> io::Result<Option<Lock>> {
        let path = self.lock();
        make_parent(&path)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(instance.as_bytes())?;
        Ok(Some(Lock { file }))
    }

    /// The record that a front door left which is over, read by whoever keeps others from starting meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if there is one and it cannot be read.
    pub(crate) fn left_behind(&self, _lock: &Lock) -> io::Result<Option<Record>> {
        self.read_record()
    }

    fn read_record(&self) -> io::Result<Option<Record>> {
        match fs::read(self.record()) {
            // A record that cannot be understood tells nothing, as if it were lost.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the record in one step: a reader sees the old one or the new one.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        let path = self.record();
        let folder = make_parent(&path)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, record)?;
        file.flush()?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the record, if there is one.
    ///
    /// # Errors
    ///
    /// Fails if there is one and it cannot be removed.
    pub(crate) fn remove_record(&self) -> io::Result<()> {
        match fs::remove_file(self.record()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until no front door holds the lock; false if one still does at `deadline`.
    ///
    /// # Errors
    ///
    /// Fails if the lock cannot be read.
    pub(crate) fn wait_until_free(&self, deadline: Instant) -> io::Result<bool> {
        loop {
            match self.look()? {
                Presence::Absent | Presence::Stale(_) => return Ok(true),
                Presence::Starting | Presence::Running(_) if Instant::now() >= deadline => {
                    return Ok(false);
                }
                Presence::Starting | Presence::Running(_) => std::thread::sleep(LOCK_PAUSE),
            }
        }
    }
}

impl Record {
    /// Where to send requests.
    pub(crate) fn base(&self) -> String {
        let Self { host, port, .. } = self;
        format!("http://{host}:{port}")
    }

    /// Every engine on which containers of this agent may be.
    pub(crate) fn engines(&self) -> Vec<Endpoint> {
        let mut engines = self.unseen.clone();
        engines.extend(self.engine.clone());
        engines
    }
}

impl Drop for Lock {
    // Closing the file would do; an explicit unlock also frees it while a child that was just started still has a copy.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn is_free(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => {
            file.unlock()?;
            Ok(true)
        }
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn holder(mut file: File) -> io::Result<String> {
    let mut instance = String::new();
    file.read_to_string(&mut instance)?;
    Ok(instance)
}

/// Makes the folder that `path` stands in and returns it.
pub(crate) fn make_parent(path: &Path) -> io::Result<&Path> {
    let folder = path
        .parent()
        .expect("files of the state folder stand in a folder");
    fs::create_dir_all(folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(instance: &str) -> Record {
        Record {
            host: "127.0.0.1".into(),
            port: 8080,
            pid: 1,
            started: 1_700_000_000,
            instance: instance.into(),
            arn: "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/a-b".into(),
            run_dir: "/tmp/agentcore-x".into(),
            ready: true,
            engine: None,
            unseen: Vec::new(),
        }
    }

    fn places() -> (tempfile::TempDir, Places) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let places = Places::new(&folder.path().join("state"), "a");
        (folder, places)
    }

    #[test]
    fn the_lock_and_not_the_record_tells_what_runs() {
        let (_folder, places) = places();
        assert_eq!(places.look().expect("readable"), Presence::Absent);

        let lock = places.lock_for("one").expect("a lock").expect("it is free");
        assert_eq!(places.look().expect("readable"), Presence::Starting);
        places.write_record(&record("one")).expect("writable");
        assert_eq!(
            places.look().expect("readable"),
            Presence::Running(record("one"))
        );
        assert!(!places.wait_until_free(Instant::now()).expect("readable"));

        drop(lock);
        assert_eq!(
            places.look().expect("readable"),
            Presence::Stale(record("one"))
        );
        assert!(places.wait_until_free(Instant::now()).expect("readable"));

        let _lock = places.lock_for("two").expect("a lock").expect("it is free");
        assert_eq!(
            places.look().expect("readable"),
            Presence::Starting,
            "the record is a dead one's"
        );
        places.remove_record().expect("removable");
        places.remove_record().expect("nothing to remove");
    }

    #[test]
    fn only_one_front_door_has_the_lock() {
        let (_folder, places) = places();
        let first = places.lock_for("one").expect("a lock");
        assert!(first.is_some());
        assert!(places.lock_for("two").expect("a lock").is_none());
        assert_eq!(places.look().expect("readable"), Presence::Starting);
    }

    #[test]
    fn a_record_remembers_every_engine_and_one_without_engines_is_read_too() {
        let engine = |name: &str| Endpoint::Unix(format!("/run/{name}.sock").into());
        let record = Record {
            engine: Some(engine("mine")),
            unseen: vec![engine("before")],
            ..record("one")
        };
        let text = serde_json::to_string(&record).expect("it is plain data");
        let read: Record = serde_json::from_str(&text).expect("it was just written");
        assert_eq!(read, record);
        assert_eq!(read.engines(), [engine("before"), engine("mine")]);
        let text = serde_json::to_value(self::record("two")).expect("it is plain data");
        assert!(text.get("engine").is_none() && text.get("unseen").is_none());
        let read: Record = serde_json::from_value(text).expect("it was just written");
        assert_eq!(read.engines(), []);
    }

    #[test]
    fn a_record_that_is_not_one_is_as_good_as_none() {
        let (_folder, places) = places();
        places.write_record(&record("one")).expect("writable");
        fs::write(places.record(), "{").expect("writable");
        assert_eq!(places.look().expect("readable"), Presence::Absent);
    }
}
