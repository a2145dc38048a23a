//! The environment: the only file that reads it, and the only one that knows how its variables are called.
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

/// Where an agent listens: read by `serve`, and told to whatever serves itself.
pub(crate) const LISTEN: &str = "AGENTCORE_LISTEN";
/// The bearer token of `invoke` where none is given as a flag.
const BEARER_TOKEN: &str = "BEDROCK_AGENTCORE_BEARER_TOKEN";
/// What `serve` logs of its own.
const LOG_FILTER: &str = "RUST_LOG";
/// The Python environment that is active in the shell.
const VIRTUAL_ENV: &str = "VIRTUAL_ENV";
/// Where programs are found.
const SEARCH_PATH: &str = "PATH";
/// The folder for what can be made again, and the one that it is in by default.
const CACHE: &str = "XDG_CACHE_HOME";
const HOME: &str = "HOME";
/// The folder for short-lived files.
const TEMP: &str = "TMPDIR";
/// The regions that the shell names, the stronger first.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// What every program needs to find others, to speak the user's language and to reach the network.
const BASIC: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// How AWS credentials reach the sandbox, so that the user can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// The shell has them and the sandbox gets them.
    Passed,
    /// They were asked for and the shell names only a profile, which means nothing in a sandbox's private home.
    OnlyAProfile,
    /// They were asked for and the shell has none.
    Missing,
}

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

    /// What is logged.
    ///
    /// # Errors
    ///
    /// Fails if the variable is not UTF-8.
    pub(crate) fn log_filter(&self) -> Result<Option<&str>, CliError> {
        self.text(LOG_FILTER)
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
            .or_else(|| Some(self.path(HOME)?.join(".cache")))
    }

    /// The system's folder for short-lived files.
    pub(crate) fn temp_dir(&self) -> PathBuf {
        self.path(TEMP).unwrap_or_else(|| "/tmp".into())
    }

    /// What every sandbox gets of the shell.
    pub(crate) fn basic(&self) -> BTreeMap<String, String> {
        self.matching(|name| BASIC.contains(&name) || name.starts_with("LC_"))
    }

    /// The shell's AWS credentials and region as a sandbox can use them, and whether there are any.
    pub(crate) fn aws(&self) -> (BTreeMap<String, String>, Credentials) {
        usable_in_a_sandbox(self.matching(|name| name.starts_with("AWS_")))
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

/// Leaves out of the AWS variables what would mean nothing in a sandbox, whose home is its own.
fn usable_in_a_sandbox(
    mut aws: BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Credentials) {
    const PROFILES: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
    const FILES: [&str; 2] = ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
    const CREDENTIALS: [&str; 5] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_BEARER_TOKEN_BEDROCK",
    ];
    let has = |names: &[&str]| {
        names
            .iter()
            .any(|it| aws.get(*it).is_some_and(|value| !value.is_empty()))
    };
    let (files, profile) = (has(&FILES), has(&PROFILES));
    let credentials = match (files || has(&CREDENTIALS), profile) {
        (true, _) => Credentials::Passed,
        (false, true) => Credentials::OnlyAProfile,
        (false, false) => Credentials::Missing,
    };
    if !files {
        // A profile that the private home does not have makes every AWS SDK fail, keys or no keys.
        aws.retain(|name, _| !PROFILES.contains(&name.as_str()));
    }
    (aws, credentials)
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

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_shell_gives_a_short_list() {
        let wanted = [
            ("PATH", "/bin"),
            ("LANG", "C"),
            ("LC_ALL", "C"),
            ("TZ", "UTC"),
            ("https_proxy", "p"),
            ("NO_PROXY", "n"),
            ("SSL_CERT_FILE", "/ca"),
        ];
        let unwanted = [
            ("HOME", "/home/me"),
            ("AWS_SECRET_ACCESS_KEY", "hush"),
            ("GITHUB_TOKEN", "hush"),
            ("PYTHONPATH", "/x"),
            ("LD_PRELOAD", "/x"),
        ];
        assert_eq!(
            env(&[&wanted[..], &unwanted].concat()).basic(),
            variables(&wanted)
        );
    }

    #[test]
    fn credentials_are_the_shells_own_variables() {
        let keys = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_REGION", "r")];
        let shell = env(&[&keys[..], &[("OTHER", "x")]].concat());
        assert_eq!(shell.aws(), (variables(&keys), Credentials::Passed));
    }

    #[test]
    fn a_profile_alone_is_of_no_use() {
        let profile = ("AWS_PROFILE", "work");
        assert_eq!(
            env(&[profile, ("AWS_REGION", "r")]).aws(),
            (variables(&[("AWS_REGION", "r")]), Credentials::OnlyAProfile)
        );
        let with_a_file = [profile, ("AWS_CONFIG_FILE", "/etc/aws")];
        assert_eq!(
            env(&with_a_file).aws(),
            (variables(&with_a_file), Credentials::Passed)
        );
        let (_, nothing) = env(&[("AWS_ACCESS_KEY_ID", "")]).aws();
        assert_eq!(nothing, Credentials::Missing);
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
