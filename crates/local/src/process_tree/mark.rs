//! The mark that every process of a sandbox inherits in its environment, so that it can be found again.
//!
//! Text to value and back; reading other processes' environments is `snapshot`'s work.

use std::fmt;

/// The variable that carries the mark.
pub(crate) const MARK_VARIABLE: &str = "AGENTCORE_SANDBOX";

/// Which sandbox a process belongs to: `<project and agent>/<front door>/<sandbox>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    /// The project and the agent in it. It may contain `/`.
    pub(crate) project: String,
    /// The front door's instance id.
    pub(crate) instance: String,
    /// The sandbox's id.
    pub(crate) sandbox: String,
}

impl Mark {
    /// Reads a mark; `None` if `text` has too few parts.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '/');
        let sandbox = parts.next()?.to_owned();
        let instance = parts.next()?.to_owned();
        let project = parts.next()?.to_owned();
        Some(Self {
            project,
            instance,
            sandbox,
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            project,
            instance,
            sandbox,
        } = self;
        write!(f, "{project}/{instance}/{sandbox}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_even_with_slashes_in_the_project() {
        let mark = Mark {
            project: "/home/a b/project#agent".into(),
            instance: "f00d".into(),
            sandbox: "3".into(),
        };
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
    }

    #[test]
    fn other_values_of_the_variable_are_no_marks() {
        assert_eq!(Mark::parse("1"), None);
        assert_eq!(Mark::parse("a/b"), None);
    }
}
