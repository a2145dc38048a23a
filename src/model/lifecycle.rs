//! How long a session may idle and live.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::Invalid;

/// A length of time that the service accepts for a session: 60 to 28800 whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct SessionSeconds(u32);

impl SessionSeconds {
    /// After how many idle seconds a session ends, where nobody decided otherwise.
    pub(crate) const DEFAULT_IDLE: Self = Self(900);
    /// After how many seconds a session ends in any case, where nobody decided otherwise.
    pub(crate) const DEFAULT_LIFETIME: Self = Self(28_800);

    const MIN: u32 = 60;
    const MAX: u32 = 28_800;

    /// The length of time.
    pub(crate) fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0.into())
    }

    fn new(seconds: i64) -> Result<Self, Invalid> {
        match u32::try_from(seconds) {
            Ok(seconds) if (Self::MIN..=Self::MAX).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(out_of_range(&seconds.to_string())),
        }
    }
}

impl FromStr for SessionSeconds {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map_err(|_| out_of_range(text))
            .and_then(Self::new)
    }
}

fn out_of_range(text: &str) -> Invalid {
    Invalid::new(format!(
        "`{text}` is not a number of seconds from 60 to 28800"
    ))
    .hint("use 900 for 15 minutes, 28800 for 8 hours")
}

impl fmt::Display for SessionSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for SessionSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|invalid: Invalid| serde::de::Error::custom(invalid.in_lines()))
    }
}

/// The two limits; an absent one is not decided in this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Lifecycle {
    /// Seconds without a call after which a session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_timeout: Option<SessionSeconds>,
    /// Seconds after which a session ends in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_lifetime: Option<SessionSeconds>,
}

impl Lifecycle {
    /// Checks that the limits fit together.
    pub(crate) fn new(
        idle: Option<SessionSeconds>,
        lifetime: Option<SessionSeconds>,
    ) -> Result<Self, Invalid> {
        if let (Some(idle), Some(lifetime)) = (idle, lifetime)
            && idle > lifetime
        {
            return Err(Invalid::new(format!(
                "the idle timeout ({idle} s) is longer than the maximum lifetime ({lifetime} s)"
            ))
            .hint("make the lifetime at least as long as the idle timeout"));
        }
        Ok(Self {
            idle_timeout: idle,
            max_lifetime: lifetime,
        })
    }
}

impl<'de> Deserialize<'de> for Lifecycle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Wire {
            #[serde(default, deserialize_with = "super::project::present")]
            idle_timeout: Option<SessionSeconds>,
            #[serde(default, deserialize_with = "super::project::present")]
            max_lifetime: Option<SessionSeconds>,
        }
        let Wire {
            idle_timeout,
            max_lifetime,
        } = Wire::deserialize(deserializer)?;
        Self::new(idle_timeout, max_lifetime)
            .map_err(|error| serde::de::Error::custom(error.in_lines()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_whole_seconds_in_range_and_in_order() {
        for wrong in [
            "59",
            "28801",
            "-60",
            "1e3",
            "60.0",
            "x",
            "",
            "99999999999999999999",
        ] {
            assert!(wrong.parse::<SessionSeconds>().is_err(), "{wrong}");
        }
        let (short, long) = ("60".parse().unwrap(), "28800".parse().unwrap());
        assert!(Lifecycle::new(Some(short), Some(long)).is_ok());
        assert!(Lifecycle::new(Some(short), Some(short)).is_ok());
        assert!(Lifecycle::new(Some(long), None).is_ok());
        assert_eq!(
            Lifecycle::new(Some(long), Some(short)).unwrap_err().message,
            "the idle timeout (28800 s) is longer than the maximum lifetime (60 s)"
        );
    }
}
