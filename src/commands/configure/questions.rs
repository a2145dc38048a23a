//! What `configure` asks at a terminal: what no flag said, with what holds already as the default.
//!
//! An answer becomes the flag that it stands in for, so what happens then is decided in one place. Enter alone leaves a
//! key as it is, which for a new agent means absent: not decided here. The project is not locked while somebody thinks.

mod authorizer;

use super::typed::{self, Agent, Typed};
use super::{ConfigureArgs, Settings};
use crate::config::entrypoint::{Choice, candidates, dependency_file};
use crate::config::project::Project;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::Invalid;
use crate::model::aws::Role;
use crate::model::choices::Language;
use crate::model::name::AgentName;
use crate::model::project::{AgentConfig, Aws};
use crate::model::request_headers::RequestHeaders;
use crate::ui::ask::{self, Asker, Prompt};

/// What to know before the first question.
const INTRODUCTION: &str = "Enter takes what is in brackets; Ctrl-C leaves everything as it is";
/// What Enter stands for where a deployment makes what is not named.
const MAKE_ONE: &str = "make one";
/// What Enter stands for where there is nothing.
const NONE: &str = "none";
/// The choice of what is not in the list.
const ANOTHER: &str = "another file";

/// Whether somebody is there to be asked, and may be.
///
/// Some CI systems give their jobs a terminal that nobody sits at: there, a question would never be answered.
pub(super) fn may_be_asked(ctx: &Context, args: &ConfigureArgs) -> bool {
    !args.non_interactive && !ctx.printer.is_json() && !ctx.env.is_ci() && ask::is_possible()
}

/// Asks for what is missing in `args`, and returns them complete.
///
/// # Errors
///
/// Fails if the person stops, or if what the flags say is wrong already.
pub(super) fn answered(ctx: &Context, mut args: ConfigureArgs) -> Result<ConfigureArgs, CliError> {
    let project = Project::in_folder(&ctx.cwd, &ctx.cwd)?;
    let project = project.as_ref();
    args.name = args
        .name
        .map(|text| typed::name(ctx, &text))
        .transpose()?
        .map(|it| it.to_string());
    if is_told_what_to_change(ctx, project, &args)? {
        return Ok(args);
    }
    let mut asker = ask::begin(ctx.printer)?;
    ctx.printer.status(INTRODUCTION);
    let mut questions = Questions {
        ctx,
        project,
        asker: &mut *asker,
    };
    questions.which_agent(&mut args)?;
    let agent =
        typed(ctx, project, &args).agent(args.name.as_deref(), args.entrypoint.as_deref())?;
    // What is wrong in the flags is better said before the other questions than after them.
    Settings::resolve(ctx, args.clone())?.plan()?;
    questions.about(&agent, &mut args)?;
    Ok(args)
}

/// Whether the agent is there and the flags change something about it: then nothing is missing.
fn is_told_what_to_change(
    ctx: &Context,
    project: Option<&Project>,
    args: &ConfigureArgs,
) -> Result<bool, CliError> {
    let is_missing = args.entrypoint.is_none() && known(project, args.name.as_deref()).is_none();
    if !args.change_something() || is_missing {
        return Ok(false);
    }
    let typed = typed(ctx, project, args);
    if let Some(text) = &args.entrypoint
        && typed.binaries(text)?.is_some()
    {
        // Which of them is missing.
        return Ok(false);
    }
    let agent = typed.agent(args.name.as_deref(), args.entrypoint.as_deref())?;
    Ok(project.is_some_and(|it| it.file.agents.contains_key(&agent.name.value)))
}

/// The agent called `name`, or the default agent.
fn known<'a>(
    project: Option<&'a Project>,
    name: Option<&str>,
) -> Option<(&'a AgentName, &'a AgentConfig)> {
    // Without a default agent, the question is which file is meant.
    project?.agent(name).ok()
}

fn typed<'a>(ctx: &'a Context, project: Option<&'a Project>, args: &'a ConfigureArgs) -> Typed<'a> {
    Typed {
        ctx,
        project,
        language: args.language,
        bin: args.bin.as_deref(),
    }
}

fn usage(invalid: Invalid) -> CliError {
    CliError::invalid(Kind::Usage, invalid)
}

/// The questions of one run.
struct Questions<'a> {
    ctx: &'a Context,
    project: Option<&'a Project>,
    asker: &'a mut dyn Asker,
}

impl Questions<'_> {
    /// Asks until `parse` takes the answer; none is Enter where something stands for it.
    fn line<T>(
        &mut self,
        label: &str,
        enter: Option<&str>,
        mut parse: impl FnMut(&str) -> Result<T, CliError>,
    ) -> Result<Option<T>, CliError> {
        loop {
            let text = self.asker.line(Prompt { label, enter })?;
            if text.is_empty() && enter.is_some() {
                return Ok(None);
            }
            match parse(&text) {
                Ok(value) => return Ok(Some(value)),
                Err(reason) => self.asker.refuse(&reason),
            }
        }
    }

    /// Finds out which agent is meant: its entrypoint, its binary, its name.
    fn which_agent(&mut self, args: &mut ConfigureArgs) -> Result<(), CliError> {
        let known = match &args.entrypoint {
            Some(_) => None,
            None => known(self.project, args.name.as_deref()),
        };
        let (text, kept) = match (args.entrypoint.clone(), known) {
            (Some(text), _) => (text, None),
            (None, Some((name, agent))) => {
                let before = agent.entrypoint.to_string();
                match self.other_entrypoint(agent, &before, args)? {
                    Some(text) => (text, None),
                    None => (before, Some((name, agent))),
                }
            }
            (None, None) => (self.first_entrypoint(args)?, None),
        };
        let bin = match kept.or(known) {
            Some((_, agent)) => agent.bin.as_deref(),
            None => None,
        };
        let chosen = self.binary(&text, bin, args)?;
        if kept.is_none() {
            args.entrypoint = Some(text.clone());
        }
        if kept.is_none() || chosen.as_deref() != bin {
            args.bin = args.bin.take().or(chosen);
        }
        if let Some(text) = &args.entrypoint {
            // A flag's may be wrong.
            typed(self.ctx, self.project, args).entrypoint(text)?;
        }
        if args.name.is_none() {
            let name = self.name(kept.map(|(name, _)| name), args)?;
            // The same file under another name is another agent.
            if kept.is_some_and(|(it, _)| *it != name) {
                args.entrypoint = Some(text);
            }
            args.name = Some(name.to_string());
        }
        Ok(())
    }

    /// Asks for another entrypoint of `agent`; none is Enter, which keeps the one it has, if that is still there.
    fn other_entrypoint(
        &mut self,
        agent: &AgentConfig,
        before: &str,
        args: &ConfigureArgs,
    ) -> Result<Option<String>, CliError> {
        loop {
            let answer = self.entrypoint(Some(before), args)?;
            let kept = || typed(self.ctx, self.project, args).target_of(agent);
            match answer {
                Some(text) => return Ok(Some(text)),
                None => match kept() {
                    Ok(_) => return Ok(None),
                    Err(reason) => self.asker.refuse(&reason),
                },
            }
        }
    }

    /// The entrypoint of a new agent: what is found in the folder, or what is typed.
    fn first_entrypoint(&mut self, args: &ConfigureArgs) -> Result<String, CliError> {
        let mut found = candidates(&self.ctx.cwd, args.language);
        let default = found.first().cloned();
        let default = match found.len() {
            0 | 1 => default,
            _ => {
                found.push(ANOTHER.to_owned());
                let index = self.asker.choose("Entrypoint", &found, 0)?;
                if index + 1 < found.len() {
                    return Ok(found.swap_remove(index));
                }
                None
            }
        };
        let answer = self.entrypoint(default.as_deref(), args)?;
        Ok(answer.or(default).unwrap_or_default())
    }

    /// Asks for an entrypoint; none is Enter.
    fn entrypoint(
        &mut self,
        enter: Option<&str>,
        args: &ConfigureArgs,
    ) -> Result<Option<String>, CliError> {
        let typed = typed(self.ctx, self.project, args);
        self.line("Entrypoint", enter, |text| {
            if text.is_empty() {
                return Err(CliError::usage("an agent needs an entrypoint")
                    .hint("type the path of its file, as in `agent.py`"));
            }
            // Which binary of several is the next question.
            let choice = typed.binaries(text)?;
            let any = choice.as_ref().map(|it| it.names[it.default].as_str());
            Typed {
                bin: typed.bin.or(any),
                ..typed
            }
            .entrypoint(text)?;
            Ok(text.to_owned())
        })
    }

    /// Asks for the binary where the package of the entrypoint has several and none is chosen.
    fn binary(
        &mut self,
        entrypoint: &str,
        before: Option<&str>,
        args: &ConfigureArgs,
    ) -> Result<Option<String>, CliError> {
        let choice = typed(self.ctx, self.project, args).binaries(entrypoint)?;
        let Some(Choice { mut names, default }) = choice else {
            return Ok(None);
        };
        let default = names
            .iter()
            .position(|it| Some(it.as_str()) == before)
            .unwrap_or(default);
        let index = self.asker.choose("Binary", &names, default)?;
        Ok(Some(names.swap_remove(index)))
    }

    fn name(
        &mut self,
        before: Option<&AgentName>,
        args: &ConfigureArgs,
    ) -> Result<AgentName, CliError> {
        let typed = typed(self.ctx, self.project, args);
        let inferred = || typed.agent(None, args.entrypoint.as_deref());
        let default = match before {
            Some(name) => Some(name.clone()),
            // A name that cannot be made, or is taken, must be typed.
            None => inferred().ok().map(|it| it.name.value),
        };
        let enter = default.as_ref().map(AgentName::as_str);
        let ctx = self.ctx;
        let answer = self.line("Agent name", enter, |text| typed::name(ctx, text))?;
        Ok(answer
            .or(default)
            .expect("Enter is no answer where nothing stands for it"))
    }

    /// Asks what else is decided about `agent`.
    fn about(&mut self, agent: &Agent, args: &mut ConfigureArgs) -> Result<(), CliError> {
        let agents = self.project.map(|it| &it.file.agents);
        let before = agents.and_then(|it| it.get(&agent.name.value));
        if args.requirements_file.is_none() && agent.language == Language::Python {
            args.requirements_file = self.dependencies(agent, before, args)?;
        }
        let aws = before.and_then(|it| it.aws.as_ref());
        self.deployment(aws, args)?;
        if args.authorizer_config.is_none() {
            let before = before.and_then(|it| it.authorizer.as_ref());
            args.authorizer_config = self.authorizer(before)?;
        }
        if args.request_header_allowlist.is_none() {
            let names = before.and_then(|it| it.request_headers.as_ref());
            let enter = names.map_or(NONE.to_owned(), |it| it.names().join(", "));
            args.request_header_allowlist = self.line("Request headers", Some(&enter), |text| {
                RequestHeaders::from_list(text).map_err(usage)
            })?;
        }
        Ok(())
    }

    fn dependencies(
        &mut self,
        agent: &Agent,
        before: Option<&AgentConfig>,
        args: &ConfigureArgs,
    ) -> Result<Option<String>, CliError> {
        let root = &self.ctx.cwd;
        let entrypoint = match &agent.entrypoint {
            Some((entrypoint, _)) => Some(entrypoint),
            None => before.map(|it| &it.entrypoint),
        };
        let decided = before.and_then(|it| it.dependencies.clone());
        let found = decided.or_else(|| dependency_file(root, &entrypoint?.path));
        let enter = found.map_or(NONE.to_owned(), |it| it.to_string());
        let typed = typed(self.ctx, self.project, args);
        self.line("Dependency file", Some(&enter), |text| {
            typed.requirements(text, agent.language)?;
            Ok(text.to_owned())
        })
    }

    fn deployment(
        &mut self,
        before: Option<&Aws>,
        args: &mut ConfigureArgs,
    ) -> Result<(), CliError> {
        let shown = |text: Option<String>| text.unwrap_or_else(|| MAKE_ONE.to_owned());
        if args.execution_role.is_none() {
            let role = before.and_then(|it| it.execution_role.as_ref());
            let enter = shown(role.map(Role::to_string));
            args.execution_role = self.line("Execution role", Some(&enter), |text| {
                text.parse().map_err(usage)
            })?;
        }
        if args.ecr.is_none() {
            let repository = before.and_then(|it| it.ecr_repository.as_ref());
            let enter = shown(repository.map(ToString::to_string));
            args.ecr = self.line("ECR repository", Some(&enter), |text| {
                text.parse().map_err(usage)
            })?;
        }
        Ok(())
    }
}
