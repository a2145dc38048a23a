//! The folder of one front door: private, locked while it is in use, and gone afterwards.
//!
//! A front door that was killed leaves its folder behind; the next one of the same agent removes it, wherever beside its own
//! it is. Nothing is removed that is not recognisably such a folder.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::error::StartError;

/// The file in the folder that says whose it is, and whose lock says that it is in use.
const OWNER_FILE: &str = "owner";

/// The longest path that `sockaddr_un` takes everywhere: 104 bytes on macOS, one of them the final zero.
const LONGEST_SOCKET_PATH: usize = 103;

/// A front door's folder; removed when dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Creates or takes over the folder at `path` for the agent `mark`.
    pub(crate) fn claim(path: &Path, mark: &str) -> Result<Self, StartError> {
        let unusable = |source| StartError::RunDir {
            path: path.to_owned(),
            source,
        };
        // Sandboxes run in folders of their own and must find it all the same.
        let path = &std::path::absolute(path).map_err(unusable)?;
        // The longest name below: a sandbox number of nine digits and the socket.
        if path.as_os_str().len() + "/999999999/s".len() > LONGEST_SOCKET_PATH {
            return Err(StartError::RunDirTooLong {
                path: path.to_owned(),
            });
        }
        let lock = Self::lock(path, mark).map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Removes what killed front doors of the agent `mark` left in the folder and beside it.
    pub(crate) fn remove_leftovers(&self, mark: &str) {
        for entry in entries(&self.path).filter(is_sandbox_folder) {
            remove_tree(&entry.path());
        }
        let beside = self.path.parent().into_iter().flat_map(entries);
        for other in beside.map(|entry| entry.path()) {
            if other != self.path && is_leftover(&other, mark) {
                remove_tree(&other);
            }
        }
    }

    fn lock(path: &Path, mark: &str) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(OWNER_FILE))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another front door is using it",
            )
        })?;
        file.set_len(0)?;
        file.write_all(mark.as_bytes())?;
        Ok(file)
    }

    /// Creates the folders of one sandbox.
    pub(crate) fn sandbox(&self, id: &str) -> io::Result<SandboxDir> {
        let path = self.path.join(id);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder.create(&path)?;
        let sandbox = SandboxDir { path };
        builder.create(sandbox.home())?;
        builder.create(sandbox.tmp())?;
        Ok(sandbox)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        remove_tree(&self.path);
    }
}

/// The folder of one sandbox; removed when dropped.
#[derive(Debug)]
pub(crate) struct SandboxDir {
    path: PathBuf,
}

impl SandboxDir {
    pub(crate) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.path.join("tmp")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("s")
    }
}

impl Drop for SandboxDir {
    fn drop(&mut self) {
        remove_tree(&self.path);
    }
}

/// Returns what is in a folder; nothing, if it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

/// Tells whether `path` is the folder of a front door of the agent `mark`, and nobody uses it.
fn is_leftover(path: &Path, mark: &str) -> bool {
    let Ok(file) = File::open(path.join(OWNER_FILE)) else {
        return false;
    };
    let mut owner = Vec::new();
    let limit = mark.len() as u64 + 1;
    let read = (&file).take(limit).read_to_end(&mut owner);
    read.is_ok()
        && owner == mark.as_bytes()
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Tells whether `entry` is named as sandboxes are: by a number.
fn is_sandbox_folder(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|it| it.is_ascii_digit());
    name.to_str().is_some_and(is_number) && entry.file_type().is_ok_and(|it| it.is_dir())
}

/// Removes a folder and everything in it, also below folders that an agent made read-only.
fn remove_tree(path: &Path) {
    let gone = |result: &io::Result<()>| match result {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if gone(&fs::remove_dir_all(path)) {
        return;
    }
    make_writable(path);
    if let Err(error) = fs::remove_dir_all(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove the folder of a sandbox");
    }
}

fn make_writable(folder: &Path) {
    // Symbolic links are not followed: `file_type` is the link's own, and `set_permissions` is only called on folders.
    let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
    for entry in entries(folder).filter(|it| it.file_type().is_ok_and(|it| it.is_dir())) {
        make_writable(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_private_and_gone_at_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let run_dir = RunDir::claim(&path, "mark").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let sandbox = run_dir.sandbox("1").unwrap();
        assert!(sandbox.home().is_dir() && sandbox.tmp().is_dir());
        let home = sandbox.home();
        drop(sandbox);
        assert!(!home.exists());
        drop(run_dir);
        assert!(!path.exists());
    }

    #[test]
    fn folders_that_nobody_holds_any_more_are_removed_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let left = |name: &str, mark: &str| {
            fs::create_dir_all(at(name).join("1/home")).unwrap();
            fs::write(at(name).join(OWNER_FILE), mark).unwrap();
        };
        left("killed", "mark");
        left("someone-elses", "mark of another agent");
        fs::create_dir(at("unrelated")).unwrap();
        let in_use = RunDir::claim(&at("in-use"), "mark").unwrap();

        let claimed = RunDir::claim(&at("new"), "mark").unwrap();
        claimed.remove_leftovers("mark");
        assert!(!at("killed").exists());
        assert!(at("someone-elses").exists());
        assert!(at("unrelated").exists());
        assert!(at("in-use").exists());
        drop(in_use);
    }

    #[test]
    fn a_folder_that_was_left_is_taken_over_and_emptied() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        fs::create_dir_all(path.join("7/home")).unwrap();
        fs::create_dir_all(path.join("notes")).unwrap();
        fs::set_permissions(path.join("7/home"), Permissions::from_mode(0o500)).unwrap();
        let claimed = RunDir::claim(&path, "mark").unwrap();
        claimed.remove_leftovers("mark");
        assert!(!path.join("7").exists());
        assert!(path.join("notes").exists());
    }

    #[test]
    fn two_front_doors_do_not_share_a_folder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        let _first = RunDir::claim(&path, "mark").unwrap();
        let error = RunDir::claim(&path, "mark").unwrap_err();
        assert!(matches!(error, StartError::RunDir { .. }), "{error:?}");
    }

    #[test]
    fn a_path_that_leaves_no_room_for_a_socket_is_refused() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(100)));
        let error = RunDir::claim(&path, "mark").unwrap_err();
        assert!(
            matches!(error, StartError::RunDirTooLong { .. }),
            "{error:?}"
        );
    }
}
