//! What a process sandbox finds in its environment: a short list from the shell, then the project's variables, then
//! the flags'. AWS credentials only when they are asked for.
//!
//! HOME, TMPDIR and the address to listen on are the sandbox's own and are added where it is started.

use std::collections::BTreeMap;

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

/// Names that the sandbox sets itself: a value from elsewhere would cut it off from its front door.
const OWN: &[&str] = &["AGENTCORE_LISTEN", "AGENTCORE_SANDBOX"];

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

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

/// Whether a variable of the shell goes into every sandbox.
pub(crate) fn is_basic(name: &str) -> bool {
    BASIC.contains(&name) || name.starts_with("LC_")
}

/// Whether a variable is the sandbox's own business.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// Adds the credentials and the region of the `shell` to `variables`.
pub(crate) fn add_credentials(variables: &mut Variables, shell: &Variables) -> Credentials {
    let has = |name: &str| shell.get(name).is_some_and(|it| !it.is_empty());
    let files = has("AWS_CONFIG_FILE") || has("AWS_SHARED_CREDENTIALS_FILE");
    let names_a_profile = has("AWS_PROFILE") || has("AWS_DEFAULT_PROFILE");
    for (name, value) in shell {
        // A profile that the private home does not have makes every AWS SDK fail, keys or no keys.
        let dead = matches!(name.as_str(), "AWS_PROFILE" | "AWS_DEFAULT_PROFILE") && !files;
        if name.starts_with("AWS_") && !dead {
            variables.insert(name.clone(), value.clone());
        }
    }
    let usable = has("AWS_ACCESS_KEY_ID")
        || has("AWS_WEB_IDENTITY_TOKEN_FILE")
        || has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        || has("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        || has("AWS_BEARER_TOKEN_BEDROCK")
        || files;
    match (usable, names_a_profile) {
        (true, _) => Credentials::Passed,
        (false, true) => Credentials::OnlyAProfile,
        (false, false) => Credentials::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_shell_gives_a_short_list() {
        for name in [
            "PATH",
            "LANG",
            "LC_ALL",
            "TZ",
            "https_proxy",
            "NO_PROXY",
            "SSL_CERT_FILE",
        ] {
            assert!(is_basic(name), "{name}");
        }
        for name in [
            "HOME",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "PYTHONPATH",
            "LD_PRELOAD",
        ] {
            assert!(!is_basic(name), "{name}");
        }
    }

    #[test]
    fn credentials_are_the_shells_own_variables() {
        let shell = variables(&[
            ("AWS_ACCESS_KEY_ID", "A"),
            ("AWS_REGION", "r"),
            ("OTHER", "x"),
        ]);
        let mut sandbox = Variables::new();
        assert_eq!(add_credentials(&mut sandbox, &shell), Credentials::Passed);
        assert_eq!(
            sandbox,
            variables(&[("AWS_ACCESS_KEY_ID", "A"), ("AWS_REGION", "r")])
        );
    }

    #[test]
    fn a_profile_alone_is_of_no_use() {
        let mut sandbox = Variables::new();
        let shell = variables(&[("AWS_PROFILE", "work"), ("AWS_REGION", "r")]);
        assert_eq!(
            add_credentials(&mut sandbox, &shell),
            Credentials::OnlyAProfile
        );
        assert_eq!(sandbox, variables(&[("AWS_REGION", "r")]));

        let shell = variables(&[("AWS_PROFILE", "work"), ("AWS_CONFIG_FILE", "/etc/aws")]);
        assert_eq!(add_credentials(&mut sandbox, &shell), Credentials::Passed);
        assert_eq!(sandbox.get("AWS_PROFILE").map(String::as_str), Some("work"));

        let nothing = variables(&[("AWS_ACCESS_KEY_ID", "")]);
        assert_eq!(
            add_credentials(&mut Variables::new(), &nothing),
            Credentials::Missing
        );
    }
}
