//! Lines of a log for people: the session in front, as its user knows it.
//!
//! What a line says is not judged here; it is printed as it is.

use std::fmt;

/// How much of a lengthened session id is its digest, in hexadecimal digits.
const DIGEST_DIGITS: usize = 32;

/// One line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLine<'a> {
    /// When, for those who did not watch it happen.
    pub(crate) time: Option<&'a str>,
    /// The session, if there is one.
    pub(crate) session: Option<&'a str>,
    /// The sandbox: the name of a line without a session.
    pub(crate) sandbox: Option<&'a str>,
    /// What it says.
    pub(crate) text: &'a str,
}

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            time,
            session,
            sandbox,
            text,
        } = self;
        if let Some(time) = time {
            write!(f, "{time} ")?;
        }
        if let Some(name) = session.map(short_session).or(*sandbox) {
            write!(f, "[{name}] ")?;
        }
        f.write_str(text)
    }
}

/// The part of a session id that a person recognises: what was typed, or the beginning of a generated one.
pub(crate) fn short_session(id: &str) -> &str {
    let is_hex = |text: &str| {
        text.bytes()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
    };
    if let Some((typed, digest)) = id.rsplit_once('-')
        && digest.len() == DIGEST_DIGITS
        && is_hex(digest)
    {
        return typed;
    }
    match uuid::Uuid::try_parse(id) {
        Ok(_) => id.split('-').next().unwrap_or(id),
        Err(_) => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_the_session_as_it_was_typed() {
        // The same as in `crates/host/python/tests/test_lines.py`.
        for (id, name) in [
            (
                "conversation-123-380d060426f2c9029d239cec9648f492",
                "conversation-123",
            ),
            ("0b1a2c3d-0000-4000-8000-000000000000", "0b1a2c3d"),
            ("0B1A2C3D-0000-4000-8000-000000000000", "0B1A2C3D"),
            ("{0b1a2c3d-0000-4000-8000-000000000000}", "{0b1a2c3d"),
            (
                "URN:uuid:0b1a2c3d-0000-4000-8000-000000000000",
                "URN:uuid:0b1a2c3d",
            ),
            (
                "0b1a2c3d000040008000000000000000",
                "0b1a2c3d000040008000000000000000",
            ),
            (
                "0b1a2c3d-0000-4000-80000-00000000000",
                "0b1a2c3d-0000-4000-80000-00000000000",
            ),
            (
                "conversation-380D060426F2C9029D239CEC9648F492",
                "conversation-380D060426F2C9029D239CEC9648F492",
            ),
            ("-380d060426f2c9029d239cec9648f492", ""),
            ("anything else", "anything else"),
        ] {
            assert_eq!(short_session(id), name);
        }
    }

    #[test]
    fn a_line_begins_with_what_is_known() {
        let line = LogLine {
            time: None,
            session: None,
            sandbox: Some("s1"),
            text: "hello",
        };
        assert_eq!(line.to_string(), "[s1] hello");
        assert_eq!(
            LogLine {
                session: Some("mine"),
                ..line
            }
            .to_string(),
            "[mine] hello"
        );
        assert_eq!(
            LogLine {
                time: Some("10:00"),
                sandbox: None,
                ..line
            }
            .to_string(),
            "10:00 hello"
        );
    }
}
