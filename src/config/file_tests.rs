//! The project file as a whole: every key is written and read back, and the example names every key and no other.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::yaml;
use crate::model::authorizer::Authorizer;
use crate::model::choices::{Build, Engine, Language, NetworkMode, Permission, Protocol};
use crate::model::environment::Environment;
use crate::model::lifecycle::Lifecycle;
use crate::model::network::Network;
use crate::model::project::{AgentConfig, Aws, Image, ProjectFile, Version};
use crate::model::request_headers::RequestHeaders;

const EXAMPLE: &str = include_str!("../../.agentcore.yaml.example");

/// Keys whose content is the user's or the API's own.
const FREE: [&str; 3] = ["environment", "authorizer", "tags"];

/// A file with every key, `text` wherever text is free. A new key does not compile until it is here.
fn full(text: &str) -> ProjectFile {
    let mut environment = Environment::default();
    environment
        .set(format!("A={text}").parse().unwrap())
        .unwrap();
    let url = "https://idp.example/.well-known/openid-configuration";
    let jwt = json!({ "customJWTAuthorizer": { "discoveryUrl": url, "allowedAudience": [text] } });
    let agent = AgentConfig {
        entrypoint: "a.py:app".parse().unwrap(),
        source: Some("svc".parse().unwrap()),
        language: Some(Language::Python),
        python: Some("3.10".parse().unwrap()),
        engine: Some(Engine::Native),
        dependencies: Some("requirements.txt".parse().unwrap()),
        bin: Some(text.to_owned()),
        protocol: Some(Protocol::Mcp),
        environment: Some(environment),
        authorizer: Some(Authorizer::from_json(jwt).unwrap()),
        request_headers: Some(RequestHeaders::from_list("X-A").unwrap()),
        lifecycle: Some(
            Lifecycle::new(Some("60".parse().unwrap()), Some("61".parse().unwrap())).unwrap(),
        ),
        image: Some(Image {
            base: Some("registry.example:5000/base:3.10".parse().unwrap()),
            dockerfile: Some("Dockerfile".parse().unwrap()),
        }),
        aws: Some(Aws {
            region: Some("us-west-2".parse().unwrap()),
            account: Some("012345678901".parse().unwrap()),
            execution_role: Some("role".parse().unwrap()),
            ecr_repository: Some("repo".parse().unwrap()),
            codebuild_role: Some("role".parse().unwrap()),
            network: Some(
                Network::new(
                    NetworkMode::Vpc,
                    vec!["subnet-01234567".parse().unwrap()],
                    vec!["sg-01234567".parse().unwrap()],
                )
                .unwrap(),
            ),
            build: Some(Build::CodeBuild),
            permissions: Some(vec![Permission::Models]),
            permissions_boundary: Some("arn:aws:iam::aws:policy/x".parse().unwrap()),
            tags: Some(IndexMap::from([(format!("t{text}"), text.to_owned())])),
        }),
    };
    ProjectFile {
        version: Version,
        default_agent: Some("my_agent".parse().unwrap()),
        agents: IndexMap::from([("my_agent".parse().unwrap(), agent)]),
    }
}

/// The paths of all keys.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{key}");
        if !FREE.contains(&key.as_str()) {
            keys(value, &path, found);
        }
        found.insert(path);
    }
}

#[test]
fn the_example_names_every_key_and_no_other() {
    let (mut in_example, mut known) = (BTreeSet::new(), BTreeSet::new());
    keys(
        &yaml::read(EXAMPLE, "example").unwrap(),
        "",
        &mut in_example,
    );
    keys(&serde_json::to_value(full("x")).unwrap(), "", &mut known);
    assert_eq!(in_example, known);
    yaml::read::<ProjectFile>(EXAMPLE, "example").unwrap();
}

#[test]
fn every_key_of_the_example_has_a_comment() {
    let mut above = "";
    let mut free_below: Option<usize> = None;
    for line in EXAMPLE.lines().filter(|it| !it.is_empty()) {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        free_below = free_below.filter(|&limit| indent > limit);
        if let (Some((key, _)), None, false) =
            (text.split_once(':'), free_below, text.starts_with('#'))
        {
            assert!(
                above.trim_start().starts_with('#'),
                "`{key}` has no comment"
            );
            free_below = FREE.contains(&key).then_some(indent);
        }
        above = line;
    }
}

proptest! {
    /// Whatever text stands in a file, it is read back as it was written.
    #[test]
    fn what_is_written_is_read_back(text in prop_oneof![
        "[^\\x00]{0,40}",
        "[-?:,\\[\\]{}#&*!|>'\"%@`~=<> \\n\\t0-9.+_eEyYnNaAuUlLxXoO]{0,12}",
    ]) {
        let file = full(&text);
        let written = yaml::write(&file).unwrap();
        let read: ProjectFile = yaml::read(&written, "f").unwrap();
        prop_assert_eq!(read, file, "{}", written);
    }
}
