//! The result of `configure`: what is decided about the agent now, and what applies where nothing is.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::typed::language_of;
use crate::config::entrypoint::dependency_file;
use crate::config::project::FILE_NAME;
use crate::config::write::Written;
use crate::model::authorizer::Authorizer;
use crate::model::aws::Region;
use crate::model::choices::{Language, Protocol};
use crate::model::environment::EnvName;
use crate::model::lifecycle::SessionSeconds;
use crate::model::name::AgentName;
use crate::model::path::ProjectPath;
use crate::model::project::AgentConfig;
use crate::model::setting::{Origin, Setting};

/// Text for people, JSON for programs. The values of environment variables are in neither.
#[derive(Debug, Serialize)]
pub(super) struct ConfigureReport {
    agent: AgentName,
    agent_origin: Origin,
    default_agent: AgentName,
    file: PathBuf,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_over: Option<Taken>,
    language: Language,
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<Setting<ProjectPath>>,
    region: Setting<Option<Region>>,
    environment_names: Vec<EnvName>,
    config: AgentConfig,
}

/// What happened to the agent in the project file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Added,
    Changed,
    Unchanged,
}

/// What came from the toolkit's file.
#[derive(Debug, Serialize)]
pub(super) struct Taken {
    pub(super) file: &'static str,
    pub(super) agents: Vec<AgentName>,
}

impl ConfigureReport {
    /// The report on `agent` in the project at `root`.
    pub(super) fn new(name: Setting<AgentName>, mut agent: AgentConfig, root: &Path) -> Self {
        let language = language_of(&agent, root);
        let found = || {
            dependency_file(root, &agent.entrypoint.path).filter(|_| language == Language::Python)
        };
        let dependencies = match &agent.dependencies {
            Some(path) => Some(Setting {
                value: path.clone(),
                origin: Origin::Project,
            }),
            None => found().map(|path| Setting {
                value: path,
                origin: Origin::Inferred,
            }),
        };
        let environment = agent.environment.take().unwrap_or_default();
        Self {
            agent: name.value.clone(),
            agent_origin: name.origin,
            default_agent: name.value,
            file: root.join(FILE_NAME),
            outcome: Outcome::Unchanged,
            backup: None,
            taken_over: None,
            language,
            dependencies,
            region: Setting::default(None),
            environment_names: environment.names().cloned().collect(),
            config: agent,
        }
    }

    /// Adds what was written where.
    pub(super) fn written(mut self, path: &Path, written: &Written, agent_is_new: bool) -> Self {
        path.clone_into(&mut self.file);
        self.outcome = match written {
            Written::Unchanged => Outcome::Unchanged,
            Written::Created | Written::Changed { .. } if agent_is_new => Outcome::Added,
            Written::Created | Written::Changed { .. } => Outcome::Changed,
        };
        if let Written::Changed { backup } = written {
            self.backup.clone_from(backup);
        }
        self
    }

    /// Adds the region that a deployment would use.
    pub(super) fn region(mut self, region: Setting<Option<Region>>) -> Self {
        self.region = region;
        self
    }

    /// Adds what came from the toolkit's file.
    pub(super) fn taken(mut self, taken: Option<Taken>) -> Self {
        self.taken_over = taken;
        self
    }

    /// Whether the agent is a new one.
    pub(super) fn is_new(&self) -> bool {
        self.outcome == Outcome::Added
    }

    fn lines(&self) -> Lines {
        let Self {
            config,
            language,
            dependencies,
            ..
        } = self;
        let dependencies = dependencies
            .as_ref()
            .map(|it| with_origin(&it.value, it.origin));
        let headers = config
            .request_headers
            .as_ref()
            .map(|it| it.names().join(", "));
        let lifecycle = config.lifecycle.unwrap_or_default();
        let seconds = |value: Option<SessionSeconds>| value.map(|it| format!("{it} s"));
        let mut lines = Lines(vec![(
            "entrypoint",
            format!("{} ({language})", config.entrypoint),
        )]);
        lines.add("source", config.source.as_ref());
        lines.add("binary", config.bin.as_ref());
        lines.add("engine", config.engine);
        lines.add("python", config.python.as_ref());
        lines.add("dependencies", dependencies);
        lines.add_or_default("protocol", config.protocol, Protocol::Http);
        lines.add("environment", join(&self.environment_names));
        lines.add_or_default(
            "authorizer",
            config.authorizer.as_ref().map(Authorizer::summary),
            "IAM",
        );
        lines.add("headers", headers);
        lines.add_or_default(
            "idle timeout",
            seconds(lifecycle.idle_timeout),
            format!("{} s", SessionSeconds::DEFAULT_IDLE),
        );
        lines.add_or_default(
            "max lifetime",
            seconds(lifecycle.max_lifetime),
            format!("{} s", SessionSeconds::DEFAULT_LIFETIME),
        );
        let image = config.image.as_ref();
        lines.add("base image", image.and_then(|it| it.base.as_ref()));
        lines.add("dockerfile", image.and_then(|it| it.dockerfile.as_ref()));
        self.add_deployment(&mut lines);
        lines
    }

    fn add_deployment(&self, lines: &mut Lines) {
        let Self { config, region, .. } = self;
        let region = region
            .value
            .as_ref()
            .map(|it| with_origin(it, region.origin));
        lines.add("region", region);
        if let Some(aws) = &config.aws {
            lines.add("role", aws.execution_role.as_ref());
            lines.add("repository", aws.ecr_repository.as_ref());
            lines.add("network", aws.network.as_ref().map(|it| it.mode));
            let network = aws.network.as_ref();
            lines.add("subnets", network.and_then(|it| join(&it.subnets)));
            lines.add("groups", network.and_then(|it| join(&it.security_groups)));
        }
    }
}

/// What is decided, one thing a line: what it is, and how.
struct Lines(Vec<(&'static str, String)>);

impl Lines {
    fn add(&mut self, label: &'static str, value: Option<impl fmt::Display>) {
        self.0.extend(value.map(|it| (label, it.to_string())));
    }

    fn add_or_default<T: fmt::Display>(
        &mut self,
        label: &'static str,
        value: Option<T>,
        default: impl fmt::Display,
    ) {
        let text = value.map_or_else(|| format!("{default} (default)"), |it| it.to_string());
        self.0.push((label, text));
    }
}

fn join<T: ToString>(values: &[T]) -> Option<String> {
    let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn with_origin(value: &impl fmt::Display, origin: Origin) -> String {
    match origin {
        Origin::Project | Origin::Flag => value.to_string(),
        other => format!("{value} ({other})"),
    }
}

impl fmt::Display for ConfigureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agent,
            agent_origin,
            outcome,
            ..
        } = self;
        match outcome {
            Outcome::Added => write!(f, "Added agent `{agent}` to {FILE_NAME}")?,
            Outcome::Changed => write!(f, "Changed agent `{agent}` in {FILE_NAME}")?,
            Outcome::Unchanged => write!(f, "Agent `{agent}` is unchanged in {FILE_NAME}")?,
        }
        if *agent_origin == Origin::Inferred {
            f.write_str(" (its name is inferred; `--name` gives another)")?;
        }
        for (label, value) in self.lines().0 {
            write!(f, "\n  {label:<13} {value}")?;
        }
        write!(
            f,
            "\n`{agent}` is the default agent: commands without `--agent` mean it"
        )
    }
}
