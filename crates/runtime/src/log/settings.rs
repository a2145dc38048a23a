//! How the log is written: which lines, in which form, in colour or not.
//!
//! These are data. Programs read the environment and pass its variables in; what the variables mean is decided here, so
//! that every program of this project means the same.

use std::str::FromStr;

/// What `RUST_LOG` is when it is not set, or malformed.
const DEFAULT_FILTER: &str = "info";

/// The settings of [`log_to_stderr`](crate::log_to_stderr).
///
/// By default events from INFO on are logged, as [`LogFormat::Auto`] says and without colour.
#[derive(Clone, Debug, Default)]
pub struct LogSettings {
    filter: Option<String>,
    pub(super) format: LogFormat,
    pub(super) color: bool,
    /// The value of `AGENTCORE_LOG`, if it is no format.
    pub(super) unknown_format: Option<String>,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// [`LogFormat::Text`] if stderr is a terminal, and [`LogFormat::Json`] if not.
    #[default]
    Auto,
    /// One JSON object a line, with the keys of the reference SDK's log.
    Json,
    /// For people: time (UTC), level, message, then the ids and what else there is, as `key=value`. Control characters are
    /// escaped, so that nothing that is logged can command the terminal. Values of several lines, such as the stack trace of a panic
    /// (`RUST_BACKTRACE=1`), stand under the line.
    Text,
}

impl LogSettings {
    /// Reads the variables of the environment that say how to log.
    ///
    /// `RUST_LOG` is the filter (`debug`, `my_agent=debug,info`), `AGENTCORE_LOG` the format (`json`, `text`, or `auto`).
    /// Lines for people are coloured on a terminal unless `NO_COLOR` is set or `TERM` is `dumb`. Empty variables count as
    /// unset. Malformed ones are named in the log's first line, and the defaults hold: an agent is not kept from its work
    /// by its log.
    ///
    /// # Errors
    ///
    /// Fails as `variable` does, which returns the value of the variable that it is asked for.
    pub fn from_variables<E>(
        mut variable: impl FnMut(&'static str) -> Result<Option<String>, E>,
    ) -> Result<Self, E> {
        let mut variable =
            |name| variable(name).map(|value| value.filter(|value| !value.is_empty()));
        let filter = variable("RUST_LOG")?;
        let format = variable("AGENTCORE_LOG")?;
        let is_dumb = variable("TERM")?.is_some_and(|term| term == "dumb");
        let color = variable("NO_COLOR")?.is_none() && !is_dumb;
        let (format, unknown_format) = match format.as_deref().map(LogFormat::from_str) {
            None => (LogFormat::Auto, None),
            Some(Ok(format)) => (format, None),
            Some(Err(_)) => (LogFormat::Auto, format),
        };
        Ok(Self {
            filter,
            format,
            color,
            unknown_format,
        })
    }

    /// Chooses the events, as `RUST_LOG` does: `debug`, or `my_agent=debug,info`.
    #[must_use]
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filter = Some(filter.into());
        self
    }

    /// Chooses the form of a line.
    #[must_use]
    pub fn format(mut self, format: LogFormat) -> Self {
        self.format = format;
        self
    }

    /// Colours lines for people, if stderr is a terminal.
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.color = color;
        self
    }

    /// Returns the filter, or if it cannot be read, the default and the text that is none.
    pub(super) fn levels<T: FromStr>(&self) -> (T, Option<&str>) {
        let filter = self.filter.as_deref().filter(|text| !text.is_empty());
        let read = |text: &str| text.parse::<T>().ok();
        let default = || read(DEFAULT_FILTER).expect("the default is a filter");
        match filter.map(read) {
            None => (default(), None),
            Some(Some(levels)) => (levels, None),
            Some(None) => (default(), filter),
        }
    }
}

/// The filter of `RUST_LOG`, with everything else by default.
impl From<Option<&str>> for LogSettings {
    fn from(filter: Option<&str>) -> Self {
        Self {
            filter: filter.map(ToOwned::to_owned),
            ..Self::default()
        }
    }
}

/// The text names no [`LogFormat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log format is `json`, `text` or `auto`")]
pub struct UnknownLogFormat(());

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;

    fn from_str(text: &str) -> Result<Self, UnknownLogFormat> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(UnknownLogFormat(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tracing_subscriber::filter::{LevelFilter, Targets};

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> LogSettings {
        LogSettings::from_variables(|name| {
            let found = variables.iter().find(|(it, _)| *it == name);
            Ok::<_, Infallible>(found.map(|(_, value)| (*value).to_owned()))
        })
        .unwrap_or_else(|never| match never {})
    }

    #[test]
    fn the_environment_chooses_form_and_colour() {
        for (variables, format, color) in [
            (&[][..], LogFormat::Auto, true),
            (&[("AGENTCORE_LOG", "json")], LogFormat::Json, true),
            (&[("AGENTCORE_LOG", "text")], LogFormat::Text, true),
            (&[("AGENTCORE_LOG", "")], LogFormat::Auto, true),
            (&[("NO_COLOR", "1")], LogFormat::Auto, false),
            (&[("NO_COLOR", "")], LogFormat::Auto, true),
            (&[("TERM", "dumb")], LogFormat::Auto, false),
            (&[("TERM", "xterm-256color")], LogFormat::Auto, true),
        ] {
            let read = settings(variables);
            assert_eq!((read.format, read.color), (format, color), "{variables:?}");
            assert_eq!(read.unknown_format, None);
        }
        let unknown = settings(&[("AGENTCORE_LOG", "JSON")]);
        assert_eq!(unknown.format, LogFormat::Auto);
        assert_eq!(unknown.unknown_format.as_deref(), Some("JSON"));
    }

    #[test]
    fn a_malformed_filter_is_named_and_the_default_holds() {
        let info = Targets::new().with_default(LevelFilter::INFO);
        for (filter, malformed) in [
            (None, None),
            (Some(""), None),
            (Some("a=b=c"), Some("a=b=c")),
        ] {
            let settings = LogSettings::from(filter);
            assert_eq!(settings.levels::<Targets>(), (info.clone(), malformed));
        }
        let settings = LogSettings::default().filter("a=debug");
        let (levels, malformed) = settings.levels::<Targets>();
        assert!(levels.would_enable("a", &tracing::Level::DEBUG));
        assert!(!levels.would_enable("b", &tracing::Level::ERROR));
        assert_eq!(malformed, None);
    }

    #[test]
    fn a_failure_to_read_the_environment_is_passed_on() {
        let failed = LogSettings::from_variables(Err::<Option<String>, &str>);
        assert_eq!(failed.unwrap_err(), "RUST_LOG");
    }
}
