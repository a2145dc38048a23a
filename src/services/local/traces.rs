//! What a front door leaves behind for others to find, and what killed ones have left: the lock, the record, the private
//! folder, and containers on engines.
//!
//! A record goes away with its front door, unless containers may be left on an engine that does not answer.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use agentcore_docker::Endpoint;
use agentcore_local::{Event, EventSink, SandboxKind, SandboxSpec};
use tokio::net::TcpListener;

use super::door::{DoorError, already, listen};
use super::orphans;
use super::plan::Plan;
use super::record::{Lock, Places, Record};

/// How the private folders are called; what is removed after a killed front door must be called so.
const RUN_DIR_PREFIX: &str = "agentcore-";

/// What a front door leaves in the file system, removed when this is dropped.
pub(super) struct Traces {
    places: Places,
    _run_dir: tempfile::TempDir,
    orphan_mark: String,
    /// As it is in the file; it stays there if containers may be left somewhere.
    pub(super) record: Record,
    _lock: Lock,
}

impl Traces {
    /// Takes the lock, clears up after a front door that was killed, listens, makes the private folder and writes the
    /// record.
    pub(super) async fn make(plan: &Plan) -> Result<(TcpListener, Self), DoorError> {
        let Plan {
            agent,
            arn,
            instance,
            spec,
            port,
            places,
            orphan_mark,
            temp_dir,
            ..
        } = plan;
        let Some(lock) = places.lock_for(instance).map_err(DoorError::State)? else {
            return Err(already(agent.clone(), places));
        };
        let dead = places.left_behind(&lock).map_err(DoorError::State)?;
        if let Some(dead) = &dead {
            clean_up_after(dead);
        }
        let engine = engine_of(spec);
        let mut unseen = dead.map(|it| it.engines()).unwrap_or_default();
        unseen.retain(|it| Some(it) != engine.as_ref());
        let listener = listen(*port).await?;
        let address = listener.local_addr().map_err(DoorError::State)?;
        let run_dir = tempfile::Builder::new()
            .prefix(RUN_DIR_PREFIX)
            .tempdir_in(temp_dir)
            .map_err(DoorError::State)?;
        let record = Record {
            host: address.ip().to_string(),
            port: address.port(),
            pid: std::process::id(),
            started: now(),
            instance: instance.clone(),
            arn: arn.clone(),
            run_dir: run_dir.path().to_owned(),
            ready: false,
            engine,
            unseen,
        };
        let traces = Self {
            places: places.clone(),
            _run_dir: run_dir,
            orphan_mark: orphan_mark.clone(),
            record,
            _lock: lock,
        };
        traces.write_record()?;
        Ok((listener, traces))
    }

    pub(super) fn write_record(&self) -> Result<(), DoorError> {
        self.places
            .write_record(&self.record)
            .map_err(DoorError::State)
    }

    /// Removes what killed front doors left on other engines than this one's, which it looks at itself.
    pub(super) async fn look_for_containers(
        &mut self,
        events: &EventSink,
    ) -> Result<(), DoorError> {
        if self.record.unseen.is_empty() {
            return Ok(());
        }
        let outcome = orphans::remove(&self.record.unseen, &self.orphan_mark).await;
        if outcome.removed > 0 {
            events(Event::OrphanContainersEnded {
                count: outcome.removed,
            });
        }
        self.record.unseen = outcome.engines();
        self.write_record()
    }

    /// Makes sure that nothing is left wherever containers may be, and remembers where that cannot be told.
    pub(super) async fn finish(&mut self) {
        let engines = self.record.engines();
        if !engines.is_empty() {
            let outcome = orphans::remove(&engines, &self.orphan_mark).await;
            self.record.engine = None;
            self.record.unseen = outcome.engines();
        }
        self.record.ready = false;
    }
}

impl Drop for Traces {
    // The record goes before the lock: nobody finds the record of a front door that is over.
    fn drop(&mut self) {
        let _ = if self.record.engines().is_empty() {
            self.places.remove_record()
        } else {
            self.places.write_record(&self.record)
        };
    }
}

/// The engine that runs the containers, if there are any.
fn engine_of(spec: &SandboxSpec) -> Option<Endpoint> {
    match &spec.kind {
        SandboxKind::Container(container) => Some(container.endpoint.clone()),
        _ => None,
    }
}

/// Removes the private folder of a front door that was killed. A record is only a file in a project: what it names
/// is removed only if it is one of our folders.
pub(crate) fn clean_up_after(dead: &Record) {
    let ours = dead.run_dir.file_name().and_then(|it| it.to_str());
    if ours.is_some_and(|it| it.starts_with(RUN_DIR_PREFIX)) && is_private(&dead.run_dir) {
        // What cannot be removed is the system's to clear: it stands in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&dead.run_dir);
    }
}

/// A folder, not a link to one, that its user made for nobody else.
fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    folder.symlink_metadata().is_ok_and(|it| {
        it.is_dir() && it.mode() & 0o777 == 0o700 && it.uid() == rustix::process::geteuid().as_raw()
    })
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |it| it.as_secs())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn dead(run_dir: &Path) -> Record {
        Record {
            host: "127.0.0.1".into(),
            port: 1,
            pid: 1,
            started: 0,
            instance: "i".into(),
            arn: "a".into(),
            run_dir: run_dir.to_owned(),
            ready: true,
            engine: None,
            unseen: Vec::new(),
        }
    }

    #[test]
    fn only_our_own_folders_are_removed_after_a_killed_front_door() {
        let temp = tempfile::tempdir().expect("a temporary folder");
        let folder = |name: &str, mode| {
            let path = temp.path().join(name);
            fs::create_dir(&path).expect("it can be made");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
            path
        };
        let ours = folder("agentcore-x", 0o700);
        let other_name = folder("project", 0o700);
        let open_to_all = folder("agentcore-y", 0o755);
        let link = temp.path().join("agentcore-z");
        std::os::unix::fs::symlink(&other_name, &link).expect("it can be made");
        for path in [&ours, &other_name, &open_to_all, &link] {
            clean_up_after(&dead(path));
        }
        assert!(!ours.exists());
        assert!(other_name.exists() && open_to_all.exists() && link.exists());
    }
}
