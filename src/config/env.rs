//! The environment: the only file that reads it. How the variables are called is known here, and in `shared` for those
//! that are only passed on.
//!
//! The variables are read once, at the start; a variable that is set but malformed is an error, because falling back
//! would do something that nobody named.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use agentcore_docker::Surroundings;

use super::shared::{self, Credentials, Isolation};
use crate::error::CliError;
use crate::model::Invalid;
use crate::model::aws::Region;

/// Where an agent listens: read by `serve`, and told to whatever serves itself.
pub(crate) const LISTEN: &str = "AGENTCORE_LISTEN";
/// The bearer token of `invoke` where none is given as a flag.
const BEARER_TOKEN: &str = "BEDROCK_AGENTCORE_BEARER_TOKEN";
/// The Python environment that is active in the shell.
const VIRTUAL_ENV: &str = "VIRTUAL_ENV";
/// Where programs are found.
const SEARCH_PATH: &str = "PATH";
/// The folder for what can be made again, and the one that it is in by default.
const CACHE: &str = "XDG_CACHE_HOME";
const HOME: &str = "HOME";
/// The folder for short-lived files.
const TEMP: &str = "TMPDIR";
/// The folder for sockets and the like, gone when the user logs out.
const RUNTIME: &str = "XDG_RUNTIME_DIR";
/// Where the docker command finds its engine and its configuration.
const DOCKER_HOST: &str = "DOCKER_HOST";
const DOCKER_CONTEXT: &str = "DOCKER_CONTEXT";
const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
const DOCKER_TLS_VERIFY: &str = "DOCKER_TLS_VERIFY";
/// The folder of the host binaries that go into images.
pub(crate) const HOST_DIR: &str = "AGENTCORE_HOST_DIR";
/// Set wherever nobody watches.
const CI: &str = "CI";
/// The regions that the shell names, the stronger first.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

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
    fn path(&self, name: &str) -> Option<PathBuf> {
        self.raw(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    }

    /// Text; empty counts as absent.
    ///
    /// # Errors
    ///
    /// Fails if the variable is not UTF-8.
    fn text(&self, name: &str) -> Result<Option<&str>, CliError> {
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
        for name in REGIONS {
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

    /// The address that an agent is told to listen on.
    ///
    /// # Errors
    ///
    /// Fails if the variable is not UTF-8.
    pub(crate) fn listen(&self) -> Result<Option<&str>, CliError> {
        self.text(LISTEN)
    }

    /// The token that is shown to an agent's authorizer.
    ///
    /// # Errors
    ///
    /// Fails if the variable is not UTF-8.
    pub(crate) fn bearer_token(&self) -> Result<Option<&str>, CliError> {
        self.text(BEARER_TOKEN)
    }

    /// A variable that says how `serve` logs; what they are called, the log knows.
    ///
    /// # Errors
    ///
    /// Fails if the variable is not UTF-8.
    pub(crate) fn log(&self, name: &str) -> Result<Option<String>, CliError> {
        Ok(self.text(name)?.map(ToOwned::to_owned))
    }

    /// The active virtual environment of Python.
    pub(crate) fn virtual_env(&self) -> Option<PathBuf> {
        self.path(VIRTUAL_ENV)
    }

    /// The folders that programs are looked for in, joined as the shell joins them; empty if there are none.
    pub(crate) fn search_path(&self) -> OsString {
        self.raw(SEARCH_PATH)
            .map(OsString::from)
            .unwrap_or_default()
    }

    /// The user's own folder for what can be made again; none for a user without a home.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        self.path(CACHE)
            .or_else(|| Some(self.home()?.join(".cache")))
    }

    /// The system's folder for short-lived files.
    pub(crate) fn temp_dir(&self) -> PathBuf {
        self.path(TEMP).unwrap_or_else(|| "/tmp".into())
    }

    /// The user's own folder.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.path(HOME)
    }

    /// What decides which Docker engine is meant, as the docker command reads it.
    ///
    /// # Errors
    ///
    /// Fails if a variable is not UTF-8.
    pub(crate) fn docker(&self) -> Result<Surroundings, CliError> {
        let text = |name| Ok::<_, CliError>(self.text(name)?.map(str::to_owned));
        let home = self.home();
        let config_dir = self.path(DOCKER_CONFIG);
        Ok(Surroundings {
            host: text(DOCKER_HOST)?,
            context: text(DOCKER_CONTEXT)?,
            config_dir: config_dir.or_else(|| Some(home.as_ref()?.join(".docker"))),
            home,
            runtime_dir: self.path(RUNTIME),
            tls_verify: self.path(DOCKER_TLS_VERIFY).is_some(),
        })
    }

    /// Whether this is an automatic build, whose output nobody watches as it comes.
    pub(crate) fn is_ci(&self) -> bool {
        self.raw(CI)
            .is_some_and(|it| !it.is_empty() && it != "false" && it != "0")
    }

    /// The folder of the host binaries that go into images, if one is named.
    pub(crate) fn host_dir(&self) -> Option<PathBuf> {
        self.path(HOST_DIR)
    }

    /// What every sandbox of this kind gets of the shell.
    pub(crate) fn basic(&self, isolation: Isolation) -> BTreeMap<String, String> {
        self.matching(|name| shared::is_basic(name, isolation))
    }

    /// The shell's AWS credentials and region as a sandbox of this kind can use them, and whether there are any.
    pub(crate) fn aws(&self, isolation: Isolation) -> (BTreeMap<String, String>, Credentials) {
        shared::usable(self.matching(|name| name.starts_with("AWS_")), isolation)
    }

    /// The variables whose names `wanted` accepts. What is not UTF-8 is of no use to an agent and left out.
    fn matching(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
        self.variables
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)))
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
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

    #[test]
    fn the_engine_is_looked_for_as_the_docker_command_does() {
        assert_eq!(env(&[]).docker().unwrap(), Surroundings::default());
        let found = env(&[
            ("DOCKER_HOST", "tcp://127.0.0.1:2375"),
            ("DOCKER_CONTEXT", ""),
            ("DOCKER_TLS_VERIFY", "0"),
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/run/user/1"),
        ]);
        let expected = Surroundings {
            host: Some("tcp://127.0.0.1:2375".into()),
            context: None,
            config_dir: Some("/h/.docker".into()),
            home: Some("/h".into()),
            runtime_dir: Some("/run/user/1".into()),
            // The docker command takes any value for a yes.
            tls_verify: true,
        };
        assert_eq!(found.docker().unwrap(), expected);
        let named = env(&[("HOME", "/h"), ("DOCKER_CONFIG", "/c")]);
        assert_eq!(named.docker().unwrap().config_dir, Some("/c".into()));
    }

    #[test]
    fn ci_is_a_variable_that_says_so() {
        for (value, is_ci) in [("true", true), ("1", true), ("false", false), ("", false)] {
            assert_eq!(env(&[("CI", value)]).is_ci(), is_ci, "{value}");
        }
        assert!(!env(&[]).is_ci());
    }

    #[test]
    fn a_user_without_a_home_has_no_cache() {
        assert_eq!(env(&[("HOME", "")]).cache_dir(), None);
        assert_eq!(env(&[("HOME", "/h")]).cache_dir(), Some("/h/.cache".into()));
        assert_eq!(
            env(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]).cache_dir(),
            Some("/c".into())
        );
        assert_eq!(env(&[("TMPDIR", "")]).temp_dir(), PathBuf::from("/tmp"));
    }
}
