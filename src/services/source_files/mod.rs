//! The files of an agent's source: the one list of what goes into an image or an archive.
//!
//! What the source's `.dockerignore` lets through, by Docker's rules, or where there is none, what `templates/dockerignore`
//! does; `.gitignore` is for other purposes and is not asked. Two things stay out whatever those say: our state
//! (`.agentcore`, whose logs hold prompts), and [files that look like secrets](secrets), unless an exception names them.

mod secrets;

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use agentcore_docker::context::{
    self, ContextError, Extra, Files, IgnoreRules, InvalidPattern, archive,
};
use bytes::Bytes;
use futures_util::Stream;

use crate::error::CliError;
use secrets::Secrets;

/// The file with the rules, in the source folder.
const IGNORE_FILE: &str = ".dockerignore";

/// The rules of a source that has none.
const TEMPLATE: &str = include_str!("../../../templates/dockerignore");

/// What no rule lets in.
const ALWAYS_OUT: &str = "**/.agentcore";

/// Why it cannot be said which files there are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The ignore file is there and cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The ignore file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The ignore file has a line that is no pattern.
    #[error("`{}`, {invalid}", path.display())]
    Invalid {
        /// The ignore file.
        path: PathBuf,
        /// The line.
        invalid: InvalidPattern,
    },
}

/// The files of a source folder.
#[derive(Clone, Debug)]
pub(crate) struct SourceFiles {
    root: PathBuf,
    rules: IgnoreRules,
    text: Cow<'static, [u8]>,
}

impl SourceFiles {
    /// Reads the rules of the folder `source`; its files are read when they are asked for.
    ///
    /// # Errors
    ///
    /// Fails if there is a `.dockerignore` that cannot be read or understood.
    pub(crate) fn of(source: &Path) -> Result<Self, SourceError> {
        let path = source.join(IGNORE_FILE);
        let (text, own) = match fs::read(&path) {
            Ok(text) => (Cow::Owned(text), true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (Cow::Borrowed(TEMPLATE.as_bytes()), false)
            }
            Err(source) => return Err(SourceError::Unreadable { path, source }),
        };
        let mut rules = parse(&text, &path)?;
        if own {
            // Docker sends the file whatever it says of itself: the engine reads it once more.
            rules = rules.keeping(Path::new(IGNORE_FILE));
        }
        let rules = rules.followed_by(&parse(ALWAYS_OUT.as_bytes(), &path)?);
        Ok(Self {
            root: source.to_owned(),
            rules,
            text,
        })
    }

    /// Whether the file or folder `path`, relative to the source, is among the files if it is there.
    ///
    /// A private key is told by what is in the file, and only if the file can be read.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        !self.rules.excludes(path) && self.secrets().allow(path)
    }

    /// The files, in the order of their paths.
    pub(crate) fn files(&self) -> Files {
        let secrets = self.secrets();
        context::files(&self.root, &self.rules).unless(secrets.into_judge(|_| {}))
    }

    /// The archive of the files and `extras`; an extra replaces a file of the same path, and is sent even if the rules
    /// leave its path out.
    pub(crate) fn archive(
        &self,
        extras: Vec<Extra>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
        archive(&self.root, self.files(), extras)
    }

    /// The files and folders that the rules let through and that stay out because they look like secrets.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read.
    pub(crate) fn left_out_secrets(&self) -> Result<Vec<PathBuf>, ContextError> {
        let (sender, left_out) = std::sync::mpsc::channel();
        let judge = self.secrets().into_judge(move |path| {
            // The receiver is there until the list ends.
            let _ = sender.send(path.to_owned());
        });
        for file in context::files(&self.root, &self.rules).unless(judge) {
            file?;
        }
        Ok(left_out.try_iter().collect())
    }

    /// The rules as the text of an ignore file, for those who build with other tools: what looks like a secret by its name
    /// first, so that the source's own rules have the last word, and `left_out` in any case.
    pub(crate) fn ignore_text(&self, left_out: &[PathBuf]) -> Vec<u8> {
        let own = self
            .text
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&self.text);
        let mut text = secrets::patterns().into_bytes();
        text.extend_from_slice(own);
        text.push(b'\n');
        for path in left_out {
            text.extend(literally(path));
            text.push(b'\n');
        }
        text.extend_from_slice(ALWAYS_OUT.as_bytes());
        text.push(b'\n');
        text
    }

    fn secrets(&self) -> Secrets {
        Secrets::new(self.root.clone(), self.rules.clone())
    }
}

impl From<SourceError> for CliError {
    fn from(error: SourceError) -> Self {
        let message = error.to_string();
        match error {
            SourceError::Unreadable { source, .. } => {
                Self::configuration(message).caused_by(source).hint("make the file readable")
            }
            SourceError::Invalid { .. } => Self::configuration(message).hint(
                "correct the line: every `[` needs its `]`, a range goes upwards, a `\\` stands before the character that it \
                 protects, and paths have `/`",
            ),
        }
    }
}

fn parse(text: &[u8], path: &Path) -> Result<IgnoreRules, SourceError> {
    IgnoreRules::parse(text).map_err(|invalid| SourceError::Invalid {
        path: path.to_owned(),
        invalid,
    })
}

/// A pattern that matches `path`, and no other unless there is white space in it.
fn literally(path: &Path) -> Vec<u8> {
    let mut pattern = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'!' | b'#' => pattern.extend([b'\\', byte]),
            // It would end the line, or be trimmed.
            _ if byte.is_ascii_whitespace() || byte.is_ascii_control() => pattern.push(b'?'),
            _ => pattern.push(byte),
        }
    }
    pattern
}

#[cfg(test)]
mod tests;
