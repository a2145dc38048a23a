//! What a person asks to change in one agent, and the change itself: only the keys that were given.
//!
//! Pure: what is on the disk was found out before.

use super::entrypoint::{RustTarget, Target};
use crate::model::Invalid;
use crate::model::authorizer::Authorizer;
use crate::model::aws::{EcrRepository, PythonVersion, Region, Role};
use crate::model::choices::{Engine, Language, NetworkMode, Protocol};
use crate::model::entrypoint::Entrypoint;
use crate::model::environment::Assignment;
use crate::model::image::ImageReference;
use crate::model::lifecycle::{Lifecycle, SessionSeconds};
use crate::model::network::{Network, SecurityGroupId, SubnetId};
use crate::model::path::ProjectPath;
use crate::model::project::{AgentConfig, Aws, Image};
use crate::model::request_headers::RequestHeaders;

/// What was given; `None` leaves a key as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    /// The new entrypoint, as it is stored and what it is on the disk.
    pub(crate) entrypoint: Option<(Entrypoint, Target)>,
    pub(crate) source: Option<ProjectPath>,
    pub(crate) language: Option<Language>,
    pub(crate) python: Option<PythonVersion>,
    pub(crate) engine: Option<Engine>,
    pub(crate) dependencies: Option<ProjectPath>,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) environment: Vec<Assignment>,
    pub(crate) authorizer: Option<Authorizer>,
    pub(crate) request_headers: Option<RequestHeaders>,
    pub(crate) idle_timeout: Option<SessionSeconds>,
    pub(crate) max_lifetime: Option<SessionSeconds>,
    pub(crate) base_image: Option<ImageReference>,
    pub(crate) dockerfile: Option<ProjectPath>,
    pub(crate) region: Option<Region>,
    pub(crate) execution_role: Option<Role>,
    pub(crate) ecr_repository: Option<EcrRepository>,
    /// Subnets and security groups of a virtual private cloud.
    pub(crate) vpc: Option<(Vec<SubnetId>, Vec<SecurityGroupId>)>,
}

impl Changes {
    /// The agent as it is after the changes; `before` is none for a new agent.
    ///
    /// # Errors
    ///
    /// Fails if old and new keys do not fit together.
    pub(crate) fn apply(self, before: Option<&AgentConfig>) -> Result<AgentConfig, Invalid> {
        let mut agent = match (before.cloned(), &self.entrypoint) {
            (Some(agent), _) => agent,
            (None, Some((entrypoint, _))) => AgentConfig::new(entrypoint.clone()),
            (None, None) => {
                return Err(Invalid::new("the agent has no entrypoint")
                    .hint("give one with `--entrypoint`"));
            }
        };
        let Self {
            entrypoint,
            source,
            language,
            python,
            engine,
            dependencies,
            protocol,
            environment,
            authorizer,
            request_headers,
            idle_timeout,
            max_lifetime,
            base_image,
            dockerfile,
            region,
            execution_role,
            ecr_repository,
            vpc,
        } = self;
        if let Some((entrypoint, target)) = entrypoint {
            move_to(&mut agent, entrypoint, &target);
        }
        set(&mut agent.source, source);
        set(&mut agent.language, language);
        set(&mut agent.python, python);
        set(&mut agent.engine, engine);
        set(&mut agent.dependencies, dependencies);
        set(&mut agent.protocol, protocol);
        set(&mut agent.authorizer, authorizer);
        set(&mut agent.request_headers, request_headers);
        for assignment in environment {
            agent.environment.get_or_insert_default().set(assignment)?;
        }
        if idle_timeout.is_some() || max_lifetime.is_some() {
            let Lifecycle {
                idle_timeout: old_idle,
                max_lifetime: old_lifetime,
            } = agent.lifecycle.unwrap_or_default();
            agent.lifecycle = Some(Lifecycle::new(
                idle_timeout.or(old_idle),
                max_lifetime.or(old_lifetime),
            )?);
        }
        build_from(&mut agent, base_image, dockerfile);
        let mut aws = agent.aws.take().unwrap_or_default();
        set(&mut aws.region, region);
        set(&mut aws.execution_role, execution_role);
        set(&mut aws.ecr_repository, ecr_repository);
        if let Some((subnets, groups)) = vpc {
            aws.network = Some(Network::new(NetworkMode::Vpc, subnets, groups)?);
        }
        agent.aws = (aws != Aws::default()).then_some(aws);
        Ok(agent)
    }
}

fn set<T>(key: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *key = value;
    }
}

/// A base image is for the Dockerfile that is written for the agent: with one of the user's own it would mean nothing, so
/// each of the two takes the other's place.
fn build_from(
    agent: &mut AgentConfig,
    base: Option<ImageReference>,
    dockerfile: Option<ProjectPath>,
) {
    if base.is_some() {
        agent.image = Some(Image {
            base,
            dockerfile: None,
        });
    }
    if dockerfile.is_some() {
        agent.image = Some(Image {
            base: None,
            dockerfile,
        });
    }
}

/// Gives the agent another entrypoint; keys that only make sense for the language that it leaves go with it.
fn move_to(agent: &mut AgentConfig, entrypoint: Entrypoint, target: &Target) {
    agent.entrypoint = entrypoint;
    let language = match target {
        Target::Python { .. } => {
            agent.bin = None;
            Language::Python
        }
        Target::Rust(RustTarget {
            bin,
            one_of_several,
            ..
        }) => {
            agent.bin = one_of_several.then(|| bin.clone());
            agent.engine = None;
            agent.python = None;
            agent.dependencies = None;
            agent.image = agent.image.take().and_then(without_base);
            Language::Rust
        }
    };
    if agent.language.is_some() {
        agent.language = Some(language);
    }
}

fn without_base(image: Image) -> Option<Image> {
    image.dockerfile.is_some().then_some(Image {
        base: None,
        ..image
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn python(path: &str) -> (Entrypoint, Target) {
        let file = PathBuf::from(path);
        (path.parse().unwrap(), Target::Python { file })
    }

    fn rust(path: &str, several: bool) -> (Entrypoint, Target) {
        let target = RustTarget {
            manifest: PathBuf::from(path),
            package: "p".to_owned(),
            bin: "b".to_owned(),
            one_of_several: several,
        };
        (path.parse().unwrap(), Target::Rust(target))
    }

    #[test]
    fn only_given_keys_change() {
        let first = Changes {
            entrypoint: Some(python("a.py")),
            protocol: Some(Protocol::Mcp),
            idle_timeout: Some("60".parse().unwrap()),
            environment: vec!["A=1".parse().unwrap(), "B=2".parse().unwrap()],
            region: Some("eu-west-1".parse().unwrap()),
            ..Changes::default()
        };
        let before = first.apply(None).unwrap();
        let same = Changes::default().apply(Some(&before)).unwrap();
        assert_eq!(same, before);

        let second = Changes {
            max_lifetime: Some("120".parse().unwrap()),
            environment: vec!["B=3".parse().unwrap()],
            ..Changes::default()
        };
        let after = second.apply(Some(&before)).unwrap();
        let variables: Vec<_> = after
            .environment
            .as_ref()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(variables, ["A=1", "B=3"]);
        let lifecycle = after.lifecycle.unwrap();
        assert_eq!(
            (lifecycle.idle_timeout, lifecycle.max_lifetime),
            (Some("60".parse().unwrap()), Some("120".parse().unwrap()))
        );
        assert_eq!(
            AgentConfig {
                environment: before.environment.clone(),
                lifecycle: before.lifecycle,
                ..after
            },
            before
        );
    }

    #[test]
    fn old_and_new_limits_must_fit_together() {
        let before = Changes {
            entrypoint: Some(python("a.py")),
            idle_timeout: Some("900".parse().unwrap()),
            ..Changes::default()
        };
        let before = before.apply(None).unwrap();
        let changes = Changes {
            max_lifetime: Some("600".parse().unwrap()),
            ..Changes::default()
        };
        assert!(changes.apply(Some(&before)).is_err());
    }

    #[test]
    fn a_base_image_and_an_own_dockerfile_take_each_others_place() {
        let with = |before: Option<&AgentConfig>, base: Option<&str>, file: Option<&str>| {
            let changes = Changes {
                entrypoint: Some(python("a.py")),
                base_image: base.map(|it| it.parse().unwrap()),
                dockerfile: file.map(|it| it.parse().unwrap()),
                ..Changes::default()
            };
            changes.apply(before).unwrap()
        };
        let image = |agent: &AgentConfig| {
            let image = agent.image.clone().unwrap_or_default();
            (
                image.base.map(|it| it.to_string()),
                image.dockerfile.map(|it| it.to_string()),
            )
        };
        let based = with(None, Some("python:3.12"), None);
        assert_eq!(image(&based), (Some("python:3.12".to_owned()), None));
        let own = with(Some(&based), None, Some("Dockerfile"));
        assert_eq!(image(&own), (None, Some("Dockerfile".to_owned())));
        assert_eq!(image(&with(Some(&own), None, None)), image(&own));
        assert_eq!(
            image(&with(Some(&own), Some("python:3.12"), None)),
            image(&based)
        );
        let to_rust = |before: &AgentConfig| {
            let changes = Changes {
                entrypoint: Some(rust("Cargo.toml", false)),
                ..Changes::default()
            };
            changes.apply(Some(before)).unwrap()
        };
        assert_eq!(to_rust(&based).image, None);
        assert_eq!(image(&to_rust(&own)), image(&own));
    }

    #[test]
    fn keys_of_the_other_language_go_with_it() {
        let changes = Changes {
            entrypoint: Some(python("a.py")),
            engine: Some(Engine::Native),
            ..Changes::default()
        };
        let agent = changes.apply(None).unwrap();
        let agent = Changes {
            entrypoint: Some(rust("Cargo.toml", true)),
            ..Changes::default()
        }
        .apply(Some(&agent))
        .unwrap();
        assert_eq!((agent.engine, agent.bin.as_deref()), (None, Some("b")));
        let agent = Changes {
            entrypoint: Some(rust("Cargo.toml", false)),
            ..Changes::default()
        }
        .apply(Some(&agent))
        .unwrap();
        assert_eq!(agent.bin, None);
        assert!(Changes::default().apply(None).is_err());
    }
}
