//! The user's credentials for image registries, from the Docker configuration folder and the helpers that it names.
//!
//! A missing credential is no error: the registry decides what may be had without one. Secrets are handed to the engine and
//! to nobody else; no error and no log line contains one.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The name under which Docker Hub's credential is kept, for reasons of history.
const HUB: &str = "https://index.docker.io/v1/";

/// Other names of Docker Hub, which other tools write.
const HUB_ALIASES: &[&str] = &["index.docker.io", "docker.io", "registry-1.docker.io"];

/// How long a credential helper may take: some ask a keyring, some a cloud.
const HELPER_LIMIT: Duration = Duration::from_secs(30);

/// What was found for one registry.
#[derive(Default)]
pub(crate) struct Lookup {
    pub(crate) credentials: Option<DockerCredentials>,
    /// Why a credential that is configured could not be had; worth a word if the registry refuses.
    pub(crate) problem: Option<String>,
}

/// The credential for one registry (`docker.io`, `ghcr.io`, `localhost:5000`).
pub(crate) async fn for_registry(config_dir: Option<&Path>, registry: &str) -> Lookup {
    match config_dir.and_then(read_config) {
        Some(config) => ask(config, registry.to_owned()).await,
        None => Lookup::default(),
    }
}

/// What was found for every registry that the configuration names, by the name that engines give it. The docker command
/// sends all of them with a build, too: which of them a Dockerfile needs is not known before it runs.
pub(crate) async fn for_all_registries(config_dir: Option<&Path>) -> HashMap<String, Lookup> {
    let Some(config) = config_dir.and_then(read_config) else {
        return HashMap::new();
    };
    let lookups = registries(&config).into_iter().map(|registry| {
        let config = config.clone();
        async move {
            (
                server_name(&registry).to_owned(),
                ask(config, registry).await,
            )
        }
    });
    join_all(lookups).await.into_iter().collect()
}

/// Writes the credential headers in the alphabet that engines read.
///
/// The client encodes them in plain base64, engines decode the alphabet for URLs: a password that yields `+` or `/` would be
/// ignored without a word.
pub(crate) fn repair_header<B>(mut request: Request<B>) -> Request<B> {
    for name in ["x-registry-auth", "x-registry-config"] {
        repair(request.headers_mut(), name);
    }
    request
}

fn repair(headers: &mut HeaderMap, name: &str) {
    let Some(value) = headers.get_mut(name) else {
        return;
    };
    let bytes: Vec<u8> = value
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    if let Ok(mut repaired) = HeaderValue::from_bytes(&bytes) {
        repaired.set_sensitive(true);
        *value = repaired;
    }
}

fn read_config(dir: &Path) -> Option<Vec<u8>> {
    std::fs::read(dir.join("config.json")).ok()
}

/// The registries that a configuration knows a credential or a helper for.
fn registries(config: &[u8]) -> BTreeSet<String> {
    let Ok(config) = serde_json::from_slice::<serde_json::Value>(config) else {
        return BTreeSet::new();
    };
    let keys = |name: &str| {
        config
            .get(name)
            .and_then(|it| it.as_object())
            .into_iter()
            .flat_map(|it| it.keys())
    };
    keys("auths").chain(keys("credHelpers")).cloned().collect()
}

/// The name under which an engine looks for the credential of `registry`: Docker Hub's has one, others are host names.
pub(crate) fn server_name(registry: &str) -> &str {
    let host = registry
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or(host);
    if HUB_ALIASES.contains(&host) {
        HUB
    } else {
        host
    }
}

/// Asks the configuration and its helpers. The helpers are programs that may hang, so they run on a thread of their own:
/// dropping this, or the whole runtime, does not wait for them.
async fn ask(config: Vec<u8>, registry: String) -> Lookup {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("registry credential".to_owned());
    let spawned = thread.spawn(move || {
        // Nobody listens any more if the request was given up.
        let _ = sender.send(look_up(&config, &registry));
    });
    if spawned.is_err() {
        return Lookup::default();
    }
    match timeout(HELPER_LIMIT, receiver).await {
        Ok(Ok(lookup)) => lookup,
        Ok(Err(_)) => Lookup::default(),
        Err(_) => Lookup {
            credentials: None,
            problem: Some(format!(
                "the credential helper did not answer within {} s",
                HELPER_LIMIT.as_secs()
            )),
        },
    }
}

fn look_up(config: &[u8], registry: &str) -> Lookup {
    let is_hub = server_name(registry) == HUB;
    let names: Vec<&str> = if is_hub {
        std::iter::once(HUB)
            .chain(HUB_ALIASES.iter().copied())
            .collect()
    } else {
        vec![registry]
    };
    let mut problem = None;
    for name in names {
        match docker_credential::get_credential_from_reader(config, name) {
            Ok(credential) => {
                return Lookup {
                    credentials: Some(for_engine(credential, server_name(registry))),
                    problem: None,
                };
            }
            Err(error) => problem = problem.or(worth_telling(error)),
        }
    }
    Lookup {
        credentials: None,
        problem,
    }
}

fn for_engine(credential: DockerCredential, server: &str) -> DockerCredentials {
    let mut credentials = DockerCredentials {
        serveraddress: Some(server.to_owned()),
        ..DockerCredentials::default()
    };
    match credential {
        DockerCredential::IdentityToken(token) => credentials.identitytoken = Some(token),
        DockerCredential::UsernamePassword(username, password) => {
            credentials.username = Some(username);
            credentials.password = Some(password);
        }
    }
    credentials
}

/// What a helper prints may hold a secret, so only its name is repeated.
fn worth_telling(error: CredentialRetrievalError) -> Option<String> {
    match error {
        CredentialRetrievalError::HelperCommunicationError => Some(
            "the credential helper that the Docker configuration names could not be run".to_owned(),
        ),
        CredentialRetrievalError::MalformedHelperResponse => {
            Some("the credential helper gave no credential".to_owned())
        }
        CredentialRetrievalError::HelperFailure { helper, stdout, .. }
            if !stdout.contains("credentials not found") =>
        {
            Some(format!("the credential helper `{helper}` failed"))
        }
        CredentialRetrievalError::CredentialDecodingError
        | CredentialRetrievalError::CredentialMismatchError => {
            Some("the credential in the Docker configuration cannot be read".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(config: &str, registry: &str) -> Option<String> {
        let found = look_up(config.as_bytes(), registry);
        found.credentials.and_then(|it| it.username)
    }

    #[test]
    fn a_registry_is_found_under_the_names_that_tools_give_it() {
        // `me:secret`
        let config =
            |name: &str| format!(r#"{{ "auths": {{ "{name}": {{ "auth": "bWU6c2VjcmV0" }} }} }}"#);
        for name in [
            HUB,
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
        ] {
            assert_eq!(
                user(&config(name), "docker.io").as_deref(),
                Some("me"),
                "{name}"
            );
        }
        for name in ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/"] {
            assert_eq!(
                user(&config(name), "ghcr.io").as_deref(),
                Some("me"),
                "{name}"
            );
        }
        assert_eq!(
            user(&config("localhost:5000"), "localhost:5000").as_deref(),
            Some("me")
        );
        assert_eq!(user(&config("ghcr.io"), "docker.io"), None);
    }

    #[test]
    fn the_engine_is_told_the_server_by_its_own_name() {
        let config = br#"{ "auths": { "docker.io": { "auth": "bWU6c2VjcmV0" } } }"#;
        let found = look_up(config, "docker.io").credentials.unwrap();
        assert_eq!(found.serveraddress.as_deref(), Some(HUB));
        assert_eq!(found.password.as_deref(), Some("secret"));
        let token =
            br#"{ "auths": { "ghcr.io": { "auth": "bWU6c2VjcmV0", "identitytoken": "t" } } }"#;
        let found = look_up(token, "ghcr.io").credentials.unwrap();
        assert_eq!(
            (found.identitytoken.as_deref(), found.password),
            (Some("t"), None)
        );
    }

    #[test]
    fn no_credential_is_no_problem_and_a_broken_one_is() {
        for config in [
            "{}",
            r#"{ "auths": {} }"#,
            r#"{ "auths": { "ghcr.io": {} } }"#,
            "not JSON",
            "",
        ] {
            let found = look_up(config.as_bytes(), "ghcr.io");
            assert!(
                found.credentials.is_none() && found.problem.is_none(),
                "{config}"
            );
        }
        let broken = look_up(br#"{ "auths": { "ghcr.io": { "auth": "!" } } }"#, "ghcr.io");
        assert!(broken.problem.unwrap().contains("cannot be read"));
        let helper = br#"{ "credHelpers": { "ghcr.io": "agentcore-no-such-helper" } }"#;
        assert!(
            look_up(helper, "ghcr.io")
                .problem
                .unwrap()
                .contains("could not be run")
        );
    }

    #[tokio::test]
    async fn all_registries_that_are_configured_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{ "auths": { "docker.io": { "auth": "bWU6c2VjcmV0" }, "https://ghcr.io": { "auth": "bWU6c2VjcmV0" }, "empty": {} },
                          "credHelpers": { "ecr.example": "agentcore-no-such-helper" } }"#;
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let found = for_all_registries(Some(folder.path())).await;
        let mut names: Vec<_> = found
            .iter()
            .map(|(name, it)| {
                (
                    name.as_str(),
                    it.credentials.is_some(),
                    it.problem.is_some(),
                )
            })
            .collect();
        names.sort_unstable();
        let expected = [
            ("ecr.example", false, true),
            ("empty", false, false),
            ("ghcr.io", true, false),
            (HUB, true, false),
        ];
        assert_eq!(names, expected);
        assert!(for_all_registries(None).await.is_empty());
        assert!(
            for_registry(Some(Path::new("/nonexistent")), "ghcr.io")
                .await
                .credentials
                .is_none()
        );
    }
}
