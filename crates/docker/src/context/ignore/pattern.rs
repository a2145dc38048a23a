//! One pattern: how a path is compared with it, and what can be said of the paths below a folder.

use super::automaton::Automaton;
use super::expression::{self, Kind, Malformed};
use super::lines::Cleaned;
use super::syntax;

/// A pattern, compiled.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    /// Whether what it matches is put back in.
    pub(super) exception: bool,
    text: Vec<u8>,
    comparison: Comparison,
}

#[derive(Debug, Clone)]
enum Comparison {
    Exact,
    /// The first so many bytes of the pattern.
    Prefix(usize),
    /// Without the two stars.
    Suffix,
    /// One of these.
    Expression(Vec<Automaton>),
}

impl Pattern {
    /// Compiles a line.
    pub(super) fn compile(cleaned: Cleaned) -> Result<Self, Malformed> {
        let Cleaned { exception, text } = cleaned;
        if !syntax::is_well_formed(&text) {
            return Err(Malformed);
        }
        let comparison = match expression::write(&text) {
            Kind::Exact => Comparison::Exact,
            Kind::Prefix => Comparison::Prefix(text.len() - 2),
            Kind::Suffix => Comparison::Suffix,
            Kind::Expression(expression) => Comparison::Expression(expression::read(&expression)?),
        };
        Ok(Self {
            exception,
            text,
            comparison,
        })
    }

    /// The exception for `path` and what is below it, whatever characters are in the path.
    pub(super) fn keep(path: &[u8]) -> Self {
        Self {
            exception: true,
            text: path.to_vec(),
            comparison: Comparison::Exact,
        }
    }

    /// Whether it matches `path` itself; its parents are the caller's affair.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        match &self.comparison {
            Comparison::Exact => path == self.text,
            Comparison::Prefix(len) => path.starts_with(&self.text[..*len]),
            Comparison::Suffix => {
                let suffix = &self.text[2..];
                // `**/b` matches `b`, too.
                path.ends_with(suffix) || suffix.strip_prefix(b"/").is_some_and(|it| it == path)
            }
            Comparison::Expression(any) => any.iter().any(|it| it.matches(path)),
        }
    }

    /// Whether it may match a path below `folder`, which ends with a slash. Yes may be wrong, no is not.
    pub(super) fn may_match_below(&self, folder: &[u8]) -> bool {
        match &self.comparison {
            Comparison::Exact => self.text.starts_with(folder),
            Comparison::Prefix(len) => {
                let prefix = &self.text[..*len];
                prefix.starts_with(folder) || folder.starts_with(prefix)
            }
            Comparison::Suffix => true,
            Comparison::Expression(any) => any.iter().any(|it| it.may_match_below(folder)),
        }
    }

    /// Whether one part of the pattern is exactly `name`, without a wildcard.
    pub(super) fn spells_out(&self, name: &[u8]) -> bool {
        let literal = matches!(self.comparison, Comparison::Exact);
        self.text.split(|&byte| byte == b'/').any(|part| {
            if literal {
                part == name
            } else {
                is_literally(part, name)
            }
        })
    }
}

/// Whether the wildcard pattern `part` has no wildcard and stands for `name`.
fn is_literally(part: &[u8], name: &[u8]) -> bool {
    let mut plain = Vec::with_capacity(part.len());
    let mut bytes = part.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'*' | b'?' | b'[' | b']' | b'^' => return false,
            b'\\' => plain.extend(bytes.next()),
            _ => plain.push(byte),
        }
    }
    plain == name
}
