//! The docker command, as the reference for what a build copies into an image. It builds without BuildKit, as engines
//! of every age do through their HTTP interface.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::variable;

/// The command, known to work.
pub(crate) struct Docker;

/// The entries of an image; folders have a slash at the end of their names.
#[derive(Debug)]
pub(crate) struct Image(pub(crate) BTreeMap<OsString, Entry>);

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: tar::EntryType,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) link: Option<OsString>,
    pub(crate) content: Vec<u8>,
}

impl Image {
    /// The names below `folder`, relative to it.
    pub(crate) fn names(&self, folder: &str) -> BTreeSet<OsString> {
        self.below(folder).into_keys().collect()
    }

    /// The entries below `folder`, with names relative to it.
    pub(crate) fn below(&self, folder: &str) -> BTreeMap<OsString, &Entry> {
        let prefix = format!("{folder}/");
        let below = self.0.iter().filter_map(|(name, entry)| {
            let name = name.as_bytes().strip_prefix(prefix.as_bytes())?;
            (!name.is_empty()).then(|| (OsStr::from_bytes(name).to_owned(), entry))
        });
        below.collect()
    }
}

impl Docker {
    /// The command of this machine, if it is there and an engine answers it. In CI it must be.
    pub(crate) fn here() -> Option<Self> {
        match Self.run(&["version"], None) {
            Ok(_) => Some(Self),
            Err(error) if variable("CI").is_some_and(|it| it == "true" || it == "1") => {
                panic!("CI needs the docker command and an engine: {error}")
            }
            Err(error) => {
                eprintln!("not run: the docker command does not work: {error}");
                None
            }
        }
    }

    /// A tag that no other test has.
    pub(crate) fn tag() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("agentcore-test-c-{}-{count}", std::process::id())
    }

    /// Builds the context in `folder`, and returns what is in the image, which is removed.
    pub(crate) fn build(&self, folder: &Path) -> Result<Image, String> {
        let tag = Self::tag();
        // Looking into the cache fails if another image that begins with nothing is removed at that moment.
        let arguments = ["build", "-q", "--no-cache", "--force-rm", "-t", &tag, "."];
        self.run(&arguments, Some(folder))?;
        let image = self.export(&tag);
        self.run(&["image", "rm", &tag], None)?;
        image
    }

    /// What is in the image `tag`.
    pub(crate) fn export(&self, tag: &str) -> Result<Image, String> {
        let id = self.run(&["create", tag, "/nothing"], None)?;
        let id = String::from_utf8(id).unwrap();
        let archive = self.run(&["export", id.trim()], None);
        self.run(&["rm", id.trim()], None)?;
        Ok(read(&archive?))
    }

    fn run(&self, arguments: &[&str], folder: Option<&Path>) -> Result<Vec<u8>, String> {
        let Self = self;
        let mut command = Command::new("docker");
        command.args(arguments).env("DOCKER_BUILDKIT", "0");
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// The entries of an archive; one that is a hard link has what it links to.
pub(crate) fn read(archive: &[u8]) -> Image {
    let mut entries: BTreeMap<OsString, Entry> = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = OsString::from_vec(entry.path_bytes().into_owned());
        let link = entry
            .link_name_bytes()
            .map(|it| OsString::from_vec(it.into_owned()));
        let header = entry.header();
        let mut read = Entry {
            kind: header.entry_type(),
            mode: header.mode().unwrap(),
            owner: (header.uid().unwrap(), header.gid().unwrap()),
            link,
            content: Vec::new(),
        };
        entry.read_to_end(&mut read.content).unwrap();
        if read.kind == tar::EntryType::Link {
            let linked = &entries[read.link.as_ref().unwrap()];
            read.kind = linked.kind;
            read.content.clone_from(&linked.content);
            read.link = None;
        }
        entries.insert(name, read);
    }
    Image(entries)
}
