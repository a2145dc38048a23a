//! The rules of `.dockerignore` files, as Docker applies them.
//!
//! Patterns are asked in order and the last one that matches a path, or one of the folders above it, decides. A folder
//! that is left out is read all the same if an exception may match something in it, and only then.

mod automaton;
mod expression;
mod lines;
mod pattern;
mod rune;
mod syntax;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use pattern::Pattern;

/// An ignore file, read and compiled. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct IgnoreRules {
    patterns: Arc<Vec<Pattern>>,
}

/// A line of an ignore file that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidPattern {
    /// Counted from 1.
    pub line: usize,
    /// The line, without white space around it; the beginning of it if it is long.
    pub pattern: String,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}` is not a pattern", self.line, self.pattern)
    }
}

impl std::error::Error for InvalidPattern {}

/// What the rules say of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It belongs to the context.
    Kept,
    /// It is left out, by the pattern at this place.
    Excluded { by: usize },
}

/// Which patterns have matched a folder or one above it. For the root folder nothing has.
#[derive(Debug, Clone, Default)]
pub(super) struct Matched(Vec<bool>);

impl Matched {
    fn has(&self, index: usize) -> bool {
        self.0.get(index).copied().unwrap_or(false)
    }
}

impl IgnoreRules {
    /// Reads the text of an ignore file, which need not be UTF-8: file names need not be either.
    ///
    /// # Errors
    ///
    /// Fails at the first line that Docker would not accept as a pattern.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidPattern> {
        let mut patterns = Vec::new();
        for (line, raw) in lines::numbered(text) {
            let invalid = || InvalidPattern {
                line,
                pattern: shown(raw),
            };
            if let Some(cleaned) = lines::clean(raw).map_err(|_| invalid())? {
                patterns.push(Pattern::compile(cleaned).map_err(|_| invalid())?);
            }
        }
        Ok(Self {
            patterns: Arc::new(patterns),
        })
    }

    /// These rules, then `later`, as if both stood in one file.
    #[must_use]
    pub fn followed_by(mut self, later: &Self) -> Self {
        Arc::make_mut(&mut self.patterns).extend(later.patterns.iter().cloned());
        self
    }

    /// These rules, then an exception for exactly `path`: for what Docker sends whatever the rules say.
    #[must_use]
    pub fn keeping(mut self, path: &Path) -> Self {
        let keep = Pattern::keep(path.as_os_str().as_bytes());
        Arc::make_mut(&mut self.patterns).push(keep);
        self
    }

    /// Whether `path`, relative to the root of the context, is left out.
    pub fn excludes(&self, path: &Path) -> bool {
        let path = path.as_os_str().as_bytes();
        let mut matched = Matched::default();
        let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        for (end, _) in slashes {
            (_, matched) = self.folder_verdict(&path[..end], &matched);
        }
        self.verdict(path, &matched) != Verdict::Kept
    }

    /// Whether an exception puts `path` back in *by name*: one of the parts of the exception is exactly `name`, without a
    /// wildcard, and no later pattern leaves it out again. Exceptions that do not spell out the name count for nothing.
    ///
    /// For what must not get in by a broad pattern such as `!*`.
    pub fn keeps_by_name(&self, path: &Path, name: &OsStr) -> bool {
        let path = path.as_os_str().as_bytes();
        let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        let ends: Vec<usize> = slashes.map(|(at, _)| at).chain([path.len()]).collect();
        let matches = |pattern: &Pattern| ends.iter().any(|&end| pattern.matches(&path[..end]));
        let mut kept = false;
        for pattern in self.patterns.iter() {
            let counts = !pattern.exception || pattern.spells_out(name.as_bytes());
            if counts && pattern.exception != kept && matches(pattern) {
                kept = pattern.exception;
            }
        }
        kept
    }

    /// Whether [`Self::keeps_by_name`] may be true of something below `folder`.
    pub fn may_keep_by_name_below(&self, folder: &Path, name: &OsStr) -> bool {
        let folder = with_slash(folder.as_os_str().as_bytes());
        let named = |it: &&Pattern| it.exception && it.spells_out(name.as_bytes());
        self.patterns
            .iter()
            .filter(named)
            .any(|it| it.may_match_below(&folder))
    }

    /// What the rules say of `path`, whose folder has matched `parents`.
    pub(super) fn verdict(&self, path: &[u8], parents: &Matched) -> Verdict {
        self.ask(path, parents, |_| {})
    }

    /// The same of a folder, with what its entries need to know.
    pub(super) fn folder_verdict(&self, path: &[u8], parents: &Matched) -> (Verdict, Matched) {
        let mut matched = vec![false; self.patterns.len()];
        let verdict = self.ask(path, parents, |index| matched[index] = true);
        (verdict, Matched(matched))
    }

    /// Whether something below the folder `path`, left out by the pattern at `by`, may be put back in.
    pub(super) fn may_keep_below(&self, path: &[u8], by: usize) -> bool {
        let folder = with_slash(path);
        // What stands before the pattern that decided is overruled by it, there as here.
        let later = self.patterns.iter().skip(by + 1);
        later
            .filter(|it| it.exception)
            .any(|it| it.may_match_below(&folder))
    }

    fn ask(&self, path: &[u8], parents: &Matched, mut on_match: impl FnMut(usize)) -> Verdict {
        let mut verdict = Verdict::Kept;
        for (index, pattern) in self.patterns.iter().enumerate() {
            let excluded = verdict != Verdict::Kept;
            // A pattern that could change nothing is not asked, and then does not count as matched for the entries of this
            // folder either: a later answer for one of them may differ because of it.
            let matches =
                parents.has(index) || pattern.exception == excluded && pattern.matches(path);
            if matches {
                on_match(index);
                verdict = if pattern.exception {
                    Verdict::Kept
                } else {
                    Verdict::Excluded { by: index }
                };
            }
        }
        verdict
    }
}

fn with_slash(path: &[u8]) -> Vec<u8> {
    let mut folder = path.to_vec();
    folder.push(b'/');
    folder
}

/// A line as it is shown in an error.
fn shown(line: &[u8]) -> String {
    const LONGEST: usize = 80;
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
