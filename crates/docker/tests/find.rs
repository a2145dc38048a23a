//! Which engine is found: what was chosen, in the docker command's order, and what is said when it cannot be used.

use std::fs;

use agentcore_docker::{Endpoint, FindError, HostProblem, Surroundings, find};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::engine;
use crate::support::proxy::Proxy;

/// A Docker configuration folder with contexts.
struct Config(TempDir);

impl Config {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a context as `docker context create` does.
    fn context(self, name: &str, endpoints: &str) -> Self {
        let folder = self.0.path().join("contexts/meta").join(id(name));
        fs::create_dir_all(&folder).unwrap();
        let meta = format!(r#"{{ "Name": "{name}", "Metadata": {{}}, "Endpoints": {endpoints} }}"#);
        fs::write(folder.join("meta.json"), meta).unwrap();
        self
    }

    fn json(self, text: &str) -> Self {
        fs::write(self.0.path().join("config.json"), text).unwrap();
        self
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            config_dir: Some(self.0.path().to_owned()),
            ..Surroundings::default()
        }
    }
}

fn id(name: &str) -> String {
    let digest = Sha256::digest(name);
    let pairs: Vec<_> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.concat()
}

fn at(endpoint: &Endpoint) -> String {
    format!(r#"{{ "docker": {{ "Host": "{endpoint}", "SkipTLSVerify": false }} }}"#)
}

fn nowhere(name: &str) -> String {
    format!("unix:///nonexistent/{name}.sock")
}

#[tokio::test]
async fn the_docker_commands_order_decides() {
    let Some(real) = engine().await else { return };
    let proxies: Vec<_> = (0..3).map(|_| Proxy::to(real.endpoint())).collect();
    let [host, chosen, current] = [0, 1, 2].map(|index| proxies[index].endpoint());
    let config = Config::new()
        .context("chosen", &at(&chosen))
        .context("current", &at(&current))
        .json(r#"{ "auths": {}, "currentContext": "current" }"#);
    let mut surroundings = Surroundings {
        host: Some(host.to_string()),
        context: Some("chosen".to_owned()),
        ..config.surroundings()
    };
    for expected in [host, chosen, current] {
        let found = find(&surroundings).await.unwrap();
        assert_eq!(*found.endpoint(), expected);
        // What stands first is taken away; empty counts as absent.
        match surroundings.host.as_deref() {
            Some("") => surroundings.context = Some(String::new()),
            _ => surroundings.host = Some(String::new()),
        }
    }
}

#[tokio::test]
async fn what_the_engine_is_is_known() {
    let Some(found) = engine().await else { return };
    assert!(found.cpus() >= 1 && found.memory() > 64 << 20, "{found:?}");
    assert!(["Docker", "Podman"].contains(&found.name()));
    assert_eq!(found.architecture().rust(), std::env::consts::ARCH);
    assert!(
        found
            .version()
            .starts_with(|first: char| first.is_ascii_digit()),
        "{}",
        found.version()
    );
    // No newer than what the engine speaks, and no newer than what this crate knows.
    let said = crate::support::raw(&found, "GET", "/version", "").await;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let number = |text: &str| {
        text.split_once('.')
            .map(|(_, minor)| minor.parse::<u32>().unwrap())
            .unwrap()
    };
    assert!(number(&found.api_version()) <= number(said["ApiVersion"].as_str().unwrap()));
}

#[tokio::test]
async fn a_chosen_engine_is_the_only_candidate() {
    let config = Config::new().context(
        "away",
        &at(&Endpoint::Unix("/nonexistent/context.sock".into())),
    );
    let by_host = Surroundings {
        host: Some(nowhere("host")),
        ..Surroundings::default()
    };
    let by_context = Surroundings {
        context: Some("away".to_owned()),
        ..config.surroundings()
    };
    let by_config = config.json(r#"{ "currentContext": "away" }"#);
    let cases = [
        (
            by_host,
            "the Docker engine of DOCKER_HOST does not answer (unix:///nonexistent/host.sock: no such socket)",
        ),
        (
            by_context,
            "the Docker engine of the context `away` of DOCKER_CONTEXT does not answer (unix:///nonexistent/context.sock: no such socket)",
        ),
        (
            by_config.surroundings(),
            "the Docker engine of the current context `away` does not answer (unix:///nonexistent/context.sock: no such socket)",
        ),
    ];
    for (surroundings, expected) in cases {
        let error = find(&surroundings).await.unwrap_err();
        assert!(matches!(error, FindError::Chosen { .. }), "{error:?}");
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("docker context use default"));
    }
}

/// An address in `DOCKER_HOST`, whether TLS is asked for, and what is wrong with it.
const ELSEWHERE: &[(&str, bool, HostProblem)] = &[
    ("ssh://me@build.example", false, HostProblem::Remote),
    ("ssh://me:secret@build.example", false, HostProblem::Remote),
    ("tcp://192.0.2.7:2375", false, HostProblem::Remote),
    ("tcp://build.example:2376", true, HostProblem::Remote),
    ("build.example:2375", false, HostProblem::Remote),
    ("tcp://0.0.0.0:2375", false, HostProblem::Remote),
    ("tcp://localhost:2376", true, HostProblem::Tls),
    ("https://127.0.0.1:2376", false, HostProblem::Tls),
    (
        "npipe:////./pipe/docker_engine",
        false,
        HostProblem::Unsupported,
    ),
    ("fd://", false, HostProblem::Unsupported),
    ("carrier-pigeon://loft", false, HostProblem::Malformed),
    ("tcp://127.0.0.1:99999", false, HostProblem::Malformed),
];

#[tokio::test]
async fn engines_elsewhere_are_named_and_refused() {
    for &(host, tls_verify, expected) in ELSEWHERE {
        let surroundings = Surroundings {
            host: Some(host.to_owned()),
            tls_verify,
            ..Surroundings::default()
        };
        let error = find(&surroundings).await.unwrap_err();
        assert!(
            matches!(&error, FindError::Unusable { problem, .. } if *problem == expected),
            "{error:?}"
        );
        let (sentence, shown) = (error.to_string(), host.replace(":secret", ""));
        assert!(
            sentence.contains("DOCKER_HOST") && sentence.contains(&shown),
            "{sentence}"
        );
        assert!(
            !sentence.contains("secret") && error.hint().is_some(),
            "{sentence}"
        );
    }
}

#[tokio::test]
async fn contexts_that_cannot_be_used_are_named() {
    let remote = r#"{ "docker": { "Host": "ssh://me@build.example", "SkipTLSVerify": false } }"#;
    let insecure = r#"{ "docker": { "Host": "tcp://127.0.0.1:2376", "SkipTLSVerify": true } }"#;
    let secure = r#"{ "docker": { "Host": "tcp://127.0.0.1:2376" } }"#;
    let config = Config::new()
        .context("remote", remote)
        .context("insecure", insecure)
        .context("secure", secure)
        .context("kubernetes", "{}")
        .context("broken", "not JSON");
    fs::create_dir_all(
        config
            .0
            .path()
            .join("contexts/tls")
            .join(id("secure"))
            .join("docker"),
    )
    .unwrap();
    let cases = [
        (
            "remote",
            "the context `remote` of DOCKER_CONTEXT names a Docker engine on another machine (ssh://me@build.example)",
        ),
        (
            "insecure",
            "the context `insecure` of DOCKER_CONTEXT asks for TLS (tcp://127.0.0.1:2376)",
        ),
        (
            "secure",
            "the context `secure` of DOCKER_CONTEXT asks for TLS (tcp://127.0.0.1:2376)",
        ),
        (
            "kubernetes",
            "the Docker context `kubernetes` cannot be read: it names no Docker endpoint",
        ),
        (
            "broken",
            "the Docker context `broken` cannot be read: expected",
        ),
        (
            "nosuch",
            "the Docker context `nosuch` cannot be read: No such file or directory",
        ),
    ];
    for (name, expected) in cases {
        let surroundings = Surroundings {
            context: Some(name.to_owned()),
            ..config.surroundings()
        };
        let error = find(&surroundings).await.unwrap_err();
        let source =
            std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        let sentence = format!("{error}{source}");
        assert!(sentence.starts_with(expected), "{sentence}");
        assert!(error.hint().is_some(), "{sentence}");
    }
}

#[tokio::test]
async fn tls_without_a_host_is_refused() {
    let surroundings = Surroundings {
        tls_verify: true,
        ..Surroundings::default()
    };
    let error = find(&surroundings).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("DOCKER_TLS_VERIFY asks for TLS"),
        "{error}"
    );
}

#[tokio::test]
async fn an_engine_on_a_loopback_port_is_used() {
    let Some(real) = engine().await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let Endpoint::Unix(socket) = real.endpoint().clone() else {
        return;
    };
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut engine = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut stream, &mut engine).await },
            );
        }
    });
    let surroundings = Surroundings {
        host: Some(format!("tcp://localhost:{}", address.port())),
        ..Surroundings::default()
    };
    let found = find(&surroundings).await.unwrap();
    assert_eq!(*found.endpoint(), Endpoint::Tcp(address));
    assert_eq!(found.version(), real.version());
}

#[tokio::test]
async fn a_broken_configuration_is_no_choice() {
    let Some(real) = engine().await else { return };
    let default = Endpoint::Unix("/var/run/docker.sock".into());
    if *real.endpoint() != default {
        eprintln!("not run: the engine is not at the default place");
        return;
    }
    for text in [
        "{",
        r#"{ "currentContext": 7 }"#,
        r#"{ "currentContext": "" }"#,
        r#"{ "currentContext": "default" }"#,
    ] {
        let config = Config::new().json(text);
        assert_eq!(
            *find(&config.surroundings()).await.unwrap().endpoint(),
            default,
            "{text}"
        );
    }
}
