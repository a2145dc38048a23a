//! The two kinds of session id: what an agent may see, and what the managed service accepts.
//!
//! This module checks ids and carries them to and from header values; how an id is made or
//! lengthened is its users' matter.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::header::latin1;

/// A session id as agents and the plain `/invocations` route see it: any header value that is not
/// empty.
///
/// Cheap to clone. Characters are those of a header value read as Latin-1: no control characters
/// but the tab, no white space at either end (a header value loses it on the wire), nothing above
/// U+00FF.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id as the value of a session header.
    pub fn to_header_value(&self) -> HeaderValue {
        header_value(&self.0)
    }
}

/// A session id that the managed service accepts: 33 to 256 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceSessionId(SessionId);

impl ServiceSessionId {
    /// The smallest number of characters.
    pub const MIN_LEN: usize = 33;
    /// The largest number of characters.
    pub const MAX_LEN: usize = 256;

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the id as the value of a session header.
    pub fn to_header_value(&self) -> HeaderValue {
        self.0.to_header_value()
    }
}

/// Why a text is no [`SessionId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionId {
    /// There is no text.
    #[error("the session id is empty")]
    Empty,
    /// A header value cannot carry the character.
    #[error(
        "the session id has a character that a header cannot carry, {found:?} at position {position}"
    )]
    Character {
        /// The first such character.
        found: char,
        /// Its position, counted in characters from 1.
        position: usize,
    },
    /// The text starts or ends with a space or a tab.
    #[error("the session id starts or ends with white space")]
    OuterSpace,
}

/// Why a text is no [`ServiceSessionId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidServiceSessionId {
    /// The text is no session id at all.
    #[error(transparent)]
    Invalid(#[from] InvalidSessionId),
    /// The text is too short or too long.
    #[error("the session id has {len} characters, the service takes 33 to 256")]
    Length {
        /// How many characters it has.
        len: usize,
    },
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidSessionId::Empty);
        }
        if let Some((index, found)) = text.chars().enumerate().find(|(_, c)| !is_header_char(*c)) {
            return Err(InvalidSessionId::Character {
                found,
                position: index + 1,
            });
        }
        if text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) {
            return Err(InvalidSessionId::OuterSpace);
        }
        Ok(Self(text.into()))
    }
}

/// The inverse of [`latin1`], for text that [`SessionId`] has checked.
fn header_value(text: &str) -> HeaderValue {
    let byte = |c| u8::try_from(c).expect("a session id has no character above U+00FF");
    let bytes: Vec<u8> = text.chars().map(byte).collect();
    HeaderValue::from_bytes(&bytes).expect("a session id has no control character but the tab")
}

fn is_header_char(c: char) -> bool {
    matches!(c, '\t' | ' '..='~' | '\u{80}'..='\u{ff}')
}

impl TryFrom<String> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<&HeaderValue> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(value: &HeaderValue) -> Result<Self, Self::Error> {
        latin1(value).parse()
    }
}

impl FromStr for ServiceSessionId {
    type Err = InvalidServiceSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<SessionId>()?.try_into()
    }
}

impl TryFrom<SessionId> for ServiceSessionId {
    type Error = InvalidServiceSessionId;

    fn try_from(id: SessionId) -> Result<Self, Self::Error> {
        let len = id.as_str().chars().count();
        if (Self::MIN_LEN..=Self::MAX_LEN).contains(&len) {
            Ok(Self(id))
        } else {
            Err(InvalidServiceSessionId::Length { len })
        }
    }
}

impl TryFrom<String> for ServiceSessionId {
    type Error = InvalidServiceSessionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<&HeaderValue> for ServiceSessionId {
    type Error = InvalidServiceSessionId;

    fn try_from(value: &HeaderValue) -> Result<Self, Self::Error> {
        SessionId::try_from(value)?.try_into()
    }
}

impl From<ServiceSessionId> for SessionId {
    fn from(id: ServiceSessionId) -> Self {
        id.0
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.as_str().to_owned()
    }
}

impl From<ServiceSessionId> for String {
    fn from(id: ServiceSessionId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for ServiceSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServiceSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceSessionId")
            .field(&self.as_str())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_judged_at_their_bounds() {
        let length = |len| Err(InvalidServiceSessionId::Length { len });
        for (len, plain, service) in [
            (0, false, Err(InvalidSessionId::Empty.into())),
            (1, true, length(1)),
            (32, true, length(32)),
            (33, true, Ok(())),
            (256, true, Ok(())),
            (257, true, length(257)),
        ] {
            for letter in ["a", "é"] {
                let text = letter.repeat(len);
                assert_eq!(
                    text.parse::<SessionId>().is_ok(),
                    plain,
                    "{len} times {letter}"
                );
                assert_eq!(
                    text.parse::<ServiceSessionId>().map(drop),
                    service,
                    "{len} {letter}"
                );
            }
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_with_the_id() {
        for (text, message) in [
            ("", "the session id is empty"),
            (" a", "the session id starts or ends with white space"),
            ("a\t", "the session id starts or ends with white space"),
            (" ", "the session id starts or ends with white space"),
            (
                "ab\nc",
                r"the session id has a character that a header cannot carry, '\n' at position 3",
            ),
            (
                "é世",
                "the session id has a character that a header cannot carry, '世' at position 2",
            ),
            (
                "conversation-123",
                "the session id has 16 characters, the service takes 33 to 256",
            ),
        ] {
            assert_eq!(
                text.parse::<ServiceSessionId>().unwrap_err().to_string(),
                message
            );
        }
        assert_eq!(
            "conversation-123".parse::<SessionId>().unwrap().as_str(),
            "conversation-123"
        );
    }

    #[test]
    fn both_ids_are_plain_texts_in_json_and_check_them_on_the_way_in() {
        let id: ServiceSessionId = "0123456789abcdef0123456789abcdef-x".parse().unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#""0123456789abcdef0123456789abcdef-x""#);
        assert_eq!(serde_json::from_str::<ServiceSessionId>(&json).unwrap(), id);
        assert_eq!(
            serde_json::from_str::<SessionId>(&json).unwrap(),
            SessionId::from(id)
        );
        assert_eq!(
            serde_json::from_str::<SessionId>(r#""a b""#)
                .unwrap()
                .to_string(),
            "a b"
        );
        assert!(serde_json::from_str::<SessionId>(r#""""#).is_err());
        assert!(serde_json::from_str::<ServiceSessionId>(r#""a b""#).is_err());
    }

    proptest! {
        #[test]
        fn every_trimmed_header_value_is_an_id_and_goes_back_unchanged(
            bytes in prop::collection::vec(any::<u8>(), 1..300),
        ) {
            // What a server receives: the white space around the value is not part of it.
            let bytes = bytes.trim_ascii();
            if let Ok(value) = HeaderValue::from_bytes(bytes) && !bytes.is_empty() {
                let id = SessionId::try_from(&value).unwrap();
                prop_assert_eq!(id.to_header_value(), &value);
                prop_assert_eq!(id.as_str().parse::<SessionId>().unwrap(), id);
                let accepted = ServiceSessionId::try_from(&value).is_ok();
                prop_assert_eq!(accepted, (33..=256).contains(&bytes.len()));
            }
        }

        #[test]
        fn every_text_that_is_an_id_is_a_header_value(text in any::<String>()) {
            if let Ok(id) = text.parse::<SessionId>() {
                prop_assert_eq!(SessionId::try_from(&id.to_header_value()), Ok(id));
            }
        }
    }
}
