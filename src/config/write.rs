//! Writing files so that nobody ever sees half of one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::yaml;
use crate::error::CliError;
use crate::model::project::ProjectFile;

/// Replaces the content of `path`, or creates it: a reader sees the old or the new content, also after a crash.
///
/// The permissions of an existing file stay; a link is followed, not replaced.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // 0666 less the user's umask, as for any file that a program creates.
    let mode = match fs::metadata(&path) {
        Ok(existing) => existing.permissions().mode() & 0o7777,
        Err(_) => 0o666,
    };
    let mut file = tempfile::Builder::new()
        .prefix(".agentcore-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    file.write_all(content)?;
    if path.exists() {
        file.as_file()
            .set_permissions(Permissions::from_mode(mode))?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The new name is only safe once the folder is written too.
    File::open(folder)?.sync_all()
}

/// Keeps other runs of this program from changing the project in `folder` until the result is dropped.
///
/// A file system that knows no locks is no reason to fail: there, whoever writes last wins.
pub(crate) fn lock(folder: &Path) -> Option<File> {
    let lock = File::open(folder).ok()?;
    lock.lock().ok()?;
    Some(lock)
}

/// What became of the project file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// There was none.
    Created,
    /// It said the same already, and was not touched.
    Unchanged,
    /// It was replaced; comments do not survive that, so a file with comments is kept as the named backup.
    Changed {
        /// The copy of the file with its comments.
        backup: Option<PathBuf>,
    },
}

/// Writes the project file at `path` if that changes what it says; `before` is what it said, and its text.
pub(crate) fn project_file(
    path: &Path,
    before: Option<(&ProjectFile, &str)>,
    after: &ProjectFile,
) -> Result<Written, CliError> {
    let failed = |path: &Path, error: io::Error| {
        CliError::other(format!("cannot write `{}`", path.display()))
            .caused_by(error)
            .hint("check the permissions of the folder and the space on the disk")
    };
    let write = |path: &Path, text: &str| {
        replace(path, text.as_bytes()).map_err(|error| failed(path, error))
    };
    let Some((before, text)) = before else {
        write(path, &yaml::write(after)?)?;
        return Ok(Written::Created);
    };
    if before == after {
        return Ok(Written::Unchanged);
    }
    let backup = yaml::has_comments(text).then(|| path.with_file_name(".agentcore.yaml.bak"));
    if let Some(backup) = &backup {
        write(backup, text)?;
    }
    write(path, &yaml::write(after)?)?;
    Ok(Written::Changed { backup })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_permissions_and_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();

        replace(&link, b"new").unwrap();

        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(
            fs::metadata(&real).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "no temporary file stays behind"
        );
    }
}
