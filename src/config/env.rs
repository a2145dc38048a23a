//! The environment: the only file that reads it.
//!
//! The variables are read once, at the start; a variable that is set but malformed is an error, because falling back
//! would do something that nobody named.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::error::CliError;
use crate::model::Invalid;
use crate::model::aws::Region;

/// The variables of the process, as they were when it started.
#[derive(Clone)]
pub(crate) struct Env {
    variables: BTreeMap<OsString, OsString>,
}

impl Env {
    /// Reads the environment of the process.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub(crate) fn from_process() -> Self {
        Self::from_variables(std::env::vars_os())
    }

    /// The same, with the variables passed in: a test never has to touch the process.
    pub(crate) fn from_variables(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }

    /// A variable as it is, also if it is empty or not UTF-8.
    pub(crate) fn raw(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
    }

    /// A folder or file; an empty variable counts as absent, as in a shell's `${NAME:-}`.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    }

    /// Text; empty counts as absent.
    ///
    /// # Errors
    ///
    /// Fails if the variable is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, CliError> {
        let Some(raw) = self.raw(name).filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        match raw.to_str() {
            Some(text) => Ok(Some(text)),
            None => Err(CliError::configuration(format!(
                "the environment variable `{name}` is not valid UTF-8"
            ))),
        }
    }

    /// The region that the shell names for all AWS programs.
    ///
    /// # Errors
    ///
    /// Fails if the variable is set to something that is no region.
    pub(crate) fn region(&self) -> Result<Option<Region>, CliError> {
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(text) = self.text(name)? {
                let wrong = |invalid: Invalid| {
                    CliError::configuration(format!("the environment variable `{name}`: {invalid}"))
                        .hint(format!("correct or unset `{name}`"))
                };
                return text.parse().map(Some).map_err(wrong);
            }
        }
        Ok(None)
    }

    /// Every variable whose name `wanted` accepts, as it is.
    pub(crate) fn matching(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&str, &OsStr)> {
        self.variables.iter().filter_map(move |(name, value)| {
            let name = name.to_str()?;
            wanted(name).then_some((name, value.as_os_str()))
        })
    }
}

/// Names only: the values of an environment are secrets.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> Env {
        Env::from_variables(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        )
    }

    #[test]
    fn a_region_that_is_set_but_wrong_is_an_error_and_an_empty_one_is_none() {
        let region = |variables: &[(&str, &str)]| {
            env(variables)
                .region()
                .map(|it| it.map(|it| it.to_string()))
        };
        assert_eq!(region(&[]).unwrap(), None);
        assert_eq!(
            region(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-1")])
                .unwrap()
                .unwrap(),
            "eu-west-1"
        );
        assert_eq!(
            region(&[("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "mars")])
                .unwrap()
                .unwrap(),
            "us-east-1"
        );
        let error =
            region(&[("AWS_REGION", "mars"), ("AWS_DEFAULT_REGION", "us-east-1")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable `AWS_REGION`: `mars` is not an AWS region"
        );
    }

    #[test]
    fn values_are_never_in_debug_output() {
        assert_eq!(
            format!("{:?}", env(&[("AWS_SECRET_ACCESS_KEY", "hush")])),
            "{\"AWS_SECRET_ACCESS_KEY\"}"
        );
    }
}
