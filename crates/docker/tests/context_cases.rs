//! The rules of ignore files, case by case: pinned in `data/dockerignore_cases.txt`, and compared with images that the docker
//! command builds here.
//!
//! Every case is a real folder that is walked through, not a list of names.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use agentcore_docker::context::{FileKind, IgnoreRules, files};

use crate::support::docker::Docker;

const CASES: &str = include_str!("data/dockerignore_cases.txt");

/// How many builds run at once.
const AT_ONCE: usize = 3;

/// What the context has beside a case's files.
const DOCKERFILE: &str = "Dockerfile";
const IGNORE_FILE: &str = ".dockerignore";

#[derive(Debug, Default)]
struct Case {
    title: String,
    rules: Vec<u8>,
    files: Vec<OsString>,
    expected: Expected,
    /// What is kept without BuildKit.
    classic: Option<BTreeSet<OsString>>,
}

#[derive(Debug)]
enum Expected {
    Kept(BTreeSet<OsString>),
    Error(usize),
}

impl Default for Expected {
    fn default() -> Self {
        Self::Kept(BTreeSet::new())
    }
}

impl Case {
    fn all() -> Vec<Self> {
        let blocks = CASES.split("\n\n").filter(|it| it.starts_with("== "));
        blocks.map(Self::read).collect()
    }

    fn read(block: &str) -> Self {
        let mut case = Self::default();
        for line in block.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "==" => value.clone_into(&mut case.title),
                "#" => {}
                ">" => {
                    case.rules.extend(bytes(value));
                    case.rules.push(b'\n');
                }
                "files" => case.files = names(value),
                "kept" => case.expected = Expected::Kept(names(value)),
                "classic" => case.classic = Some(names(value)),
                "error" => case.expected = Expected::Error(value.parse().unwrap()),
                _ => panic!("{block}: what is `{key}`?"),
            }
        }
        case
    }

    /// Makes the folder.
    fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in &self.files {
            let file = file.as_bytes();
            let link = file.windows(2).position(|it| it == b"->");
            let path = folder
                .path()
                .join(OsStr::from_bytes(&file[..link.unwrap_or(file.len())]));
            if file.ends_with(b"/") {
                fs::create_dir_all(path).unwrap();
                continue;
            }
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match link {
                Some(at) => symlink(OsStr::from_bytes(&file[at + 2..]), path).unwrap(),
                None => fs::write(path, "x").unwrap(),
            }
        }
        fs::write(folder.path().join(IGNORE_FILE), &self.rules).unwrap();
        fs::write(
            folder.path().join(DOCKERFILE),
            "FROM scratch\nCOPY . /context/\n",
        )
        .unwrap();
        folder
    }

    /// What should be in an image that the docker command builds without BuildKit.
    fn image(&self) -> Option<BTreeSet<OsString>> {
        let Expected::Kept(kept) = &self.expected else {
            return None;
        };
        let mut image = self.classic.as_ref().unwrap_or(kept).clone();
        let rules = IgnoreRules::parse(&self.rules).unwrap();
        let own = [DOCKERFILE, IGNORE_FILE].map(OsString::from);
        image.extend(own.into_iter().filter(|it| !rules.excludes(Path::new(it))));
        Some(image)
    }
}

/// Words with `%FF` for bytes.
fn names<C: FromIterator<OsString>>(text: &str) -> C {
    let words = text.split(' ').filter(|it| !it.is_empty());
    words.map(|it| OsString::from_vec(bytes(it))).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// The list, folders with a slash, without what every context has.
fn listed(folder: &Path, rules: &IgnoreRules) -> Vec<OsString> {
    let mut list = Vec::new();
    for file in files(folder, rules) {
        let file = file.unwrap();
        let mut name = file.path.into_os_string();
        if file.kind == FileKind::Folder {
            name.push("/");
        }
        if name != DOCKERFILE && name != IGNORE_FILE {
            list.push(name);
        }
    }
    list
}

#[test]
fn every_case_keeps_what_docker_sends() {
    let cases = Case::all();
    assert!(cases.len() > 50, "only {} cases were read", cases.len());
    for case in &cases {
        let title = &case.title;
        let (rules, kept) = match (IgnoreRules::parse(&case.rules), &case.expected) {
            (Err(invalid), Expected::Error(line)) => {
                assert_eq!(invalid.line, *line, "{title}");
                continue;
            }
            (Ok(rules), Expected::Kept(kept)) => {
                let list = listed(case.folder().path(), &rules);
                assert_eq!(
                    &list.iter().cloned().collect::<BTreeSet<_>>(),
                    kept,
                    "{title}"
                );
                assert_eq!(list.len(), kept.len(), "{title}: something is listed twice");
                let paths: Vec<PathBuf> = list.iter().map(PathBuf::from).collect();
                assert!(paths.is_sorted(), "{title}: {list:?}");
                (rules, kept)
            }
            (result, expected) => panic!("{title}: {result:?} instead of {expected:?}"),
        };
        the_rules_alone_say_the_same(case, &rules, kept);
    }
}

/// A path is asked about on its own, without the folders above it having been walked through.
fn the_rules_alone_say_the_same(case: &Case, rules: &IgnoreRules, kept: &BTreeSet<OsString>) {
    for file in &case.files {
        let bytes = file.as_bytes();
        if bytes.ends_with(b"/") {
            continue;
        }
        let end = bytes.windows(2).position(|it| it == b"->");
        let path = Path::new(OsStr::from_bytes(&bytes[..end.unwrap_or(bytes.len())]));
        let excluded = !kept.contains(path.as_os_str());
        let shown = format!("{}: {}", case.title, path.display());
        assert_eq!(rules.excludes(path), excluded, "{shown}");
        let rules = rules.clone().keeping(path);
        assert!(!rules.excludes(path), "{shown} is kept in any case");
    }
}

#[test]
fn every_case_is_what_a_real_build_copies() {
    let Some(docker) = Docker::here() else {
        return;
    };
    let cases = Mutex::new(Case::all());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().pop() else {
                        return;
                    };
                    let built = docker.build(case.folder().path());
                    let image = built.as_ref().map(|it| it.names("context")).ok();
                    if image != case.image() {
                        let (title, expected) = (&case.title, case.image());
                        let text = format!(
                            "{title}:\n  built    {image:?}\n  expected {expected:?}\n  {built:?}"
                        );
                        failures.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
