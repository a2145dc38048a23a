//! Reads the Python toolkit's `.bedrock_agentcore.yaml` as it is, and never writes it.
//!
//! What a person decided becomes a project file, what a deployment produced becomes state. Unknown keys are ignored, as
//! the toolkit itself does, and absolute paths of another machine are found again in this project.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::project::check_default_agent;
use super::state::{AgentState, CloudState, State};
use super::yaml;
use crate::error::CliError;
use crate::model::Invalid;
use crate::model::authorizer::Authorizer;
use crate::model::aws::PythonVersion;
use crate::model::choices::{Language, NetworkMode, Protocol};
use crate::model::entrypoint::Entrypoint;
use crate::model::lifecycle::Lifecycle;
use crate::model::name::AgentName;
use crate::model::network::Network;
use crate::model::path::ProjectPath;
use crate::model::project::{AgentConfig, Aws, ProjectFile, Version};
use crate::model::request_headers::{RequestHeaders, check_name};

/// The name of the toolkit's file.
pub(crate) const FILE_NAME: &str = ".bedrock_agentcore.yaml";

/// What a toolkit file says, in our terms.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) file: ProjectFile,
    pub(crate) state: State,
    /// What could not be taken over, in sentences.
    pub(crate) notes: Vec<String>,
}

/// Reads `text`, the toolkit file that is shown as `shown` and lies in `root`.
///
/// # Errors
///
/// Fails with class 3 if the text is not YAML, or a value that matters cannot be understood.
pub(crate) fn read(text: &str, shown: &str, root: &Path) -> Result<Imported, CliError> {
    let document: Document = yaml::read(text, shown)?;
    let agents = match (document.agents, document.name) {
        (Some(agents), _) => agents,
        // The file's first form held one agent, at the top.
        (None, Some(name)) => IndexMap::from([(name, yaml::read(text, shown)?)]),
        (None, None) => IndexMap::new(),
    };
    let mut imported = Imported {
        file: ProjectFile {
            version: Version,
            default_agent: None,
            agents: IndexMap::new(),
        },
        state: State::default(),
        notes: Vec::new(),
    };
    for (name, agent) in agents {
        let at = |invalid: Invalid| {
            CliError::configuration(format!("{shown}: agent `{name}`: {}", invalid.message)).hint(
                invalid
                    .hint
                    .unwrap_or_else(|| "correct the file and run the command again".to_owned()),
            )
        };
        let agent_name: AgentName = name.parse().map_err(at)?;
        if agent.language.as_deref() == Some("typescript") {
            imported.notes.push(format!(
                "agent `{name}` of {shown} is written in TypeScript, and is left out"
            ));
            continue;
        }
        let config = agent.config(root, &mut imported.notes).map_err(at)?;
        *imported.state.agent_mut(&agent_name) = agent.state();
        imported.file.agents.insert(agent_name, config);
    }
    let default = document.default_agent.and_then(|it| it.parse().ok());
    imported.file.default_agent = default.filter(|it| imported.file.agents.contains_key(it));
    check_default_agent(&imported.file, shown)?;
    Ok(imported)
}

#[derive(Deserialize)]
struct Document {
    default_agent: Option<String>,
    agents: Option<IndexMap<String, Agent>>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Agent {
    entrypoint: Option<String>,
    source_path: Option<String>,
    language: Option<String>,
    runtime_type: Option<String>,
    deployment_type: Option<String>,
    aws: Option<AwsSection>,
    bedrock_agentcore: Option<Value>,
    codebuild: Option<Value>,
    memory: Option<Value>,
    identity: Option<Value>,
    authorizer_configuration: Option<Value>,
    request_header_configuration: Option<HeaderSection>,
}

#[derive(Deserialize, Default)]
struct AwsSection {
    execution_role: Option<String>,
    account: Option<String>,
    region: Option<String>,
    ecr_repository: Option<String>,
    s3_path: Option<String>,
    network_configuration: Option<NetworkSection>,
    protocol_configuration: Option<ProtocolSection>,
    lifecycle_configuration: Option<LifecycleSection>,
}

#[derive(Deserialize)]
struct NetworkSection {
    network_mode: Option<String>,
    network_mode_config: Option<NetworkLists>,
}

#[derive(Deserialize, Default)]
struct NetworkLists {
    subnets: Option<Vec<String>>,
    security_groups: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ProtocolSection {
    server_protocol: Option<String>,
}

#[derive(Deserialize)]
struct LifecycleSection {
    idle_runtime_session_timeout: Option<String>,
    max_lifetime: Option<String>,
}

#[derive(Deserialize)]
struct HeaderSection {
    #[serde(rename = "requestHeaderAllowlist")]
    allowlist: Option<Vec<String>>,
}

impl Agent {
    fn config(&self, root: &Path, notes: &mut Vec<String>) -> Result<AgentConfig, Invalid> {
        let text = self
            .entrypoint
            .as_deref()
            .ok_or_else(|| Invalid::new("`entrypoint` is missing"))?;
        let Found { entrypoint, source } = find(root, text, self.source_path.as_deref())?;
        let mut config = AgentConfig::new(entrypoint);
        config.source = (!source.is_root()).then_some(source);
        config.language = parse_some::<Language>(self.language.as_deref())?;
        config.python = self.python()?;
        config.authorizer = self
            .authorizer_configuration
            .clone()
            .map(Authorizer::from_json)
            .transpose()?;
        config.request_headers = self.request_headers(notes)?;
        if let Some(aws) = &self.aws {
            let protocol = aws
                .protocol_configuration
                .as_ref()
                .and_then(|it| it.server_protocol.as_deref());
            config.protocol = parse_some::<Protocol>(protocol)?.filter(|it| *it != Protocol::Http);
            config.lifecycle = aws.lifecycle()?;
        }
        let aws = self.aws()?;
        config.aws = (aws != Aws::default()).then_some(aws);
        Ok(config)
    }

    fn aws(&self) -> Result<Aws, Invalid> {
        let Some(section) = &self.aws else {
            return Ok(Aws::default());
        };
        let codebuild_role = self
            .codebuild
            .as_ref()
            .and_then(|it| it["execution_role"].as_str());
        Ok(Aws {
            region: parse_some(section.region.as_deref())?,
            account: parse_some(section.account.as_deref())?,
            execution_role: parse_some(section.execution_role.as_deref())?,
            ecr_repository: parse_some(section.ecr_repository.as_deref())?,
            codebuild_role: parse_some(codebuild_role)?,
            network: section.network()?,
            ..Aws::default()
        })
    }

    /// `PYTHON_3_12` as `3.12`.
    fn python(&self) -> Result<Option<PythonVersion>, Invalid> {
        let version = self
            .runtime_type
            .as_deref()
            .and_then(|it| it.strip_prefix("PYTHON_"));
        parse_some(version.map(|it| it.replace('_', ".")).as_deref())
    }

    /// The toolkit's own default has a `*`, which the service refuses: such names are left out, and said.
    fn request_headers(&self, notes: &mut Vec<String>) -> Result<Option<RequestHeaders>, Invalid> {
        let Some(names) = self
            .request_header_configuration
            .as_ref()
            .and_then(|it| it.allowlist.as_ref())
        else {
            return Ok(None);
        };
        let mut kept = Vec::new();
        for name in names {
            match check_name(name) {
                Ok(()) => kept.push(name.clone()),
                Err(Invalid { message, .. }) => {
                    notes.push(format!("a request header is left out: {message}"));
                }
            }
        }
        if kept.is_empty() {
            Ok(None)
        } else {
            RequestHeaders::new(kept).map(Some)
        }
    }

    fn state(&self) -> AgentState {
        let text = |key: &str| Some(self.bedrock_agentcore.as_ref()?[key].as_str()?.to_owned());
        let cloud = CloudState {
            id: text("agent_id"),
            arn: text("agent_arn"),
            last_session: text("agent_session_id"),
        };
        let s3_path = self.aws.as_ref().and_then(|it| it.s3_path.clone());
        let recorded = [
            (
                "deployment_type",
                self.deployment_type.clone().map(Value::String),
            ),
            ("s3_path", s3_path.map(Value::String)),
            ("codebuild", self.codebuild.clone()),
            ("memory", self.memory.clone()),
            ("identity", self.identity.clone()),
        ];
        let toolkit: Map<String, Value> = recorded
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), without_nulls(value?)?)))
            .collect();
        AgentState {
            cloud,
            toolkit,
            ..AgentState::default()
        }
    }
}

impl AwsSection {
    fn network(&self) -> Result<Option<Network>, Invalid> {
        let Some(section) = &self.network_configuration else {
            return Ok(None);
        };
        if parse_some::<NetworkMode>(section.network_mode.as_deref())? != Some(NetworkMode::Vpc) {
            return Ok(None);
        }
        let empty = NetworkLists::default();
        let lists = section.network_mode_config.as_ref().unwrap_or(&empty);
        let subnets = parse_all(lists.subnets.as_deref().unwrap_or_default())?;
        let groups = parse_all(lists.security_groups.as_deref().unwrap_or_default())?;
        Network::new(NetworkMode::Vpc, subnets, groups).map(Some)
    }

    fn lifecycle(&self) -> Result<Option<Lifecycle>, Invalid> {
        let Some(section) = &self.lifecycle_configuration else {
            return Ok(None);
        };
        let idle = parse_some(section.idle_runtime_session_timeout.as_deref())?;
        let lifetime = parse_some(section.max_lifetime.as_deref())?;
        let lifecycle = Lifecycle::new(idle, lifetime)?;
        Ok((lifecycle != Lifecycle::default()).then_some(lifecycle))
    }
}

struct Found {
    entrypoint: Entrypoint,
    source: ProjectPath,
}

/// Finds entrypoint and source folder in the project at `root`; the toolkit writes both as absolute paths, perhaps of
/// another machine.
fn find(root: &Path, entrypoint: &str, source: Option<&str>) -> Result<Found, Invalid> {
    let source = source.map(Path::new);
    let typed = Path::new(entrypoint);
    if typed.is_relative() {
        let source = match source.filter(|it| it.is_relative()).and_then(Path::to_str) {
            Some(source) => source.parse()?,
            None => ProjectPath::root(),
        };
        return Ok(Found {
            entrypoint: entrypoint.parse()?,
            source,
        });
    }
    let inside = inside(root, typed).unwrap_or_else(|| {
        let below_source = source.and_then(|it| typed.strip_prefix(it).ok());
        below_source
            .unwrap_or(Path::new(typed.file_name().unwrap_or_default()))
            .to_owned()
    });
    // The folder that was the project's on the machine where the file was written.
    let depth = inside.components().count();
    let original_root = typed.ancestors().nth(depth).unwrap_or(root);
    let source = source
        .and_then(|it| it.strip_prefix(original_root).ok())
        .and_then(Path::to_str);
    let source = match source {
        Some(source) if !source.is_empty() => source.parse()?,
        _ => ProjectPath::root(),
    };
    Ok(Found {
        entrypoint: inside.to_string_lossy().parse()?,
        source,
    })
}

/// The longest end of the absolute `path` that exists in the project at `root`.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    if let Ok(inside) = path.strip_prefix(root) {
        return Some(inside.to_owned());
    }
    let parts: Vec<_> = path.components().skip(1).collect();
    (0..parts.len())
        .map(|skipped| parts[skipped..].iter().collect::<PathBuf>())
        .find(|end| root.join(end).exists())
}

fn parse_some<T: std::str::FromStr<Err = Invalid>>(
    text: Option<&str>,
) -> Result<Option<T>, Invalid> {
    text.filter(|it| !it.is_empty()).map(str::parse).transpose()
}

fn parse_all<T: std::str::FromStr<Err = Invalid>>(texts: &[String]) -> Result<Vec<T>, Invalid> {
    texts.iter().map(|it| it.parse()).collect()
}

fn without_nulls(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(entries) => {
            let kept: Map<_, _> = entries
                .into_iter()
                .filter_map(|(key, value)| Some((key, without_nulls(value)?)))
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) if items.is_empty() => None,
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_of_another_machine_are_found_in_the_project() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("svc")).unwrap();
        std::fs::write(root.path().join("svc/agent.py"), "").unwrap();
        let found = |entrypoint: &str, source: Option<&str>| {
            let Found { entrypoint, source } = find(root.path(), entrypoint, source).unwrap();
            format!("{entrypoint} in {source}")
        };
        assert_eq!(
            found("/home/x/proj/svc/agent.py", Some("/home/x/proj/svc")),
            "svc/agent.py in svc"
        );
        assert_eq!(
            found("/home/x/proj/svc/agent.py", Some("/home/x/proj")),
            "svc/agent.py in ."
        );
        assert_eq!(
            found("/home/x/proj/gone.py", Some("/home/x/proj")),
            "gone.py in ."
        );
        assert_eq!(found("svc/agent.py", None), "svc/agent.py in .");
        let here = root.path().join("svc/agent.py");
        assert_eq!(
            found(here.to_str().unwrap(), here.parent().unwrap().to_str()),
            "svc/agent.py in svc"
        );
    }

    #[test]
    fn the_first_form_of_the_file_holds_one_agent() {
        let root = tempfile::tempdir().unwrap();
        let text = "name: old\nentrypoint: agent.py\nunknown: 1\nbedrock_agentcore:\n  agent_id: old-0123456789\n  agent_arn: null\n";
        let Imported { file, state, notes } = read(text, FILE_NAME, root.path()).unwrap();
        let name: AgentName = "old".parse().unwrap();
        assert_eq!(file.agents[&name].entrypoint.to_string(), "agent.py");
        assert_eq!(
            state.agent(&name).unwrap().cloud.id.as_deref(),
            Some("old-0123456789")
        );
        assert!(notes.is_empty());
    }
}
