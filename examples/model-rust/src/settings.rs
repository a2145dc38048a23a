//! Which model the agent asks, and where: three variables of the environment, read once at the start.
//!
//! A variable that is missing or malformed ends the program with a sentence; nothing is guessed.

use std::env::{self, VarError};
use std::fmt;

use reqwest::Url;

const URL: &str = "MODEL_URL";
const NAME: &str = "MODEL_NAME";
const API_KEY: &str = "MODEL_API_KEY";

/// Where a model is and how to ask it.
pub(crate) struct Settings {
    /// Where chat completions are asked for.
    pub(crate) url: Url,
    /// The model's name at that endpoint.
    pub(crate) model: String,
    /// What the endpoint knows us by, if it wants that.
    pub(crate) api_key: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidSettings {
    #[error("{0} is not set")]
    Missing(&'static str),
    #[error("{0} is not UTF-8 text")]
    NotText(&'static str),
    #[error("{URL} is not a URL that begins with http:// or https://")]
    Url,
    #[error(
        "{URL} begins with https://, which this build cannot do: build it with `--features tls`"
    )]
    NoTls,
    #[error("{API_KEY} has characters that no header may have")]
    ApiKey,
}

impl Settings {
    /// Reads the variables of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this agent that reads the environment"
    )]
    pub(crate) fn from_environment() -> Result<Self, InvalidSettings> {
        Self::read(|name| env::var(name))
    }

    /// Reads the variables that `variable` finds; an empty one counts as missing.
    pub(crate) fn read(
        variable: impl Fn(&str) -> Result<String, VarError>,
    ) -> Result<Self, InvalidSettings> {
        let optional = |name| match variable(name) {
            Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(InvalidSettings::NotText(name)),
        };
        let required = |name| optional(name)?.ok_or(InvalidSettings::Missing(name));
        let api_key = optional(API_KEY)?;
        if api_key.as_deref().is_some_and(|it| !is_header_text(it)) {
            return Err(InvalidSettings::ApiKey);
        }
        Ok(Self {
            url: endpoint(&required(URL)?)?,
            model: required(NAME)?,
            api_key,
        })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            model,
            api_key: _,
        } = self;
        f.debug_struct("Settings")
            .field("url", &url.as_str())
            .field("model", model)
            .finish_non_exhaustive()
    }
}

fn endpoint(base: &str) -> Result<Url, InvalidSettings> {
    let mut url = Url::parse(base).map_err(|_| InvalidSettings::Url)?;
    match url.scheme() {
        "http" => {}
        "https" if cfg!(feature = "tls") => {}
        "https" => return Err(InvalidSettings::NoTls),
        _ => return Err(InvalidSettings::Url),
    }
    url.path_segments_mut()
        .map_err(|()| InvalidSettings::Url)?
        .pop_if_empty()
        .extend(["chat", "completions"]);
    Ok(url)
}

fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings that come of these variables, as text.
    fn read(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found
                .map(|(_, value)| (*value).to_owned())
                .ok_or(VarError::NotPresent)
        };
        Settings::read(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn the_path_is_added_to_the_base_whether_it_ends_with_a_slash_or_not() {
        for base in ["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/"] {
            let settings = read(&[(URL, base), (NAME, "m")]).unwrap();
            assert_eq!(
                settings.url.as_str(),
                "http://127.0.0.1:1/v1/chat/completions"
            );
            assert_eq!(settings.model, "m");
            assert_eq!(settings.api_key, None);
        }
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let url = (URL, "http://localhost/v1");
        let rows: [(&[(&str, &str)], &str); 5] = [
            (&[], "MODEL_URL is not set"),
            (&[url], "MODEL_NAME is not set"),
            (&[url, (NAME, "")], "MODEL_NAME is not set"),
            (
                &[(URL, "ftp://host"), (NAME, "m")],
                "MODEL_URL is not a URL that begins with http:// or https://",
            ),
            (
                &[url, (NAME, "m"), (API_KEY, "a\nb")],
                "MODEL_API_KEY has characters that no header may have",
            ),
        ];
        for (variables, sentence) in rows {
            assert_eq!(read(variables).unwrap_err(), sentence);
        }
    }

    #[test]
    fn https_works_where_the_build_can_do_it_and_says_what_to_do_elsewhere() {
        let read = read(&[(URL, "https://host/v1"), (NAME, "m")]);
        if cfg!(feature = "tls") {
            assert_eq!(
                read.unwrap().url.as_str(),
                "https://host/v1/chat/completions"
            );
        } else {
            assert!(
                read.unwrap_err()
                    .ends_with("build it with `--features tls`")
            );
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let settings = read(&[(URL, "http://host/v1"), (NAME, "m"), (API_KEY, "sk-secret")]);
        assert!(!format!("{:?}", settings.unwrap()).contains("secret"));
    }
}
