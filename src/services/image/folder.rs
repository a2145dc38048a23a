//! The folder of an agent's image, `.agentcore/<agent>` in its source: written so that nobody sees half of a file, and
//! touched only where something changed.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::ImageError;
use crate::config::{state, write};
use crate::model::name::AgentName;

/// The Dockerfile.
pub(super) const DOCKERFILE: &str = "Dockerfile";
/// What BuildKit leaves out of a context of the source, instead of what the source's own file says.
pub(super) const IGNORE: &str = "Dockerfile.dockerignore";
/// The program that serves a Python agent.
pub(super) const HOST: &str = "agentcore-host";
/// A Rust agent.
pub(super) const AGENT: &str = "agent";
/// What lies around a Rust agent.
pub(super) const ROOT: &str = "root.tar";

/// Everything that is ever written here.
const NAMES: [&str; 5] = [DOCKERFILE, IGNORE, HOST, AGENT, ROOT];

/// The folder, made and kept out of commits.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Its path in the source.
    inside: PathBuf,
}

impl Folder {
    /// Makes the folder of `agent` in `source`.
    pub(super) fn make(source: &Path, agent: &AgentName) -> Result<Self, ImageError> {
        let inside = Path::new(state::FOLDER).join(agent.as_str());
        let folder = Self {
            path: source.join(&inside),
            inside,
        };
        let ignore = source.join(state::FOLDER).join(".gitignore");
        let made = fs::create_dir_all(&folder.path).and_then(|()| {
            if ignore.exists() {
                Ok(())
            } else {
                write::replace(&ignore, b"*\n")
            }
        });
        made.map_err(|source| ImageError::Write {
            path: folder.path.clone(),
            source,
        })?;
        Ok(folder)
    }

    /// Where a file of it is.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where a file of it is in the source.
    pub(super) fn in_source(&self, name: &str) -> PathBuf {
        self.inside.join(name)
    }

    /// Writes a file, unless it says the same already.
    pub(super) fn put(&self, name: &str, content: &[u8]) -> Result<(), ImageError> {
        let path = self.file(name);
        let same = fs::read(&path).is_ok_and(|before| before == content);
        if same {
            return Ok(());
        }
        write::replace(&path, content).map_err(|source| ImageError::Write { path, source })
    }

    /// Writes a program, unless it is there already.
    pub(super) fn put_program(&self, name: &str, content: &[u8]) -> Result<(), ImageError> {
        self.put(name, content)?;
        let path = self.file(name);
        let set = fs::metadata(&path).and_then(|metadata| {
            if metadata.permissions().mode() & 0o777 == 0o755 {
                Ok(())
            } else {
                fs::set_permissions(&path, Permissions::from_mode(0o755))
            }
        });
        set.map_err(|source| ImageError::Write { path, source })
    }

    /// Removes what another kind of image has left here, all but `names`.
    pub(super) fn keep_only(&self, names: &[&str]) -> Result<(), ImageError> {
        for name in NAMES.iter().filter(|it| !names.contains(it)) {
            let path = self.file(name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(ImageError::Write { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_written_and_git_sees_nothing() {
        let source = tempfile::tempdir().unwrap();
        let folder = Folder::make(source.path(), &"a".parse().unwrap()).unwrap();
        folder.put(DOCKERFILE, b"FROM x:1\n").unwrap();
        let written = |name| fs::metadata(folder.file(name)).unwrap();
        let before = written(DOCKERFILE).modified().unwrap();
        folder.put(DOCKERFILE, b"FROM x:1\n").unwrap();
        assert_eq!(written(DOCKERFILE).modified().unwrap(), before);
        folder.put(DOCKERFILE, b"FROM x:2\n").unwrap();
        assert_eq!(fs::read(folder.file(DOCKERFILE)).unwrap(), b"FROM x:2\n");
        let ignore = source.path().join(".agentcore/.gitignore");
        assert_eq!(fs::read(ignore).unwrap(), b"*\n");

        folder.put_program(HOST, b"x").unwrap();
        assert_eq!(written(HOST).permissions().mode() & 0o777, 0o755);
        folder.keep_only(&[DOCKERFILE]).unwrap();
        assert!(!folder.file(HOST).exists());
        assert!(folder.file(DOCKERFILE).exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let source = tempfile::tempdir().unwrap();
        fs::write(source.path().join(".agentcore"), "").unwrap();
        let error = Folder::make(source.path(), &"a".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("/.agentcore/a"), "{error}");
    }
}
