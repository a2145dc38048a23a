//! Which files look like secrets.
//!
//! Most are told by their names; where a name says too little (`.pem` files may be certificates, an `.npmrc` may hold nothing
//! but a registry), what is in the file decides. Letters count the same in both cases.
//!
//! A secret gets in only if an exception of the ignore file *names* it: the exception matches the file, and one of its parts
//! is exactly the name that makes the file a secret. For `config/.env`, `!config/.env` and `!**/.env` do; `!config`,
//! `!config/*` and `!**/.env*` do not. For a folder of secrets the folder's name is what counts: `!.aws` lets all of it in,
//! `!.aws/config` that one file. As everywhere, the last pattern that counts decides.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use agentcore_docker::context::{ContextFile, FileKind, IgnoreRules, Opinion};

/// Files and folders that hold credentials under this very name.
const NAMES: &[&str] = &[
    ".aws",
    ".azure",
    ".envrc",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".my.cnf",
    ".netrc",
    ".pgpass",
    ".s3cfg",
    ".ssh",
    ".vault-token",
    "_netrc",
];

/// The same, in a folder of this name.
const NAMES_IN: &[(&str, &str)] = &[
    (".cargo", "credentials"),
    (".cargo", "credentials.toml"),
    (".config", "gcloud"),
    (".docker", "config.json"),
    (".streamlit", "secrets.toml"),
];

/// Key stores, password safes, and the state of Terraform, which holds every password it has set.
const ENDINGS: &[&str] = &[
    ".jks",
    ".kdbx",
    ".key",
    ".keystore",
    ".p12",
    ".p8",
    ".pfx",
    ".ppk",
    ".tfstate",
    ".tfstate.backup",
];

/// Environment files with one of these parts are meant to be seen.
const EXAMPLES: &[&str] = &["dist", "example", "sample", "template"];

/// What keys of SSH are called by default.
const SSH_KEYS: &[&str] = &["id_dsa", "id_ecdsa", "id_ed25519", "id_rsa"];

/// What tells a private key.
const PRIVATE_KEY: &[&str] = &["PRIVATE KEY"];

/// What tells a credential of Google in JSON.
const GOOGLE: &[&str] = &["\"private_key\"", "\"client_secret\"", "\"refresh_token\""];

/// How much of a file is searched.
const SEARCHED: u64 = 1024 * 1024;

/// What a name says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Harmless,
    Secret,
    /// A secret if one of these is in it.
    SecretIfItHolds(&'static [&'static str]),
}

/// Tells which files of a folder are left out because they look like secrets.
#[derive(Debug)]
pub(super) struct Secrets {
    root: PathBuf,
    rules: IgnoreRules,
}

impl Secrets {
    /// The secrets in `root`, where `rules` may name exceptions.
    pub(super) fn new(root: PathBuf, rules: IgnoreRules) -> Self {
        Self { root, rules }
    }

    /// Whether `path`, relative to the root, is no secret and in no folder of secrets, or let in by name.
    pub(super) fn allow(&self, path: &Path) -> bool {
        let is_file = self
            .root
            .join(path)
            .symlink_metadata()
            .is_ok_and(|it| it.is_file());
        path.ancestors()
            .all(|it| match self.secret_name(it, is_file && it == path) {
                Some(name) => self.rules.keeps_by_name(path, &name),
                None => true,
            })
    }

    /// The judge for a list of the files, which must come in order. It tells `on_left_out` of each file or folder that it
    /// leaves out.
    pub(super) fn into_judge(
        self,
        mut on_left_out: impl FnMut(&Path) + Send + 'static,
    ) -> impl FnMut(&ContextFile) -> Opinion + Send + 'static {
        // Folders of secrets that hold an exception, with the name that makes them secret.
        let mut entered: Vec<(PathBuf, OsString)> = Vec::new();
        move |file| {
            entered.retain(|(folder, _)| file.path.starts_with(folder));
            let is_file = matches!(file.kind, FileKind::File { .. });
            let is_folder = file.kind == FileKind::Folder;
            let own = self.secret_name(&file.path, is_file);
            let names = entered.iter().map(|(_, name)| name).chain(&own);
            let opinions = names.map(|name| self.opinion(&file.path, is_folder, name));
            let opinion = opinions
                .max_by_key(|it| severity(*it))
                .unwrap_or(Opinion::Keep);
            if opinion == Opinion::LeaveOut {
                on_left_out(&file.path);
            } else if is_folder {
                entered.extend(own.map(|name| (file.path.clone(), name)));
            }
            opinion
        }
    }

    fn opinion(&self, path: &Path, is_folder: bool, name: &OsStr) -> Opinion {
        if self.rules.keeps_by_name(path, name) {
            Opinion::Keep
        } else if is_folder && self.rules.may_keep_by_name_below(path, name) {
            Opinion::LookInside
        } else {
            Opinion::LeaveOut
        }
    }

    /// The name by which an exception must call `path`, if that looks like a secret by itself.
    fn secret_name(&self, path: &Path, is_file: bool) -> Option<OsString> {
        let name = path.file_name()?;
        let parent = path.parent().and_then(Path::file_name);
        let is_secret = match look(name, parent) {
            Look::Harmless => false,
            Look::Secret => true,
            // What cannot be read is told as that, when it is to be sent.
            Look::SecretIfItHolds(words) => {
                is_file && holds(&self.root.join(path), words).unwrap_or(false)
            }
        };
        is_secret.then(|| name.to_owned())
    }
}

/// The more is left out, the higher.
fn severity(opinion: Opinion) -> u8 {
    match opinion {
        Opinion::Keep => 0,
        Opinion::LookInside => 1,
        Opinion::LeaveOut => 2,
    }
}

/// What the name of a file or folder, in a folder called `parent`, says.
fn look(name: &OsStr, parent: Option<&OsStr>) -> Look {
    let is = |text: &str| name.eq_ignore_ascii_case(text);
    let ends = |text: &str| ends_with(name.as_bytes(), text);
    let in_folder = |text: &str| parent.is_some_and(|it| it.eq_ignore_ascii_case(text));
    let secret = NAMES.iter().any(|it| is(it))
        || ENDINGS.iter().any(|it| ends(it))
        || NAMES_IN
            .iter()
            .any(|(folder, it)| is(it) && in_folder(folder))
        || is_environment(name);
    if secret {
        return Look::Secret;
    }
    let is_ssh_key = |it: &&str| starts_with(name.as_bytes(), it);
    if ends(".pem") || SSH_KEYS.iter().any(is_ssh_key) {
        Look::SecretIfItHolds(PRIVATE_KEY)
    } else if is(".npmrc") || is(".yarnrc.yml") {
        Look::SecretIfItHolds(&["_auth", "_password", "AuthToken", "AuthIdent"])
    } else if is(".pypirc") {
        Look::SecretIfItHolds(&["password"])
    } else if ends(".json") && is_google(name) {
        Look::SecretIfItHolds(GOOGLE)
    } else {
        Look::Harmless
    }
}

/// `.env`, `.env.local`, `prod.env` and the like, but not `.env.example`.
fn is_environment(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let separates = |byte: &u8| !byte.is_ascii_alphanumeric();
    let begins = starts_with(name, ".env") && name.get(4).is_none_or(separates);
    let is_example = || {
        name.split(separates).any(|part| {
            EXAMPLES
                .iter()
                .any(|it| part.eq_ignore_ascii_case(it.as_bytes()))
        })
    };
    (begins || ends_with(name, ".env")) && !is_example()
}

/// The names that Google's own guides and tools give to files with credentials.
fn is_google(name: &OsStr) -> bool {
    let name = name.as_bytes().to_ascii_lowercase();
    let name = String::from_utf8_lossy(&name);
    let whole = [
        "credentials.json",
        "application_default_credentials.json",
        "token.json",
    ];
    let service = |it: &str| it.contains("service_account") || it.contains("service-account");
    whole.contains(&&*name) || name.starts_with("client_secret") || service(&name)
}

fn starts_with(name: &[u8], text: &str) -> bool {
    name.get(..text.len())
        .is_some_and(|it| it.eq_ignore_ascii_case(text.as_bytes()))
}

fn ends_with(name: &[u8], text: &str) -> bool {
    let start = name.len().checked_sub(text.len());
    start.is_some_and(|start| name[start..].eq_ignore_ascii_case(text.as_bytes()))
}

/// Whether one of `words` is in the first part of the file; nothing if it cannot be read.
fn holds(path: &Path, words: &[&str]) -> Option<bool> {
    let mut content = Vec::new();
    File::open(path)
        .ok()?
        .take(SEARCHED)
        .read_to_end(&mut content)
        .ok()?;
    let text = String::from_utf8_lossy(&content);
    Some(words.iter().any(|word| text.contains(word)))
}

/// The names as lines of an ignore file, with the exceptions for examples. What only its content tells is not in it.
pub(super) fn patterns() -> String {
    let names = NAMES.iter().map(|it| format!("**/{it}"));
    let names_in = NAMES_IN
        .iter()
        .map(|(folder, it)| format!("**/{folder}/{it}"));
    let endings = ENDINGS.iter().map(|it| format!("**/*{it}"));
    let environments = [".env", ".env[!-/]*", ".env_*", "*.env"].map(|it| format!("**/{it}"));
    let ssh_keys = SSH_KEYS.iter().map(|it| format!("**/{it}"));
    let examples = EXAMPLES
        .iter()
        .flat_map(|it| [format!("!**/.env*[!-/_]{it}"), format!("!**/{it}*.env")]);
    let lines = names
        .chain(names_in)
        .chain(endings)
        .chain(environments)
        .chain(ssh_keys)
        .chain(examples);
    lines.fold(String::new(), |text, line| text + &line + "\n")
}
