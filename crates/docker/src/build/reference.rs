//! The name of an image: which registry it is in, and which tag is meant.
//!
//! Only what is needed to ask for it; whether the name is well formed is for the engine to say.

/// The registry of names that name none.
const HUB: &str = "docker.io";

/// The name of an image, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    /// Its registry: `docker.io`, `localhost:5000`.
    pub(super) registry: &'a str,
    text: &'a str,
}

impl<'a> Reference<'a> {
    /// Takes a name apart by Docker's rule: the first part is a registry if it looks like a host.
    pub(super) fn parse(text: &'a str) -> Self {
        let registry = match text.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => HUB,
        };
        Self { registry, text }
    }

    /// The name with a tag or a digest: without one an engine would pull every tag that there is.
    pub(super) fn with_tag(&self) -> String {
        let last = self.text.rsplit('/').next().unwrap_or(self.text);
        if last.contains([':', '@']) {
            self.text.to_owned()
        } else {
            format!("{}:latest", self.text)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_part_is_a_registry_if_it_looks_like_a_host() {
        let cases = [
            ("python", HUB, "python:latest"),
            ("python:3.13-slim", HUB, "python:3.13-slim"),
            ("library/python", HUB, "library/python:latest"),
            ("ghcr.io/me/base", "ghcr.io", "ghcr.io/me/base:latest"),
            ("localhost/base", "localhost", "localhost/base:latest"),
            (
                "localhost:5000/base",
                "localhost:5000",
                "localhost:5000/base:latest",
            ),
            (
                "registry:5000/a/b:1",
                "registry:5000",
                "registry:5000/a/b:1",
            ),
            ("me/base@sha256:00", HUB, "me/base@sha256:00"),
        ];
        for (text, registry, tagged) in cases {
            let reference = Reference::parse(text);
            assert_eq!(
                (reference.registry, reference.with_tag().as_str()),
                (registry, tagged),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_has_a_tag_or_a_digest(text in "[a-z0-9.:/@-]{0,40}") {
            let tagged = Reference::parse(&text).with_tag();
            prop_assert!(tagged.starts_with(&text));
            let last = tagged.rsplit('/').next().unwrap();
            prop_assert!(last.contains(':') || last.contains('@'));
        }
    }
}
