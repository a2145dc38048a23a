//! Environment variables that a project gives its agent, within the service's limits.

use std::str::FromStr;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};

use super::Invalid;

const MAX_NAME: usize = 100;
const MAX_VALUE: usize = 5000;
const MAX_VARIABLES: usize = 50;

/// The name of an environment variable: letters, digits and underscores, no digit first, at most 100.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct EnvName(String);

text_value!(EnvName, as_str);

impl FromStr for EnvName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let first_is_right = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let all_are_right = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if first_is_right && all_are_right && text.len() <= MAX_NAME {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(format!(
            "`{text}` is not the name of an environment variable"
        ))
        .hint("use at most 100 letters, digits and underscores, no digit first"))
    }
}

/// One variable, typed as `NAME=VALUE`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) name: EnvName,
    pub(crate) value: String,
}

/// Values may be secrets.
impl std::fmt::Debug for Assignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

impl FromStr for Assignment {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some((name, value)) = text.split_once('=') else {
            return Err(
                Invalid::new(format!("`{text}` has no `=`")).hint("write it as `NAME=VALUE`")
            );
        };
        let name: EnvName = name.parse()?;
        check_value(&name, value)?;
        Ok(Self {
            name,
            value: value.to_owned(),
        })
    }
}

/// The variables of one agent, in the order in which they are written.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Environment(IndexMap<EnvName, String>);

impl Environment {
    /// Adds or replaces one variable.
    pub(crate) fn set(&mut self, Assignment { name, value }: Assignment) -> Result<(), Invalid> {
        self.0.insert(name, value);
        self.check_len()
    }

    /// The names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &EnvName> {
        self.0.keys()
    }

    /// Names and values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&EnvName, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }

    fn check_len(&self) -> Result<(), Invalid> {
        if self.0.len() > MAX_VARIABLES {
            return Err(Invalid::new(format!(
                "{} environment variables are more than the service takes, which is {MAX_VARIABLES}",
                self.0.len()
            )));
        }
        Ok(())
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.0.keys().map(EnvName::as_str))
            .finish()
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let environment = Self(IndexMap::deserialize(deserializer)?);
        let checked = environment
            .0
            .iter()
            .try_for_each(|(name, value)| check_value(name, value));
        checked
            .and_then(|()| environment.check_len())
            .map_err(|error| serde::de::Error::custom(error.in_lines()))?;
        Ok(environment)
    }
}

fn check_value(name: &EnvName, value: &str) -> Result<(), Invalid> {
    if value.contains('\0') {
        return Err(Invalid::new(format!(
            "the value of `{name}` has a NUL character"
        )));
    }
    let len = value.chars().count();
    if len > MAX_VALUE {
        return Err(Invalid::new(format!(
            "the value of `{name}` has {len} characters, the service takes {MAX_VALUE}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_an_equals_sign_and_may_be_empty() {
        let assignment: Assignment = "X=a=b".parse().unwrap();
        assert_eq!(
            (assignment.name.as_str(), assignment.value.as_str()),
            ("X", "a=b")
        );
        assert_eq!("X=".parse::<Assignment>().unwrap().value, "");
        for wrong in ["X", "=v", "1X=v", "A B=v", "é=v"] {
            assert!(wrong.parse::<Assignment>().is_err(), "{wrong}");
        }
        assert_eq!(
            format!("{:?}", "KEY=secret".parse::<Assignment>().unwrap()),
            "KEY=…"
        );
    }

    #[test]
    fn the_service_takes_fifty_variables_of_five_thousand_characters() {
        let mut environment = Environment::default();
        for index in 0..50 {
            environment
                .set(format!("V{index}=x").parse().unwrap())
                .unwrap();
        }
        environment.set("V0=y".parse().unwrap()).unwrap();
        assert!(environment.set("V50=x".parse().unwrap()).is_err());
        assert!(
            format!("A={}", "é".repeat(5000))
                .parse::<Assignment>()
                .is_ok()
        );
        assert!(
            format!("A={}", "é".repeat(5001))
                .parse::<Assignment>()
                .is_err()
        );
    }
}
