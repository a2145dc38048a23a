//! A setting that remembers who decided it: the order of precedence is a type, not the order of the calls.

use std::fmt;

use serde::Serialize;

/// Who decided a setting, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// Nobody.
    Default,
    /// The files that were found.
    Inferred,
    /// A variable that many programs share, such as `AWS_REGION`: it must not move a deployment.
    Shell,
    /// The project file.
    Project,
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Inferred => "inferred",
            Self::Shell => "from the environment",
            Self::Project => "from the project file",
            Self::Flag => "from the command line",
        })
    }
}

/// A value and who decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T> Setting<T> {
    /// A value that holds as long as nobody decides otherwise.
    pub(crate) fn default(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }

    /// Takes `value` if there is one and `origin` is the stronger.
    #[must_use]
    pub(crate) fn or(self, origin: Origin, value: Option<T>) -> Self {
        match value {
            Some(value) if self.origin < origin => Self { value, origin },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGINS: [Origin; 4] = [
        Origin::Inferred,
        Origin::Shell,
        Origin::Project,
        Origin::Flag,
    ];

    proptest! {
        /// Whatever is given, in whatever order it is told: the strongest who spoke is heard.
        #[test]
        fn the_strongest_origin_wins_in_any_order(
            values in proptest::array::uniform4(proptest::option::of(0_u8..)),
            order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
        ) {
            let setting = order.iter().fold(Setting::default(None), |setting, &index| {
                setting.or(ORIGINS[index], values[index].map(Some))
            });
            let strongest = (0..4).rev().find(|&index| values[index].is_some());
            prop_assert_eq!(setting.value, strongest.and_then(|index| values[index]));
            prop_assert_eq!(setting.origin, strongest.map_or(Origin::Default, |index| ORIGINS[index]));
        }
    }
}
