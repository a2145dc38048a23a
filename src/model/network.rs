//! The network of a deployed agent: public, or subnets and security groups of a virtual private cloud.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::Invalid;
use super::choices::NetworkMode;

const MAX_ENTRIES: usize = 16;

/// The identifier of a subnet, `subnet-` and 8 to 17 letters or digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubnetId(String);

text_value!(SubnetId);

/// The identifier of a security group, `sg-` and 8 to 17 letters or digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecurityGroupId(String);

text_value!(SecurityGroupId);

/// Where the agent stands; `VPC` with both lists, `PUBLIC` with neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Network {
    /// `PUBLIC` or `VPC`.
    pub(crate) mode: NetworkMode,
    /// The subnets, 1 to 16 with `VPC`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) subnets: Vec<SubnetId>,
    /// The security groups, 1 to 16 with `VPC`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) security_groups: Vec<SecurityGroupId>,
}

impl Network {
    /// Checks that lists and mode fit together.
    pub(crate) fn new(
        mode: NetworkMode,
        subnets: Vec<SubnetId>,
        security_groups: Vec<SecurityGroupId>,
    ) -> Result<Self, Invalid> {
        for (what, len) in [
            ("subnets", subnets.len()),
            ("security_groups", security_groups.len()),
        ] {
            match mode {
                NetworkMode::Public if len > 0 => {
                    return Err(Invalid::new(format!("`{what}` needs the network mode VPC"))
                        .hint("set `mode: VPC`"));
                }
                NetworkMode::Vpc if !(1..=MAX_ENTRIES).contains(&len) => {
                    return Err(Invalid::new(format!(
                        "the network mode VPC needs 1 to 16 `{what}`, not {len}"
                    )));
                }
                NetworkMode::Public | NetworkMode::Vpc => {}
            }
        }
        Ok(Self {
            mode,
            subnets,
            security_groups,
        })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            mode: NetworkMode,
            #[serde(default)]
            subnets: Vec<SubnetId>,
            #[serde(default)]
            security_groups: Vec<SecurityGroupId>,
        }
        let Wire {
            mode,
            subnets,
            security_groups,
        } = Wire::deserialize(deserializer)?;
        Self::new(mode, subnets, security_groups)
            .map_err(|error| serde::de::Error::custom(error.in_lines()))
    }
}

impl FromStr for SubnetId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if has_id_form(text, "subnet-") {
            return Ok(Self(text.to_owned()));
        }
        Err(
            Invalid::new(format!("`{text}` is not the identifier of a subnet"))
                .hint("write it as in `subnet-0123456789abcdef0`"),
        )
    }
}

impl FromStr for SecurityGroupId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if has_id_form(text, "sg-") {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(format!(
            "`{text}` is not the identifier of a security group"
        ))
        .hint("write it as in `sg-0123456789abcdef0`"))
    }
}

/// Whether `text` is `prefix` and 8 to 17 letters or digits, the form of the service's identifiers.
pub(super) fn has_id_form(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|id| {
        (8..=17).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_lists_must_fit() {
        let subnets = vec!["subnet-01234567".parse().unwrap()];
        let groups = vec!["sg-01234567".parse().unwrap()];
        assert!(Network::new(NetworkMode::Vpc, subnets.clone(), groups.clone()).is_ok());
        assert!(Network::new(NetworkMode::Vpc, subnets.clone(), vec![]).is_err());
        assert!(Network::new(NetworkMode::Public, subnets, vec![]).is_err());
        assert!(Network::new(NetworkMode::Public, vec![], vec![]).is_ok());
        assert!("subnet-123".parse::<SubnetId>().is_err());
        assert!("subnet-01234567".parse::<SecurityGroupId>().is_err());
    }
}
