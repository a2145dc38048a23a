//! The flags of `configure`; the long names are those of the Python toolkit where it has one.

use crate::model::aws::{EcrRepository, PythonVersion, Region, Role};
use crate::model::choices::{Engine, Language, Protocol};
use crate::model::environment::Assignment;
use crate::model::image::ImageReference;
use crate::model::lifecycle::SessionSeconds;
use crate::model::network::{SecurityGroupId, SubnetId};
use crate::model::request_headers::RequestHeaders;

/// What was typed.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ConfigureArgs {
    /// The agent: a `.py` file (`agent.py[:app]`), a folder, a `Cargo.toml` or the source file of a Rust binary
    #[arg(long, short, value_name = "PATH")]
    pub(super) entrypoint: Option<String>,
    /// The agent's name; without it, the entrypoint's path makes one
    #[arg(long, short)]
    pub(super) name: Option<String>,
    /// The file that lists the agent's dependencies: `*.txt`, `*.in` or `pyproject.toml`
    #[arg(long, value_name = "PATH")]
    pub(super) requirements_file: Option<String>,
    /// The language, where a folder holds both
    #[arg(long, value_name = "python|rust")]
    pub(super) language: Option<Language>,
    /// The binary, where a Rust package has several
    #[arg(long, value_name = "NAME")]
    pub(super) bin: Option<String>,
    /// What serves a Python agent: this program, or the official SDK
    #[arg(long, value_name = "auto|native|sdk")]
    pub(super) engine: Option<Engine>,
    /// The Python version of the agent's image, such as 3.12
    #[arg(long, value_name = "VERSION")]
    pub(super) python_version: Option<PythonVersion>,
    /// The folder that is built and sent
    #[arg(long, value_name = "PATH")]
    pub(super) source: Option<String>,
    /// What the agent speaks
    #[arg(long, short, value_name = "HTTP|MCP|A2A|AGUI")]
    pub(super) protocol: Option<Protocol>,
    /// An environment variable of the agent (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    pub(super) env: Vec<Assignment>,
    /// Who may call the agent: the API's JSON, `@FILE` with it, or `iam`
    #[arg(long, value_name = "JSON|@FILE|iam")]
    pub(super) authorizer_config: Option<String>,
    /// The request headers that reach the agent, separated by commas
    #[arg(long, value_name = "NAMES", value_parser = RequestHeaders::from_list)]
    pub(super) request_header_allowlist: Option<RequestHeaders>,
    /// End a session after this many idle seconds, 60 to 28800
    #[arg(long, value_name = "SECONDS")]
    pub(super) idle_timeout: Option<SessionSeconds>,
    /// End a session after this many seconds in any case, 60 to 28800
    #[arg(long, value_name = "SECONDS")]
    pub(super) max_lifetime: Option<SessionSeconds>,
    /// The image that the agent's image starts from, in the Dockerfile that is written for it
    #[arg(long, value_name = "IMAGE", conflicts_with = "dockerfile")]
    pub(super) base_image: Option<ImageReference>,
    /// A Dockerfile of your own, instead of the one that is written for the agent
    #[arg(long, value_name = "PATH")]
    pub(super) dockerfile: Option<String>,
    /// The AWS region to deploy to
    #[arg(long, short, help_heading = "Deployment")]
    pub(super) region: Option<Region>,
    /// The IAM role that the agent runs as, by ARN or name
    #[arg(long, value_name = "ROLE", help_heading = "Deployment")]
    pub(super) execution_role: Option<Role>,
    /// The ECR repository of the agent's image, by name or URI
    #[arg(long, value_name = "REPOSITORY", help_heading = "Deployment")]
    pub(super) ecr: Option<EcrRepository>,
    /// Put the agent into a virtual private cloud
    #[arg(
        long,
        requires = "subnets",
        requires = "security_groups",
        help_heading = "Deployment"
    )]
    pub(super) vpc: bool,
    /// The subnets, separated by commas
    #[arg(
        long,
        requires = "vpc",
        value_name = "IDS",
        value_delimiter = ',',
        help_heading = "Deployment"
    )]
    pub(super) subnets: Vec<SubnetId>,
    /// The security groups, separated by commas
    #[arg(
        long,
        requires = "vpc",
        value_name = "IDS",
        value_delimiter = ',',
        help_heading = "Deployment"
    )]
    pub(super) security_groups: Vec<SecurityGroupId>,
    /// Ask nothing, also at a terminal; what is missing is an error
    #[arg(long)]
    pub(super) non_interactive: bool,
}

impl ConfigureArgs {
    /// Whether a flag says more than which agent is meant.
    pub(super) fn change_something(&self) -> bool {
        let Self {
            entrypoint: _,
            name: _,
            requirements_file,
            language,
            bin,
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
            subnets: _,
            security_groups: _,
            non_interactive: _,
        } = self;
        let paths = [
            requirements_file,
            bin,
            source,
            authorizer_config,
            dockerfile,
        ];
        paths.into_iter().any(Option::is_some)
            || language.is_some()
            || engine.is_some()
            || python_version.is_some()
            || protocol.is_some()
            || !env.is_empty()
            || request_header_allowlist.is_some()
            || idle_timeout.is_some()
            || max_lifetime.is_some()
            || base_image.is_some()
            || region.is_some()
            || execution_role.is_some()
            || ecr.is_some()
            || *vpc
    }
}
