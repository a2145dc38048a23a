//! `agentcore configure`: adds an agent to the project of this folder, or changes it.
//!
//! Needs neither credentials nor network nor a terminal, and runs nothing but `cargo metadata` for a Rust agent.

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
use crate::model::aws::{EcrRepository, Region, Role};
use crate::model::choices::{Engine, Language, Protocol};
use crate::model::environment::Assignment;
use crate::model::lifecycle::SessionSeconds;
use crate::model::name::AgentName;
use crate::model::network::{SecurityGroupId, SubnetId};
use crate::model::project::{AgentConfig, ProjectFile, Version};
use crate::model::request_headers::RequestHeaders;
use crate::model::setting::{Origin as Decided, Setting};
use report::{ConfigureReport, Taken};
use typed::{Agent, Typed};

/// The flags; the long names are those of the Python toolkit where it has one.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigureArgs {
    /// The agent: a `.py` file (`agent.py[:app]`), a folder, a `Cargo.toml` or the source file of a Rust binary
    #[arg(long, short, value_name = "PATH")]
    entrypoint: Option<String>,
    /// The agent's name; without it, the entrypoint's path makes one
    #[arg(long, short)]
    name: Option<String>,
    /// The file that lists the agent's dependencies: `*.txt`, `*.in` or `pyproject.toml`
    #[arg(long, value_name = "PATH")]
    requirements_file: Option<String>,
    /// The language, where a folder holds both
    #[arg(long, value_name = "python|rust")]
    language: Option<Language>,
    /// The binary, where a Rust package has several
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// What serves a Python agent: this program, or the official SDK
    #[arg(long, value_name = "auto|native|sdk")]
    engine: Option<Engine>,
    /// The folder that is built and sent
    #[arg(long, value_name = "PATH")]
    source: Option<String>,
    /// What the agent speaks
    #[arg(long, short, value_name = "HTTP|MCP|A2A|AGUI")]
    protocol: Option<Protocol>,
    /// An environment variable of the agent (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<Assignment>,
    /// Who may call the agent: the API's JSON, `@FILE` with it, or `iam`
    #[arg(long, value_name = "JSON|@FILE|iam")]
    authorizer_config: Option<String>,
    /// The request headers that reach the agent, separated by commas
    #[arg(long, value_name = "NAMES", value_parser = RequestHeaders::from_list)]
    request_header_allowlist: Option<RequestHeaders>,
    /// End a session after this many idle seconds, 60 to 28800
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<SessionSeconds>,
    /// End a session after this many seconds in any case, 60 to 28800
    #[arg(long, value_name = "SECONDS")]
    max_lifetime: Option<SessionSeconds>,
    /// The AWS region to deploy to
    #[arg(long, short, help_heading = "Deployment")]
    region: Option<Region>,
    /// The IAM role that the agent runs as, by ARN or name
    #[arg(long, value_name = "ROLE", help_heading = "Deployment")]
    execution_role: Option<Role>,
    /// The ECR repository of the agent's image, by name or URI
    #[arg(long, value_name = "REPOSITORY", help_heading = "Deployment")]
    ecr: Option<EcrRepository>,
    /// Put the agent into a virtual private cloud
    #[arg(
        long,
        requires = "subnets",
        requires = "security_groups",
        help_heading = "Deployment"
    )]
    vpc: bool,
    /// The subnets, separated by commas
    #[arg(
        long,
        requires = "vpc",
        value_name = "IDS",
        value_delimiter = ',',
        help_heading = "Deployment"
    )]
    subnets: Vec<SubnetId>,
    /// The security groups, separated by commas
    #[arg(
        long,
        requires = "vpc",
        value_name = "IDS",
        value_delimiter = ',',
        help_heading = "Deployment"
    )]
    security_groups: Vec<SecurityGroupId>,
    /// Ask nothing; what is missing is an error
    #[arg(long)]
    non_interactive: bool,
}

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
        let ConfigureArgs {
            entrypoint,
            name,
            requirements_file,
            language,
            bin,
            engine,
            source,
            protocol,
            env,
            authorizer_config,
            request_header_allowlist,
            idle_timeout,
            max_lifetime,
            region,
            execution_role,
            ecr,
            vpc,
            subnets,
            security_groups,
            // Nothing is ever asked: what is missing is an error in any case.
            non_interactive: _,
        } = args;
        let typed = Typed {
            ctx,
            project: before.as_ref(),
            language,
            bin: bin.as_deref(),
        };
        let Agent {
            name,
            entrypoint,
            language: spoken,
        } = typed.agent(name.as_deref(), entrypoint.as_deref())?;
        let old = before
            .as_ref()
            .and_then(|it| it.file.agents.get(&name.value));
        let region_setting = Setting::default(None)
            .or(Decided::Shell, ctx.env.region()?.map(Some))
            .or(Decided::Project, old.and_then(region_of).map(Some))
            .or(Decided::Flag, region.clone().map(Some));
        let changes = Changes {
            source: source.map(|text| typed.folder(&text)).transpose()?,
            dependencies: requirements_file
                .map(|text| typed.requirements(&text, spoken))
                .transpose()?,
            authorizer: authorizer_config
                .map(|text| typed.authorizer(&text))
                .transpose()?,
            engine: engine
                .map(|engine| typed::engine(engine, spoken))
                .transpose()?,
            vpc: vpc.then_some((subnets, security_groups)),
            environment: env,
            request_headers: request_header_allowlist,
            ecr_repository: ecr,
            entrypoint,
            language,
            protocol,
            idle_timeout,
            max_lifetime,
            region,
            execution_role,
        };
        Ok(Self {
            name,
            changes,
            region: region_setting,
            before,
        })
    }
}

fn region_of(agent: &AgentConfig) -> Option<Region> {
    agent.aws.as_ref()?.region.clone()
}

/// Changes the project file, and the state where a toolkit file is taken over.
fn configure(ctx: &Context, settings: Settings) -> Result<ConfigureReport, CliError> {
    let Settings {
        name,
        changes,
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
    let agent = changes
        .apply(file.agents.get(&name.value))
        .map_err(|invalid| CliError::invalid(Kind::Usage, invalid))?;
    typed::check(ctx, &agent)?;
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
