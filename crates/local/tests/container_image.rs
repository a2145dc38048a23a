//! The image of the containers' tests: the agent of the tests and the libraries that it needs, nothing else.
//!
//! Built once for each build of the agent, by whichever test comes first. Without an engine there is nothing to test, which
//! only CI does not accept.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use agentcore_docker::{BuildRequest, Engine, FindError, Surroundings};
use bytes::Bytes;

use crate::support::program;

/// The user of the image, and its home.
pub(crate) const UID: u32 = 10001;
pub(crate) const HOME: &str = "/home/agent";

const NAME: &str = "agentcore-test-local";

/// What the image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The agent.
    Agent,
    /// The agent, as if it were built for another processor.
    Foreign,
    /// No program where the entrypoint is.
    Nothing,
}

/// Returns the engine that the docker command would use; `None` if there is none and the test is not run.
pub(crate) async fn engine() -> Option<Engine> {
    let surroundings = Surroundings {
        host: variable("DOCKER_HOST"),
        context: variable("DOCKER_CONTEXT"),
        config_dir: variable("DOCKER_CONFIG").map(PathBuf::from),
        home: variable("HOME").map(PathBuf::from),
        runtime_dir: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
        tls_verify: variable("DOCKER_TLS_VERIFY").is_some(),
    };
    match agentcore_docker::find(&surroundings).await {
        Ok(engine) => Some(engine),
        Err(error) => {
            assert!(variable("CI").is_none_or(|it| it != "true"), "{error}");
            say_not_run(&error);
            None
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must know")]
fn say_not_run(error: &FindError) {
    eprintln!("not run: no Docker engine ({error})");
}

/// Returns the id of the image, which is built if it is not there.
pub(crate) async fn image(engine: &Engine, content: Content) -> String {
    let files = files(content);
    let mut hasher = DefaultHasher::new();
    (&files, dockerfile(), engine.endpoint().to_string()).hash(&mut hasher);
    let kind = format!("{content:?}").to_lowercase();
    let tag = format!("{NAME}:{kind}-{:016x}", hasher.finish());
    let lock = tokio::task::spawn_blocking(lock).await.unwrap();
    if let Some(image) = engine.image(&tag).await.unwrap() {
        return image.id;
    }
    let labels = BTreeMap::from([("agentcore-test".to_owned(), format!("{NAME}-{kind}"))]);
    for old in engine.images_with(&labels).await.unwrap() {
        engine.remove_image(&old.id).await.unwrap();
    }
    let request = BuildRequest {
        dockerfile: "Dockerfile".into(),
        tag,
        labels,
        platform: None,
        no_cache: false,
    };
    let sent = Ok(Bytes::from(archive(&files)));
    let sent = futures_util::stream::iter([sent]);
    let image = engine.build(&request, sent, &mut |_| ()).await.unwrap();
    drop(lock);
    image.id
}

fn dockerfile() -> String {
    format!("FROM scratch\nCOPY root/ /\nUSER {UID}:{UID}\nEXPOSE 8080\nENTRYPOINT [\"/agent\"]\n")
}

/// Paths in the image, and what is there.
fn files(content: Content) -> Vec<(PathBuf, Vec<u8>)> {
    let agent = program("local_test_agent");
    let mut bytes = std::fs::read(&agent).unwrap();
    let name = match content {
        Content::Agent => "agent",
        Content::Foreign => {
            // The machine in an ELF header: one that nobody has.
            bytes[18..20].copy_from_slice(&[0xfe, 0xfe]);
            "agent"
        }
        Content::Nothing => "another",
    };
    let mut files = vec![(PathBuf::from(name), bytes)];
    for library in libraries(&agent) {
        let relative = library.strip_prefix("/").unwrap().to_owned();
        files.push((relative, std::fs::read(library).unwrap()));
    }
    files
}

/// Returns the libraries that the system would load with `program`, and what loads them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.lines().map(|line| line.split_whitespace());
    // `libc.so.6 => /lib/libc.so.6 (0x…)` or `/lib64/ld-linux.so.2 (0x…)`.
    let paths = words.filter_map(|mut words| words.find(|it| it.starts_with('/')));
    paths.map(PathBuf::from).collect()
}

fn archive(files: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &Path, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content).unwrap();
    };
    let file = tar::EntryType::Regular;
    let folder = tar::EntryType::Directory;
    add(
        Path::new("Dockerfile"),
        file,
        0o644,
        dockerfile().as_bytes(),
    );
    for (path, content) in files {
        add(&Path::new("root").join(path), file, 0o755, content);
    }
    // Without a file it would not be copied.
    add(Path::new("root/data/here"), file, 0o644, b"");
    add(Path::new("root/data"), folder, 0o777, b"");
    archive.into_inner().unwrap()
}

/// Held while the image is made: tests run in many programs at once.
fn lock() -> File {
    let path = std::env::temp_dir().join(format!("{NAME}.lock"));
    let file = File::create(path).unwrap();
    file.lock().unwrap();
    file
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find the engine as the docker command does"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
