//! What a sandbox gets of the shell's variables: of the basic ones, and of the AWS ones when credentials are asked for.
//!
//! Rules over names and values that `env` has read; nothing here reads the environment.

use std::collections::BTreeMap;

/// How a sandbox is kept apart, as far as variables go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// A process: it sees the files and the network of this machine, and has a home of its own.
    Process,
    /// A container: it has files of its own, and its own loopback network.
    Container,
}

/// How AWS credentials reach the sandbox, so that the user can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// The shell has them and the sandbox gets them.
    Passed,
    /// They were asked for and the shell names only a profile, which means nothing in a sandbox's private home.
    OnlyAProfile,
    /// They were asked for and the shell names only files of this machine, which a container does not have.
    OnlyFiles,
    /// They were asked for and the shell has none.
    Missing,
}

/// How the network is reached.
const PROXIES: &[&str] = &[
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "https_proxy",
    "http_proxy",
    "no_proxy",
];

/// What every program needs to find others, to speak the user's language and to trust the network. An image has all of
/// these itself, and its files are not this machine's.
const OF_THIS_MACHINE: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// Profiles, which are sections of files in the home.
const PROFILES: &[&str] = &["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
/// Files that hold profiles.
const PROFILE_FILES: &[&str] = &["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
/// Files and addresses of this machine that credentials are fetched from.
const SOURCES_HERE: &[&str] = &[
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
];
/// Variables that are of use only beside a source of this machine.
const BESIDE_A_SOURCE: &[&str] = &[
    "AWS_CA_BUNDLE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
];
/// Credentials that are the value itself.
const KEYS: &[&str] = &["AWS_ACCESS_KEY_ID", "AWS_BEARER_TOKEN_BEDROCK"];

/// Whether every sandbox of this kind gets the variable `name`.
pub(super) fn is_basic(name: &str, isolation: Isolation) -> bool {
    let of_this_machine = || OF_THIS_MACHINE.contains(&name) || name.starts_with("LC_");
    PROXIES.contains(&name) || isolation == Isolation::Process && of_this_machine()
}

/// Leaves out of the AWS variables what would mean nothing in the sandbox.
pub(super) fn usable(
    mut aws: BTreeMap<String, String>,
    isolation: Isolation,
) -> (BTreeMap<String, String>, Credentials) {
    let has = |names: &[&str]| {
        names
            .iter()
            .any(|it| aws.get(*it).is_some_and(|value| !value.is_empty()))
    };
    let sources = has(PROFILE_FILES) || has(SOURCES_HERE);
    let credentials = match isolation {
        _ if has(KEYS) => Credentials::Passed,
        Isolation::Process if sources => Credentials::Passed,
        Isolation::Container if sources => Credentials::OnlyFiles,
        _ if has(PROFILES) => Credentials::OnlyAProfile,
        _ => Credentials::Missing,
    };
    // A profile that the private home does not have makes every AWS SDK fail, keys or no keys; so do a configured file
    // and an address that are not there.
    let useless: &[&[&str]] = match isolation {
        Isolation::Process if has(PROFILE_FILES) => &[],
        Isolation::Process => &[PROFILES],
        Isolation::Container => &[PROFILES, PROFILE_FILES, SOURCES_HERE, BESIDE_A_SOURCE],
    };
    aws.retain(|name, _| !useless.iter().any(|names| names.contains(&name.as_str())));
    (aws, credentials)
}

/// Takes out of a container's variables the proxies that listen on this machine's loopback network, which is not the
/// container's, and tells whether there were any.
pub(crate) fn drop_loopback_proxies(variables: &mut BTreeMap<String, String>) -> bool {
    let before = variables.len();
    variables.retain(|name, value| {
        !PROXIES.contains(&name.as_str())
            || name.eq_ignore_ascii_case("no_proxy")
            || !is_loopback(value)
    });
    variables.len() < before
}

/// Whether the URL or `host:port` of a proxy names the loopback network.
fn is_loopback(proxy: &str) -> bool {
    let rest = proxy.split_once("://").map_or(proxy, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    let host = match address.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => address.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host == "::1" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn a_process_gets_a_short_list_and_a_container_only_the_proxies() {
        let proxies = ["https_proxy", "NO_PROXY"];
        let machine = ["PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE"];
        let unwanted = [
            "HOME",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "PYTHONPATH",
            "LD_PRELOAD",
        ];
        for name in proxies {
            assert!(is_basic(name, Isolation::Process) && is_basic(name, Isolation::Container));
        }
        for name in machine {
            assert!(is_basic(name, Isolation::Process), "{name}");
            assert!(!is_basic(name, Isolation::Container), "{name}");
        }
        for name in unwanted {
            assert!(!is_basic(name, Isolation::Process), "{name}");
            assert!(!is_basic(name, Isolation::Container), "{name}");
        }
    }

    #[test]
    fn credentials_are_the_shells_own_variables() {
        let keys = variables(&[("AWS_ACCESS_KEY_ID", "A"), ("AWS_REGION", "r")]);
        for isolation in [Isolation::Process, Isolation::Container] {
            assert_eq!(
                usable(keys.clone(), isolation),
                (keys.clone(), Credentials::Passed)
            );
        }
    }

    #[test]
    fn a_profile_alone_is_of_no_use() {
        let region = ("AWS_REGION", "r");
        let profile = ("AWS_PROFILE", "work");
        for isolation in [Isolation::Process, Isolation::Container] {
            assert_eq!(
                usable(variables(&[profile, region]), isolation),
                (variables(&[region]), Credentials::OnlyAProfile)
            );
            let (_, nothing) = usable(variables(&[("AWS_ACCESS_KEY_ID", "")]), isolation);
            assert_eq!(nothing, Credentials::Missing);
        }
    }

    #[test]
    fn files_of_this_machine_are_of_use_to_a_process_only() {
        let files = variables(&[
            ("AWS_PROFILE", "work"),
            ("AWS_CONFIG_FILE", "/etc/aws"),
            ("AWS_CA_BUNDLE", "/etc/ca.pem"),
        ]);
        assert_eq!(
            usable(files.clone(), Isolation::Process),
            (files.clone(), Credentials::Passed)
        );
        assert_eq!(
            usable(files, Isolation::Container),
            (BTreeMap::new(), Credentials::OnlyFiles)
        );
        let role = variables(&[
            ("AWS_ROLE_ARN", "arn"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token"),
            ("AWS_ACCESS_KEY_ID", "A"),
        ]);
        assert_eq!(
            usable(role, Isolation::Container),
            (
                variables(&[("AWS_ACCESS_KEY_ID", "A")]),
                Credentials::Passed
            )
        );
    }

    #[test]
    fn a_proxy_on_loopback_is_not_for_containers() {
        let mut all = variables(&[
            ("HTTPS_PROXY", "http://user:pass@127.0.0.1:3128/"),
            ("http_proxy", "localhost:3128"),
            ("ALL_PROXY", "socks5://[::1]:1080"),
            ("https_proxy", "http://proxy.example:3128"),
            ("NO_PROXY", "localhost,127.0.0.1"),
            ("MY_URL", "http://127.0.0.1/"),
        ]);
        assert!(drop_loopback_proxies(&mut all));
        assert_eq!(
            all.keys().map(String::as_str).collect::<Vec<_>>(),
            ["MY_URL", "NO_PROXY", "https_proxy"]
        );
        assert!(!drop_loopback_proxies(&mut all));
    }
}
