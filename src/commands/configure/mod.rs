//! `agentcore configure`: adds an agent to the project of this folder, or changes it.
//!
//! Needs neither credentials nor network nor a terminal, and runs nothing but `cargo metadata` for a Rust agent. At a
//! terminal, `questions` ask for what the flags leave open.

mod args;
mod questions;
mod report;
mod typed;

use std::process::ExitCode;

use indexmap::IndexMap;

use crate::config::change::Changes;
use crate::config::project::{self, FILE_NAME, Origin, Project};
use crate::config::state::{self, State};
use crate::config::toolkit;
use crate::config::write::{self, Written};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::aws::Region;
use crate::model::name::AgentName;
use crate::model::project::{AgentConfig, ProjectFile, Version};
use crate::model::setting::{Origin as Decided, Setting};
pub(crate) use args::ConfigureArgs;
use report::{ConfigureReport, Taken};
use typed::{Agent, Typed};

/// What will happen.
struct Settings {
    name: Setting<AgentName>,
    changes: Changes,
    region: Setting<Option<Region>>,
    /// The project as it is.
    before: Option<Project>,
}

/// Adds or changes the agent that `args` describe.
pub(crate) fn run(ctx: &Context, args: ConfigureArgs) -> Result<ExitCode, CliError> {
    let args = if questions::may_be_asked(ctx, &args) {
        questions::answered(ctx, args)?
    } else {
        args
    };
    // From reading the project file to writing it, so that parallel runs lose no agent.
    let lock = write::lock(&ctx.cwd);
    let settings = Settings::resolve(ctx, args)?;
    let report = configure(ctx, settings)?;
    drop(lock);
    ctx.printer.report(&report)?;
    if report.is_new() {
        ctx.printer
            .hint("run it on this machine with `agentcore launch --local`");
    }
    Ok(ExitCode::SUCCESS)
}

impl Settings {
    fn resolve(ctx: &Context, args: ConfigureArgs) -> Result<Self, CliError> {
        let before = Project::in_folder(&ctx.cwd, &ctx.cwd)?;
        let bin = args.bin.clone();
        let typed = Typed {
            ctx,
            project: before.as_ref(),
            language: args.language,
            bin: bin.as_deref(),
        };
        let agent = typed.agent(args.name.as_deref(), args.entrypoint.as_deref())?;
        let old = before
            .as_ref()
            .and_then(|it| it.file.agents.get(&agent.name.value));
        let region = Setting::default(None)
            .or(Decided::Shell, ctx.env.region()?.map(Some))
            .or(Decided::Project, old.and_then(region_of).map(Some))
            .or(Decided::Flag, args.region.clone().map(Some));
        let name = agent.name.clone();
        let changes = changes(typed, agent, args)?;
        Ok(Self {
            name,
            changes,
            region,
            before,
        })
    }

    /// The agent as it will be.
    fn plan(&self) -> Result<AgentConfig, CliError> {
        let agents = self.before.as_ref().map(|it| &it.file.agents);
        let agent = self
            .changes
            .clone()
            .apply(agents.and_then(|it| it.get(&self.name.value)))
            .map_err(|invalid| CliError::invalid(Kind::Usage, invalid))?;
        typed::check(&agent)?;
        Ok(agent)
    }
}

/// What the flags change about `agent`.
fn changes(typed: Typed<'_>, agent: Agent, args: ConfigureArgs) -> Result<Changes, CliError> {
    let ConfigureArgs {
        // What these say is in `typed` and `agent`.
        entrypoint: _,
        name: _,
        bin: _,
        requirements_file,
        language,
        engine,
        python_version,
        source,
        protocol,
        env,
        authorizer_config,
        request_header_allowlist,
        idle_timeout,
        max_lifetime,
        base_image,
        dockerfile,
        region,
        execution_role,
        ecr,
        vpc,
        subnets,
        security_groups,
        // Whoever could be asked has been.
        non_interactive: _,
    } = args;
    let spoken = agent.language;
    Ok(Changes {
        entrypoint: agent.entrypoint,
        source: source.map(|text| typed.folder(&text)).transpose()?,
        language,
        python: python_version
            .map(|it| typed::only_python(it, "--python-version", spoken))
            .transpose()?,
        engine: engine
            .map(|engine| typed::engine(engine, spoken))
            .transpose()?,
        dependencies: requirements_file
            .map(|text| typed.requirements(&text, spoken))
            .transpose()?,
        protocol,
        environment: env,
        authorizer: authorizer_config
            .map(|text| typed.authorizer(&text))
            .transpose()?,
        request_headers: request_header_allowlist,
        idle_timeout,
        max_lifetime,
        base_image: base_image
            .map(|it| typed::only_python(it, "--base-image", spoken))
            .transpose()?,
        dockerfile: dockerfile.map(|text| typed.dockerfile(&text)).transpose()?,
        region,
        execution_role,
        ecr_repository: ecr,
        vpc: vpc.then_some((subnets, security_groups)),
    })
}

fn region_of(agent: &AgentConfig) -> Option<Region> {
    agent.aws.as_ref()?.region.clone()
}

/// Changes the project file, and the state where a toolkit file is taken over.
fn configure(ctx: &Context, settings: Settings) -> Result<ConfigureReport, CliError> {
    let agent = settings.plan()?;
    typed::warn(ctx, &agent);
    let Settings {
        name,
        changes: _,
        region,
        before,
    } = settings;
    let mut file = match &before {
        Some(project) => project.file.clone(),
        None => ProjectFile {
            version: Version,
            default_agent: None,
            agents: IndexMap::new(),
        },
    };
    let agent_is_new = file
        .agents
        .insert(name.value.clone(), agent.clone())
        .is_none();
    let former_default = file.default_agent.replace(name.value.clone());

    let taken = before
        .as_ref()
        .filter(|it| it.origin == Origin::Toolkit)
        .map(|it| take_over(ctx, it))
        .transpose()?;
    let known = before.as_ref().and_then(|it| match &it.origin {
        Origin::Native { text } => Some((&it.file, text.as_str())),
        Origin::Toolkit => None,
    });
    let path = ctx.cwd.join(FILE_NAME);
    let written = write::project_file(&path, known, &file)?;
    say(
        ctx,
        &written,
        former_default.filter(|it| *it != name.value).as_ref(),
        &name.value,
    );
    Ok(ConfigureReport::new(name, agent, &ctx.cwd)
        .written(&path, &written, agent_is_new)
        .region(region)
        .taken(taken))
}

/// Puts into the state what the toolkit file recorded of its deployments.
fn take_over(ctx: &Context, project: &Project) -> Result<Taken, CliError> {
    for note in project.notes() {
        ctx.printer.warn(note);
    }
    project
        .state()
        .update(|state| add_missing(state, project))?;
    let agents: Vec<AgentName> = project.file.agents.keys().cloned().collect();
    let names: Vec<_> = agents.iter().map(|name| format!("`{name}`")).collect();
    ctx.printer.status(&format!(
        "Took over {} from {} (ids and ARNs into {}/state.json); that file stays as it was",
        names.join(", "),
        toolkit::FILE_NAME,
        state::FOLDER,
    ));
    Ok(Taken {
        file: toolkit::FILE_NAME,
        agents,
    })
}

/// A state that is there already knows better than the toolkit's file.
fn add_missing(state: &mut State, project: &Project) {
    for name in project.file.agents.keys() {
        if let (None, Some(recorded)) = (state.agent(name), project.initial_state().agent(name)) {
            *state.agent_mut(name) = recorded.clone();
        }
    }
}

/// Says what a user should not have to find out.
fn say(ctx: &Context, written: &Written, former_default: Option<&AgentName>, name: &AgentName) {
    if *written == Written::Created
        && let Some(above) = project::file_above(&ctx.cwd)
    {
        let shown = above.display();
        ctx.printer.warn(&format!(
            "`{shown}` further up is another project, and is left alone"
        ));
    }
    if let Written::Changed {
        backup: Some(backup),
    } = written
    {
        let shown = project::shown(backup, &ctx.cwd);
        ctx.printer.warn(&format!(
            "the comments of {FILE_NAME} are not kept; {shown} is the file as it was"
        ));
    }
    if let Some(former) = former_default {
        ctx.printer.status(&format!(
            "`{name}` is the default agent now, instead of `{former}`"
        ));
    }
}
