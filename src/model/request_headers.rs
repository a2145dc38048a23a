//! The request headers that reach a deployed agent beside those of the service.

use agentcore_protocol::header;
use serde::{Deserialize, Deserializer, Serialize};

use super::Invalid;

const MAX_HEADERS: usize = 20;
const MAX_NAME: usize = 256;

/// 1 to 20 header names, each one that the service forwards, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct RequestHeaders(Vec<String>);

impl RequestHeaders {
    /// Checks the names and their number.
    pub(crate) fn new(names: Vec<String>) -> Result<Self, Invalid> {
        if names.is_empty() {
            return Err(Invalid::new("the list of request headers is empty")
                .hint("name 1 to 20 headers, or leave the list out"));
        }
        if names.len() > MAX_HEADERS {
            return Err(Invalid::new(format!(
                "{} request headers are more than the service takes",
                names.len()
            ))
            .hint("name at most 20"));
        }
        for (index, name) in names.iter().enumerate() {
            check_name(name)?;
            if names[..index]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(name))
            {
                return Err(Invalid::new(format!(
                    "the request header `{name}` is named twice"
                )));
            }
        }
        Ok(Self(names))
    }

    /// Reads a comma-separated list.
    pub(crate) fn from_list(text: &str) -> Result<Self, Invalid> {
        Self::new(
            text.split(',')
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    /// The names, as they were written.
    pub(crate) fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether `name` is among them, in any case.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|it| it.eq_ignore_ascii_case(name))
    }
}

/// Whether the service would forward the header `name`.
pub(crate) fn check_name(name: &str) -> Result<(), Invalid> {
    let first_is_right = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let all_are_right = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if !first_is_right || !all_are_right || name.len() > MAX_NAME {
        let error = Invalid::new(format!(
            "`{name}` is not a header name that the service takes"
        ));
        return Err(error.hint(if name.contains('*') {
            "name every header in full, the service knows no `*`"
        } else {
            "use letters, digits, `-` and `_`, a letter first"
        }));
    }
    if !header::is_forwardable(name) {
        return Err(Invalid::new(format!("the service never forwards the header `{name}`"))
            .hint("name it `X-Amzn-Bedrock-AgentCore-Runtime-Custom-…`, or as no standard header is named"));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for RequestHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?)
            .map_err(|error| serde::de::Error::custom(error.in_lines()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_service_forwards() {
        for right in [
            "Authorization",
            "X-Team",
            "X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team",
            "a_b",
        ] {
            assert!(check_name(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "1a",
            "X Team",
            "X-Team:",
            "Host",
            "content-length",
            "x-amz-date",
            "X-Amzn-Other",
            "X-*",
        ] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_has_one_to_twenty_names_and_none_twice() {
        assert_eq!(
            RequestHeaders::from_list("X-A, X-B,").unwrap().names(),
            ["X-A", "X-B"]
        );
        assert!(RequestHeaders::from_list(" , ").is_err());
        assert!(RequestHeaders::from_list("X-A,x-a").is_err());
        let names = |count: usize| (0..count).map(|index| format!("X-{index}")).collect();
        assert!(RequestHeaders::new(names(20)).is_ok());
        assert!(RequestHeaders::new(names(21)).is_err());
    }
}
