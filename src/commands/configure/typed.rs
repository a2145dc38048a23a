//! From what was typed to what is meant: which agent, which entrypoint, which files.
//!
//! Typed paths are relative to the current folder; `configure` works on that folder's project, so stored paths are too.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::config::entrypoint::{Choice, Search, Target, path_in_project};
use crate::config::project::Project;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::Invalid;
use crate::model::authorizer::Authorizer;
use crate::model::choices::{Engine, Language};
use crate::model::entrypoint::{Entrypoint, split_app};
use crate::model::name::{AgentName, TypedName};
use crate::model::path::ProjectPath;
use crate::model::project::AgentConfig;
use crate::model::setting::{Origin, Setting};

/// What is needed to understand the flags.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub(super) ctx: &'a Context,
    pub(super) project: Option<&'a Project>,
    pub(super) language: Option<Language>,
    pub(super) bin: Option<&'a str>,
}

/// Which agent is meant.
pub(super) struct Agent {
    pub(super) name: Setting<AgentName>,
    /// Its entrypoint, if that was given or must be looked at again.
    pub(super) entrypoint: Option<(Entrypoint, Target)>,
    pub(super) language: Language,
}

impl Typed<'_> {
    /// Finds out which agent is meant by the name and the entrypoint that were typed, if they were.
    pub(super) fn agent(
        self,
        name: Option<&str>,
        entrypoint: Option<&str>,
    ) -> Result<Agent, CliError> {
        let name = name.map(|text| self::name(self.ctx, text)).transpose()?;
        let Some(text) = entrypoint else {
            return self.known_agent(name);
        };
        let (entrypoint, target) = self.entrypoint(text)?;
        let name = match name {
            Some(name) => Setting {
                value: name,
                origin: Origin::Flag,
            },
            None => self.name_for(&entrypoint, &target)?,
        };
        let language = target.language();
        Ok(Agent {
            name,
            entrypoint: Some((entrypoint, target)),
            language,
        })
    }

    /// An agent that the project has: the named one or its default agent.
    fn known_agent(self, name: Option<AgentName>) -> Result<Agent, CliError> {
        let origin = if name.is_some() {
            Origin::Flag
        } else {
            Origin::Project
        };
        let known = match (self.project, &name) {
            (Some(project), Some(name)) => project.file.agents.get_key_value(name),
            (Some(project), None) if !project.file.agents.is_empty() => Some(project.agent(None)?),
            _ => None,
        };
        let Some((name, agent)) = known else {
            let message = match name {
                Some(name) => {
                    format!("`--entrypoint` is missing: there is no agent `{name}` here yet")
                }
                None => "`--entrypoint` is missing".to_owned(),
            };
            let hint = "give the agent's file, as in `--entrypoint agent.py`; `--entrypoint .` looks in this folder";
            return Err(CliError::usage(message).hint(hint));
        };
        let name = Setting {
            value: name.clone(),
            origin,
        };
        if self.bin.is_none() && self.language.is_none() {
            let language = language_of(agent, &self.ctx.cwd);
            return Ok(Agent {
                name,
                entrypoint: None,
                language,
            });
        }
        // Another binary or language is a question to the same path.
        let path = agent.entrypoint.path.in_project(&self.ctx.cwd);
        let target = self
            .search(&path, agent.entrypoint.path.as_str())
            .resolve()?;
        let language = target.language();
        Ok(Agent {
            name,
            entrypoint: Some((agent.entrypoint.clone(), target)),
            language,
        })
    }

    /// What the agent, as it is configured, runs.
    pub(super) fn target_of(self, agent: &AgentConfig) -> Result<Target, CliError> {
        let path = agent.entrypoint.path.in_project(&self.ctx.cwd);
        Search {
            language: agent.language,
            bin: agent.bin.as_deref(),
            ..self.search(&path, agent.entrypoint.path.as_str())
        }
        .resolve()
    }

    fn search<'b>(&'b self, path: &'b Path, shown: &'b str) -> Search<'b> {
        Search {
            path,
            shown,
            language: self.language,
            bin: self.bin,
            class: Kind::Usage,
        }
    }

    /// The binaries that the package of a typed entrypoint leaves to choose from.
    pub(super) fn binaries(self, text: &str) -> Result<Option<Choice>, CliError> {
        let (path, _) = split_app(text).map_err(usage)?;
        self.search(&self.ctx.cwd.join(path), path).binaries()
    }

    /// A typed entrypoint, as it is stored and what it is on the disk.
    pub(super) fn entrypoint(self, text: &str) -> Result<(Entrypoint, Target), CliError> {
        let (path, app) = split_app(text).map_err(usage)?;
        let target = self.search(&self.ctx.cwd.join(path), path).resolve()?;
        let stored = match &target {
            // A folder was searched for its file: what was found is what is meant from now on.
            Target::Python { file } => self.path_or_inside(path, file.file_name())?,
            Target::Rust(_) => self.path_or_inside(path, Some(OsStr::new("Cargo.toml")))?,
        };
        Ok((
            Entrypoint {
                path: stored,
                app: app.map(str::to_owned),
            },
            target,
        ))
    }

    /// The typed path, or if that is a folder, the file `found` in it.
    fn path_or_inside(self, typed: &str, found: Option<&OsStr>) -> Result<ProjectPath, CliError> {
        let inside = found
            .map(|it| Path::new(typed).join(it))
            .filter(|_| self.ctx.cwd.join(typed).is_dir());
        self.path(inside.as_deref().and_then(Path::to_str).unwrap_or(typed))
    }

    /// The agent that has this entrypoint already, or a new one whose name is made from it.
    fn name_for(
        self,
        entrypoint: &Entrypoint,
        target: &Target,
    ) -> Result<Setting<AgentName>, CliError> {
        let agents = self.project.map(|it| &it.file.agents);
        let mut owners = agents
            .into_iter()
            .flatten()
            .filter(|(_, agent)| agent.entrypoint == *entrypoint && has_binary_of(agent, target));
        if let (Some((name, _)), None) = (owners.next(), owners.next()) {
            return Ok(Setting {
                value: name.clone(),
                origin: Origin::Project,
            });
        }
        let name = match target {
            Target::Python { .. } => {
                AgentName::inferred(entrypoint.path.as_str().trim_end_matches(".py"))
            }
            Target::Rust(target) => AgentName::inferred(&target.bin),
        };
        let name = name.map_err(usage)?;
        let namesake = agents.and_then(|it| it.get(&name));
        if namesake
            .is_some_and(|it| it.entrypoint.path != entrypoint.path || !has_binary_of(it, target))
        {
            return Err(CliError::usage(format!(
                "`{entrypoint}` would be called `{name}`, as another agent is"
            ))
            .hint("give it a name with `--name`"));
        }
        Ok(Setting {
            value: name,
            origin: if namesake.is_some() {
                Origin::Project
            } else {
                Origin::Inferred
            },
        })
    }

    /// A folder that is built and sent.
    pub(super) fn folder(self, text: &str) -> Result<ProjectPath, CliError> {
        match fs::metadata(self.ctx.cwd.join(text)) {
            Ok(metadata) if metadata.is_dir() => self.path(text),
            Ok(_) => Err(CliError::usage(format!("`{text}` is not a folder"))
                .hint("give a folder with `--source`")),
            Err(_) => {
                Err(CliError::usage(format!("there is no folder `{text}`")).hint("check the path"))
            }
        }
    }

    /// A file that lists dependencies.
    pub(super) fn requirements(
        self,
        text: &str,
        language: Language,
    ) -> Result<ProjectPath, CliError> {
        if language == Language::Rust {
            return Err(
                CliError::usage("a Rust agent has its dependencies in its `Cargo.toml`")
                    .hint("leave out `--requirements-file`"),
            );
        }
        let path = self.ctx.cwd.join(text);
        let name = path
            .file_name()
            .and_then(|it| it.to_str())
            .unwrap_or_default();
        let extension = path.extension().and_then(|it| it.to_str());
        if !path.is_file() {
            return Err(CliError::usage(format!("there is no file `{text}`")).hint(
                "give the file that lists the dependencies, for example `requirements.txt`",
            ));
        }
        if name != "pyproject.toml" && !matches!(extension, Some("txt" | "in")) {
            return Err(CliError::usage(format!(
                "`{text}` is not a dependency file that pip reads"
            ))
            .hint("give a `.txt` or `.in` file, or `pyproject.toml`"));
        }
        self.path(text)
    }

    /// A Dockerfile of the user's own.
    pub(super) fn dockerfile(self, text: &str) -> Result<ProjectPath, CliError> {
        match fs::metadata(self.ctx.cwd.join(text)) {
            Ok(metadata) if metadata.is_file() => self.path(text),
            Ok(_) => Err(CliError::usage(format!("`{text}` is not a file"))
                .hint("give the Dockerfile itself, as in `--dockerfile Dockerfile`")),
            Err(_) => Err(CliError::usage(format!("there is no file `{text}`"))
                .hint("leave out `--dockerfile`, and the agent's Dockerfile is written for it")),
        }
    }

    /// The authorizer: `iam`, JSON, or a file with JSON.
    pub(super) fn authorizer(self, text: &str) -> Result<Authorizer, CliError> {
        if text.eq_ignore_ascii_case("iam") {
            return Ok(Authorizer::Iam);
        }
        let (json, shown) = match text.strip_prefix('@') {
            Some(file) => {
                let read = fs::read_to_string(self.ctx.cwd.join(file)).map_err(|error| {
                    CliError::usage(format!("cannot read `{file}`"))
                        .caused_by(error)
                        .hint("check the path after the `@`")
                })?;
                (read, file)
            }
            None => (text.to_owned(), "--authorizer-config"),
        };
        let value: Value = serde_json::from_str(&json).map_err(|error| {
            CliError::usage(format!("`{shown}` is not JSON: {error}"))
                .hint("give the API's JSON, `@FILE` with it, or `iam`")
        })?;
        Authorizer::from_json(value).map_err(|invalid| {
            let Invalid { message, hint } = invalid;
            let error = CliError::usage(format!("`{shown}`: {message}"));
            match hint {
                Some(hint) => error.hint(hint),
                None => error.hint("see `authorizerConfiguration` in the AgentCore API reference"),
            }
        })
    }

    fn path(self, text: &str) -> Result<ProjectPath, CliError> {
        path_in_project(text, &self.ctx.cwd, &self.ctx.cwd).map_err(usage)
    }
}

/// A typed name; that its hyphens become underscores is said.
pub(super) fn name(ctx: &Context, text: &str) -> Result<AgentName, CliError> {
    let TypedName { name, repaired } = AgentName::typed(text).map_err(usage)?;
    if repaired {
        let status = format!(
            "The agent is called `{name}`: names have underscores where `{text}` has hyphens"
        );
        ctx.printer.status(&status);
    }
    Ok(name)
}

/// Whether `agent` runs the binary that was found; a Python agent has none.
fn has_binary_of(agent: &AgentConfig, target: &Target) -> bool {
    match target {
        Target::Python { .. } => true,
        Target::Rust(target) => {
            agent.bin.as_deref() == target.one_of_several.then_some(target.bin.as_str())
        }
    }
}

/// The language of an agent that is configured already, by the looks of its entrypoint.
pub(super) fn language_of(agent: &AgentConfig, root: &Path) -> Language {
    let path = agent.entrypoint.path.in_project(root);
    let looks_like_rust = path
        .extension()
        .is_some_and(|it| it == "rs" || it == "toml")
        || path.join("Cargo.toml").is_file();
    agent.language.unwrap_or(if looks_like_rust {
        Language::Rust
    } else {
        Language::Python
    })
}

/// What serves the agent, which only a Python agent can choose.
pub(super) fn engine(engine: Engine, language: Language) -> Result<Engine, CliError> {
    if language == Language::Rust {
        return Err(CliError::usage("a Rust agent serves itself").hint("leave out `--engine`"));
    }
    Ok(engine)
}

/// A key that only Python agents have.
pub(super) fn only_python<T>(value: T, flag: &str, language: Language) -> Result<T, CliError> {
    match language {
        Language::Python => Ok(value),
        Language::Rust => Err(CliError::usage(format!(
            "`{flag}` is for Python agents, and this one is written in Rust"
        ))
        .hint(format!("leave out `{flag}`"))),
    }
}

/// Checks what only the whole agent shows.
pub(super) fn check(agent: &AgentConfig) -> Result<(), CliError> {
    if let Some(source) = agent.source.as_ref().filter(|it| !it.is_root())
        && !Path::new(agent.entrypoint.path.as_str()).starts_with(source.as_str())
    {
        return Err(CliError::usage(format!(
            "`{}` is outside of the source folder `{source}`",
            agent.entrypoint.path
        ))
        .hint("give a folder that holds the entrypoint with `--source`"));
    }
    Ok(())
}

/// Says what is right and does not work all the same.
pub(super) fn warn(ctx: &Context, agent: &AgentConfig) {
    let has_jwt = matches!(agent.authorizer, Some(Authorizer::Jwt(_)));
    if !has_jwt
        && agent
            .request_headers
            .as_ref()
            .is_some_and(|it| it.contains("Authorization"))
    {
        ctx.printer.warn(
            "the service forwards `Authorization` only to an agent that has a JWT authorizer",
        );
    }
}

fn usage(invalid: Invalid) -> CliError {
    CliError::invalid(Kind::Usage, invalid)
}
