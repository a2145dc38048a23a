//! Values that are text with a rule: one `FromStr` a type, and from it serde and `Display`, so that flags, files and
//! tests share the rule.

use std::fmt;

/// Why a text is not the value that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// What is wrong, as a lower-case clause that names the value.
    pub(crate) message: String,
    /// What would be right, in the imperative.
    pub(crate) hint: Option<String>,
}

impl Invalid {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Message and hint in a line each, for errors that carry one text: who reads the file takes them apart again.
    pub(crate) fn in_lines(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{}\n{hint}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Invalid {}

/// The name in `names` that `typed` most likely meant, if one is close enough.
pub(crate) fn nearest<'a>(
    typed: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = typed.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&folded, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Gives a one-field `struct T(String)` with a `FromStr` its `Display` and serde, and with `, as_str` that as well.
macro_rules! text_value {
    ($type:ident, as_str) => {
        text_value!($type);

        impl $type {
            /// The text, as it is written in files and requests.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
    ($type:ident) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(|invalid: $crate::model::Invalid| {
                    serde::de::Error::custom(invalid.in_lines())
                })
            }
        }
    };
}

/// Declares a closed set of words with `FromStr` (in any case), `Display` and serde.
macro_rules! choice {
    ($(#[$meta:meta])* $type:ident ($what:literal) { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $type { $($(#[$variant_meta])* $variant,)+ }

        impl $type {
            /// The word, as it is written in files and requests.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::model::Invalid;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $(if text.eq_ignore_ascii_case($word) { return Ok(Self::$variant); })+
                let words: &[&str] = &[$($word),+];
                Err($crate::model::Invalid::new(format!(concat!("`{}` is not ", $what), text))
                    .hint(format!("use one of {}", words.join(", "))))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(|invalid: $crate::model::Invalid| serde::de::Error::custom(invalid.in_lines()))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_stranger_is_not() {
        let names = ["entrypoint", "environment", "engine"];
        assert_eq!(nearest("entrypont", names), Some("entrypoint"));
        assert_eq!(nearest("EntryPoint", names), Some("entrypoint"));
        assert_eq!(nearest("env", names), Some("environment"));
        assert_eq!(nearest("zzz", names), None);
    }
}
