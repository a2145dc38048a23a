//! The Python package that is embedded in the program, and its way onto the disk.
//!
//! It is unpacked once for each content: the folder is named after a hash of the files, appears by one rename, and is
//! never changed afterwards, so that any number of programs of any version can share a cache.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../python/", $name)).as_slice())),*]
    };
}

/// Every file of `python/` but its tests, with its path from there.
const FILES: &[(&str, &[u8])] = embedded![
    "agentcore_sdk.py",
    "agentcore_worker.py",
    "lib/_agentcore_worker/__init__.py",
    "lib/_agentcore_worker/agent_file.py",
    "lib/_agentcore_worker/asgi.py",
    "lib/_agentcore_worker/attach.py",
    "lib/_agentcore_worker/calls.py",
    "lib/_agentcore_worker/executor.py",
    "lib/_agentcore_worker/frames.py",
    "lib/_agentcore_worker/lifespan.py",
    "lib/_agentcore_worker/lines.py",
    "lib/_agentcore_worker/link.py",
    "lib/_agentcore_worker/loop.py",
    "lib/_agentcore_worker/main.py",
    "lib/_agentcore_worker/multiplex.py",
    "lib/_agentcore_worker/official.py",
    "lib/_agentcore_worker/outlet.py",
    "lib/_agentcore_worker/output.py",
    "lib/_agentcore_worker/pinger.py",
    "lib/_agentcore_worker/program.py",
    "lib/_agentcore_worker/running.py",
    "lib/_agentcore_worker/stall.py",
    "lib/_agentcore_worker/threads.py",
    "lib/_agentcore_worker/watch.py",
    "lib/_agentcore_worker/websocket.py",
    "lib/_agentcore_worker/worker.py",
    "lib/bedrock_agentcore/__init__.py",
    "lib/bedrock_agentcore/__main__.py",
    "lib/bedrock_agentcore/py.typed",
    "lib/bedrock_agentcore/runtime/__init__.py",
    "lib/bedrock_agentcore/runtime/_actions.py",
    "lib/bedrock_agentcore/runtime/_answer.py",
    "lib/bedrock_agentcore/runtime/_asgi.py",
    "lib/bedrock_agentcore/runtime/_handler.py",
    "lib/bedrock_agentcore/runtime/_health.py",
    "lib/bedrock_agentcore/runtime/_invocation.py",
    "lib/bedrock_agentcore/runtime/_lifespan.py",
    "lib/bedrock_agentcore/runtime/_log.py",
    "lib/bedrock_agentcore/runtime/_log_format.py",
    "lib/bedrock_agentcore/runtime/_private.py",
    "lib/bedrock_agentcore/runtime/_request.py",
    "lib/bedrock_agentcore/runtime/_routes.py",
    "lib/bedrock_agentcore/runtime/_runner.py",
    "lib/bedrock_agentcore/runtime/_scope.py",
    "lib/bedrock_agentcore/runtime/_starlette.py",
    "lib/bedrock_agentcore/runtime/_values.py",
    "lib/bedrock_agentcore/runtime/_websocket.py",
    "lib/bedrock_agentcore/runtime/app.py",
    "lib/bedrock_agentcore/runtime/context.py",
    "lib/bedrock_agentcore/runtime/models.py",
    "lib/bedrock_agentcore/runtime/utils.py",
];

/// The folder's name: 16 hex digits are plenty to keep versions apart.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, content) in FILES {
        for part in [name.as_bytes(), content] {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(String::new(), |name, byte| name + &format!("{byte:02x}"))
});

/// How often another program may get in the way before giving up.
const TRIES: usize = 8;

/// Unpacks the embedded Python package below `cache`, unless it is there, and returns its folder.
///
/// Safe against others that do the same at the same moment, and repairs a folder that has lost files.
///
/// # Errors
///
/// Fails if the folder cannot be written.
pub fn unpack_python_package(cache: &Path) -> io::Result<PathBuf> {
    let folder = cache.join(&*HASH);
    let mut last = None;
    for _ in 0..TRIES {
        if is_whole(&folder) {
            return Ok(folder);
        }
        fs::create_dir_all(cache)?;
        match replace(&folder, cache) {
            Ok(()) => return Ok(folder),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("the Python package could not be unpacked")))
}

fn replace(folder: &Path, cache: &Path) -> io::Result<()> {
    let fresh = temporary(cache)?;
    for (name, content) in FILES {
        let path = fresh.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, content)?;
    }
    if fs::rename(fresh.path(), folder).is_err() {
        // A rename does not replace a folder that has something in it.
        if is_whole(folder) {
            // Somebody was faster, and may be starting a worker from it at this moment.
            return Ok(());
        }
        let aside = temporary(cache)?;
        fs::rename(folder, aside.path().join("old"))?;
        fs::rename(fresh.path(), folder)?;
    }
    // The folder is where it belongs; nothing is left to remove.
    let _ = fresh.keep();
    Ok(())
}

fn temporary(cache: &Path) -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix(".unpacking-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(cache)
}

fn is_whole(folder: &Path) -> bool {
    FILES.iter().all(|(name, content)| {
        folder
            .join(name)
            .metadata()
            .is_ok_and(|data| data.is_file() && usize::try_from(data.len()) == Ok(content.len()))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn on_disk(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            let last = path.file_name().unwrap().to_str().unwrap();
            // Caches of tools, and the package's own tests.
            let is_ours = last != "__pycache__" && !last.starts_with('.') && name != "tests";
            if path.is_dir() && is_ours {
                on_disk(&path, &format!("{name}/"), found);
            } else if path.is_file() {
                found.insert(name);
            }
        }
    }

    #[test]
    fn no_file_is_forgotten() {
        let mut found = BTreeSet::new();
        on_disk(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("python"),
            "",
            &mut found,
        );
        let embedded: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(embedded, found);
        assert!(
            embedded.contains("agentcore_worker.py"),
            "the package has no worker"
        );
    }

    #[test]
    fn many_unpackers_get_one_whole_folder() {
        let cache = tempfile::tempdir().unwrap();
        let folders: BTreeSet<PathBuf> = std::thread::scope(|scope| {
            let unpackers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| unpack_python_package(&cache.path().join("deep/cache")).unwrap())
                })
                .collect();
            unpackers
                .into_iter()
                .map(|unpacker| unpacker.join().unwrap())
                .collect()
        });
        assert_eq!(folders.len(), 1);
        let folder = folders.first().unwrap();
        assert!(is_whole(folder));
        let left: Vec<_> = fs::read_dir(folder.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "temporary folders are left: {left:?}");
    }

    #[test]
    fn who_comes_second_leaves_the_folder_alone() {
        let cache = tempfile::tempdir().unwrap();
        let folder = unpack_python_package(cache.path()).unwrap();
        let number = || fs::metadata(&folder).unwrap().ino();
        let before = number();
        // Somebody who had looked before it was there.
        replace(&folder, cache.path()).unwrap();
        assert_eq!(number(), before, "somebody may be starting from it");
    }

    #[test]
    fn a_damaged_folder_is_repaired() {
        let cache = tempfile::tempdir().unwrap();
        let folder = unpack_python_package(cache.path()).unwrap();
        fs::write(folder.join("agentcore_worker.py"), "").unwrap();
        assert_eq!(unpack_python_package(cache.path()).unwrap(), folder);
        assert!(is_whole(&folder));
    }
}
