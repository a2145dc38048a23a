//! Why a build or a pull failed, told from the engine's words and the step that it was at.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use super::reference::Reference;
use crate::EngineError;
use crate::credentials::server_name;
use crate::error::{DISK_FULL_HINT, one_line, says_disk_full};

/// Why an image was not built or pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An image that is needed is neither here nor to be had.
    #[error("the image `{image}` cannot be had: {message}")]
    BaseImage {
        /// Its name.
        image: String,
        /// The engine's words.
        message: String,
    },
    /// A step failed, or the Dockerfile is wrong.
    #[error("{}", Failed { message, step: step.as_deref(), code: *code })]
    Step {
        /// The engine's words.
        message: String,
        /// The instruction that failed; none if the Dockerfile could not be read at all.
        step: Option<String>,
        /// What its program ended with, if that was the failure.
        code: Option<i64>,
    },
    /// The context could not be read to its end.
    #[error("the build context cannot be read")]
    Context(#[source] io::Error),
    /// The engine's disk is full.
    #[error("the disk of the Docker engine is full: {message}")]
    DiskFull {
        /// The engine's words.
        message: String,
    },
    /// The engine is the problem.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl BuildError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::BaseImage { image, message } => Some(base_image_hint(image, message)),
            Self::Step { message, .. } if needs_buildkit(message) => Some(BUILDKIT_HINT.to_owned()),
            Self::DiskFull { .. } => Some(DISK_FULL_HINT.to_owned()),
            Self::Engine(error) => error.hint(),
            Self::Step { .. } | Self::Context(_) => None,
        }
    }
}

/// Why the credential of a registry could not be had, by the name that engines give the registry.
pub(super) type Problems = BTreeMap<String, String>;

impl BuildError {
    /// Adds what is wrong with the credential of an image's registry: it may be why the image was refused.
    pub(super) fn with_problems(mut self, problems: &Problems) -> Self {
        if let Self::BaseImage { image, message } = &mut self {
            let registry = Reference::parse(image).registry;
            if let Some(problem) = problems.get(server_name(registry)) {
                *message = format!("{message} ({problem})");
            }
        }
        self
    }
}

const BUILDKIT_HINT: &str = "the image is built by the classic builder, which every engine has: leave out what only BuildKit \
     knows (`RUN --mount`, `COPY --chmod`, `COPY --link`, here-documents)";

/// Tells a failure from the engine's words, the step it was at, and the last lines that were printed.
pub(super) fn classify<'a>(
    message: &str,
    step: Option<&str>,
    last_lines: impl IntoIterator<Item = &'a str>,
) -> BuildError {
    let code = exit_code(message);
    let full_inside = code.is_some() && last_lines.into_iter().any(says_disk_full);
    let message = one_line(message);
    if says_disk_full(&message) || full_inside {
        return BuildError::DiskFull { message };
    }
    if code.is_none() {
        if let Some(image) = step.and_then(base_of) {
            return BuildError::BaseImage {
                image: image.to_owned(),
                message,
            };
        }
        if let Some((image, message)) = image_of_copy(&message) {
            return BuildError::BaseImage { image, message };
        }
    }
    BuildError::Step {
        message,
        step: step.map(str::to_owned),
        code,
    }
}

/// The image that a `FROM` instruction names.
pub(super) fn base_of(step: &str) -> Option<&str> {
    let mut words = step.split_whitespace();
    if !words.next()?.eq_ignore_ascii_case("FROM") {
        return None;
    }
    words.find(|word| !word.starts_with("--"))
}

/// The image that a `COPY --from` wanted to take from, and why it cannot be had.
fn image_of_copy(message: &str) -> Option<(String, String)> {
    let rest = message.strip_prefix("invalid from flag value ")?;
    let (image, message) = rest.split_once(": ")?;
    Some((image.to_owned(), message.to_owned()))
}

/// The status that the engine says a program of the build ended with.
fn exit_code(message: &str) -> Option<i64> {
    let (_, rest) = message.rsplit_once("returned a non-zero code: ")?;
    rest.trim().parse().ok()
}

fn needs_buildkit(message: &str) -> bool {
    message.contains("requires BuildKit")
        || message.contains("Unknown flag: link")
        || message.contains("Unknown flag: parents")
        || message.contains("Unknown flag: exclude")
}

fn base_image_hint(image: &str, message: &str) -> String {
    let message = message.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(&["toomanyrequests", "rate limit"]) {
        "the registry limits how often it may be asked: `docker login` raises the limit".to_owned()
    } else if says(&[
        "no matching manifest",
        "does not match the specified platform",
        "no match for platform",
    ]) {
        format!(
            "`{image}` does not exist for this machine's architecture: choose another base image"
        )
    } else if says(&[
        "pull access denied",
        "unauthorized",
        "authentication required",
        "denied:",
        "no basic auth",
    ]) {
        format!("is `{image}` spelled right? A private registry needs `docker login`")
    } else if says(&["not found", "manifest unknown", "invalid reference format"]) {
        format!("is `{image}` spelled right, and does its tag exist?")
    } else if says(&["x509", "certificate"]) {
        "the engine does not trust the registry's certificate".to_owned()
    } else if image.contains('$') {
        "can the Docker engine reach the registry? `docker pull` tells".to_owned()
    } else {
        format!("can the Docker engine reach the registry? `docker pull {image}` tells")
    }
}

/// The sentence of a step that failed.
struct Failed<'a> {
    message: &'a str,
    step: Option<&'a str>,
    code: Option<i64>,
}

impl fmt::Display for Failed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            step,
            code,
        } = self;
        match (step, code) {
            (Some(step), Some(code)) => write!(
                f,
                "the build failed: `{step}` ended with exit status {code}"
            ),
            (Some(step), None) => write!(f, "the build failed at `{step}`: {message}"),
            (None, _) => write!(f, "the build failed: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What engines have said: message, step, and what it means.
    const BASE_IMAGES: &[(&str, &str)] = &[
        // Docker 20.10, classic builder.
        (
            "Get \"https://nosuch.invalid/v2/\": dial tcp: lookup nosuch.invalid on 10.0.0.2:53: no such host",
            "can the Docker engine reach",
        ),
        (
            "Get \"https://registry-1.docker.io/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
            "can the Docker engine reach",
        ),
        (
            "Get \"https://registry-1.docker.io/v2/\": dial tcp 192.0.2.1:443: i/o timeout",
            "can the Docker engine reach",
        ),
        (
            "Get \"https://registry.example/v2/\": x509: certificate signed by unknown authority",
            "certificate",
        ),
        (
            "pull access denied for dcgmbuild, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            "docker login",
        ),
        (
            "Head \"https://ghcr.io/v2/me/base/manifests/1\": unauthorized",
            "docker login",
        ),
        (
            "manifest for python:9.9-slim not found: manifest unknown: manifest unknown",
            "does its tag exist",
        ),
        (
            "invalid reference format: repository name must be lowercase",
            "spelled right",
        ),
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries",
            "architecture",
        ),
        (
            "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit",
            "limits how often",
        ),
        // Docker 28 and 29, with containerd's image store.
        (
            "no matching manifest for linux/arm64/v8 in the manifest list entries: no match for platform in manifest: not found",
            "architecture",
        ),
        (
            "failed to resolve reference \"quay.io/me/runner:1\": quay.io/me/runner:1: not found",
            "does its tag exist",
        ),
        (
            "failed to resolve reference \"docker.io/me/api:latest\": failed to authorize: failed to fetch anonymous token: Get \"https://auth.docker.io/token?service=registry.docker.io\": EOF",
            "can the Docker engine reach",
        ),
        (
            "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
            "docker login",
        ),
        (
            "toomanyrequests: You have reached your unauthenticated pull rate limit. https://www.docker.com/increase-rate-limit",
            "limits how often",
        ),
    ];

    #[test]
    fn a_base_image_that_cannot_be_had_is_told_with_what_helps() {
        for (message, hint) in BASE_IMAGES {
            let error = classify(
                message,
                Some("FROM --platform=linux/arm64 python:9.9-slim AS build"),
                [],
            );
            assert!(
                matches!(&error, BuildError::BaseImage { image, .. } if image == "python:9.9-slim"),
                "{error:?}"
            );
            assert!(
                error.hint().unwrap().contains(hint),
                "{message}: {error:?} {:?}",
                error.hint()
            );
        }
    }

    #[test]
    fn an_image_to_copy_from_counts_too() {
        let message =
            "invalid from flag value nosuch.invalid/y:2: pull access denied for nosuch.invalid/y";
        let error = classify(message, Some("COPY --from=nosuch.invalid/y:2 /x /x"), []);
        let BuildError::BaseImage { image, message } = error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (image.as_str(), message.as_str()),
            (
                "nosuch.invalid/y:2",
                "pull access denied for nosuch.invalid/y"
            )
        );
    }

    #[test]
    fn what_is_wrong_with_a_credential_is_told_with_the_image_that_needs_it() {
        let problems = |registry: &str| {
            Problems::from([(registry.to_owned(), "the helper failed".to_owned())])
        };
        let denied = |image: &str| classify("denied: no", Some(&format!("FROM {image}")), []);
        let told = denied("python").with_problems(&problems("https://index.docker.io/v1/"));
        assert!(
            told.to_string().ends_with("denied: no (the helper failed)"),
            "{told}"
        );
        let told = denied("ghcr.io/me/x").with_problems(&problems("https://index.docker.io/v1/"));
        assert!(told.to_string().ends_with("denied: no"), "{told}");
    }

    #[test]
    fn a_failing_program_is_told_with_its_status() {
        let step = "RUN pip install --no-cache-dir -r requirements.txt";
        let message = format!(
            "The command '/bin/sh -c {}' returned a non-zero code: 127",
            &step[4..]
        );
        let error = classify(
            &message,
            Some(step),
            ["ERROR: No matching distribution found for nosuch"],
        );
        assert!(
            matches!(
                &error,
                BuildError::Step {
                    code: Some(127),
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("the build failed: `{step}` ended with exit status 127")
        );
        // The status decides, whatever the step looks like.
        let error = classify(&message, Some("FROM x"), []);
        assert!(
            matches!(
                error,
                BuildError::Step {
                    code: Some(127),
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_full_disk_is_told_as_such_wherever_it_shows() {
        let pulling = "failed to register layer: Error processing tar file(exit status 1): write /usr/lib/libxul.so: no space left on device";
        assert!(matches!(
            classify(pulling, Some("FROM python"), []),
            BuildError::DiskFull { .. }
        ));
        let copying = "failed to copy files: copy file range failed: no space left on device";
        assert!(matches!(
            classify(copying, Some("COPY . ."), []),
            BuildError::DiskFull { .. }
        ));
        let receiving =
            "Error processing tar file(exit status 1): write /model.bin: no space left on device";
        assert!(matches!(
            classify(receiving, None, []),
            BuildError::DiskFull { .. }
        ));
        let running = "The command '/bin/sh -c pip install torch' returned a non-zero code: 1";
        let said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device";
        let error = classify(
            running,
            Some("RUN pip install torch"),
            ["Collecting torch", said],
        );
        assert!(matches!(error, BuildError::DiskFull { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("docker system df"));
    }

    #[test]
    fn syntax_that_only_buildkit_knows_has_a_hint() {
        let refer = "Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled";
        for message in [
            format!("the --mount option requires BuildKit. {refer}"),
            format!("the --chmod option requires BuildKit. {refer}"),
            "dockerfile parse error line 23: Unknown flag: link".to_owned(),
        ] {
            let error = classify(&message, None, []);
            assert!(matches!(error, BuildError::Step { .. }), "{error:?}");
            assert!(error.hint().unwrap().contains("BuildKit"), "{message}");
        }
        let error = classify(
            "dockerfile parse error line 3: unknown instruction: FOO",
            None,
            [],
        );
        assert_eq!(
            error.to_string(),
            "the build failed: dockerfile parse error line 3: unknown instruction: FOO"
        );
        assert!(error.hint().is_none());
    }

    #[test]
    fn the_base_is_the_first_word_that_is_no_option() {
        let cases = [
            ("FROM scratch", Some("scratch")),
            (
                "from --platform=$BUILDPLATFORM  python:3.13 AS build",
                Some("python:3.13"),
            ),
            ("FROM", None),
            ("RUN echo FROM x", None),
            ("", None),
        ];
        for (step, base) in cases {
            assert_eq!(base_of(step), base, "{step}");
        }
    }
}
