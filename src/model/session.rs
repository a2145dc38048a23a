//! Session ids as people type them, and how a short one becomes one that the service accepts.

use std::fmt::Write;
use std::str::FromStr;

use agentcore_protocol::ServiceSessionId;
use sha2::{Digest, Sha256};

use super::Invalid;
use super::name::AgentName;

/// A session id that a person typed: `[A-Za-z0-9][A-Za-z0-9_-]*`, at most 256 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypedSessionId(String);

text_value!(TypedSessionId, as_str);

/// What the service is given for a typed id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentSessionId {
    /// The id.
    pub(crate) id: ServiceSessionId,
    /// Whether it is longer than what was typed.
    pub(crate) lengthened: bool,
}

impl TypedSessionId {
    /// Lengthens an id that is too short for the service, the same way for ever: the same typed id of the same agent
    /// must reach the same session from every machine and every version of this program.
    pub(crate) fn for_service(&self, agent: &AgentName) -> SentSessionId {
        if let Ok(id) = self.0.parse() {
            return SentSessionId {
                id,
                lengthened: false,
            };
        }
        let mut text = format!("{}-", self.0);
        for byte in &Sha256::digest(format!("{agent}\n{}", self.0))[..16] {
            write!(text, "{byte:02x}").expect("writing to a string does not fail");
        }
        let id = text.parse().expect(
            "an id of 1 to 32 characters with 33 added has a length that the service takes",
        );
        SentSessionId {
            id,
            lengthened: true,
        }
    }
}

impl FromStr for TypedSessionId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let first_is_right = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all_are_right = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !first_is_right || !all_are_right {
            return Err(Invalid::new(format!("`{text}` is not a session id"))
                .hint("use letters, digits, `-` and `_`, a letter or digit first"));
        }
        if text.len() > ServiceSessionId::MAX_LEN {
            return Err(
                Invalid::new(format!("the session id has {} characters", text.len()))
                    .hint("use at most 256"),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(agent: &str, id: &str) -> (String, bool) {
        let SentSessionId { id, lengthened } = id
            .parse::<TypedSessionId>()
            .unwrap()
            .for_service(&agent.parse().unwrap());
        (id.as_str().to_owned(), lengthened)
    }

    /// Never to change: people continue sessions by the id they typed.
    #[test]
    fn a_short_id_is_lengthened_by_a_fixed_rule() {
        assert_eq!(
            sent("my_agent", "conversation-123"),
            (
                "conversation-123-380d060426f2c9029d239cec9648f492".to_owned(),
                true
            )
        );
        assert_ne!(
            sent("other", "conversation-123").0,
            sent("my_agent", "conversation-123").0
        );
        assert_eq!(sent("my_agent", &"a".repeat(32)).0.len(), 65);
    }

    #[test]
    fn an_id_that_is_long_enough_is_sent_as_it_is() {
        for len in [33, 256] {
            assert_eq!(sent("my_agent", &"a".repeat(len)), ("a".repeat(len), false));
        }
    }

    #[test]
    fn odd_ids_are_refused() {
        for wrong in ["", "-a", "_a", "a b", "a/b", "ä", &"a".repeat(257)] {
            assert!(wrong.parse::<TypedSessionId>().is_err(), "{wrong}");
        }
    }
}
