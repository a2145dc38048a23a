//! References to container images, by the rule that engines and registries share.
//!
//! A reference goes into a Dockerfile as it is: what the rule lets through can neither end a line nor begin another word.

use std::str::FromStr;

use super::Invalid;

const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// An image: `python:3.12-slim`, `registry.example:5000/team/base@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageReference(String);

text_value!(ImageReference, as_str);

impl FromStr for ImageReference {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || match text {
            "" => Invalid::new("the name of the image is empty"),
            _ => Invalid::new(format!("`{text}` is not the name of an image")),
        };
        let example = "write it as in `python:3.12-slim` or `registry.example/team/base:1.0`";
        if let Some((scheme, rest)) = text.split_once("://") {
            let is_url = ["http", "https", "docker"].contains(&scheme);
            return Err(wrong().hint(if is_url {
                format!("leave out the scheme, as in `{rest}`")
            } else {
                example.to_owned()
            }));
        }
        if is_reference(text) {
            return Ok(Self(text.to_owned()));
        }
        let lower = text.to_lowercase();
        Err(wrong().hint(if lower != text && is_reference(&lower) {
            format!("the name is written in lower case, as in `{lower}`")
        } else {
            example.to_owned()
        }))
    }
}

/// `[host[:port]/]path[:tag][@algorithm:digest]`
fn is_reference(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash belongs to the host's port.
    let name_end = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[name_end..].split_once(':') {
        Some((last, tag)) => (&rest[..name_end + last.len()], Some(tag)),
        None => (rest, None),
    };
    is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

fn is_name(text: &str) -> bool {
    let path = match text.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => text,
    };
    text.len() <= MAX_NAME && path.split('/').all(is_component)
}

/// The first part of a name is a host if it has a dot or a port, or is `localhost`; any other is a part of the path.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let looks_like_one = port.is_some() || host.contains('.') || host == "localhost";
    looks_like_one
        && host.split('.').all(is_label)
        && port.is_none_or(|it| it.parse::<u16>().is_ok())
}

/// `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator =
        |it: &str| matches!(it, "" | "." | "_" | "__") || it.chars().all(|c| c == '-');
    text.starts_with(is_word) && text.ends_with(is_word) && text.split(is_word).all(is_separator)
}

/// `\w[\w.-]{0,127}`
fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(is_word)
        && text.chars().all(|c| is_word(c) || c == '.' || c == '-')
        && text.len() <= MAX_TAG
}

/// The one algorithm that registries use, in the one spelling that they take.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_hosts_paths_tags_and_digests() {
        let digest = format!("python@sha256:{}", "0a".repeat(32));
        let both = format!("python:3.12@sha256:{}", "0a".repeat(32));
        for right in [
            "python",
            "python:3.12-slim",
            "python:3.12-slim_A.b",
            "library/python",
            "localhost/x",
            "localhost:5000/team/base:1.0",
            "registry.example/team/a_b__c.d--e",
            "REGISTRY.example/x",
            "123456789012.dkr.ecr.us-west-2.amazonaws.com/base:v1",
            &digest,
            &both,
        ] {
            let parsed: Result<ImageReference, _> = right.parse();
            assert_eq!(parsed.as_ref().map(ImageReference::as_str), Ok(right));
        }
        for wrong in [
            "",
            " python",
            "python 3",
            "python:3\nRUN x",
            "python:",
            "python:-x",
            "python@sha256:00",
            "python@md5:00",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "Team/base",
            "https://registry.example/x",
            "registry.example:99999/x",
            "naïve",
            "$BASE",
            &"a".repeat(256),
            &format!("a:{}", "b".repeat(129)),
        ] {
            assert!(wrong.parse::<ImageReference>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_hint_fits_the_mistake() {
        let said = |text: &str| text.parse::<ImageReference>().unwrap_err().in_lines();
        assert_eq!(
            said("Python:3.12"),
            "`Python:3.12` is not the name of an image\nthe name is written in lower case, as in `python:3.12`"
        );
        assert_eq!(
            said("https://registry.example/x"),
            "`https://registry.example/x` is not the name of an image\nleave out the scheme, as in `registry.example/x`"
        );
        assert_eq!(
            said("python 3"),
            "`python 3` is not the name of an image\nwrite it as in `python:3.12-slim` or `registry.example/team/base:1.0`"
        );
    }
}
