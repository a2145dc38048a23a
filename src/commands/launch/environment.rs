//! The environment that `launch` gives the agent: of the shell only what every program needs, then the project's
//! variables, then files, then flags; a later one wins.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::shared::{self, Credentials, Isolation};
use crate::context::Context;
use crate::error::CliError;
use crate::model::Invalid;
use crate::model::environment::{Assignment, EnvName, Environment};
use crate::services::env_file;
use crate::services::local::environment::{Variables, is_own};

/// What keeps AWS SDKs from asking the machine that they run on for credentials; on in containers if nothing is said.
const METADATA_DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// A value of `--env`.
#[derive(Debug, Clone)]
pub(super) enum EnvArg {
    /// `NAME=VALUE`.
    Given(Assignment),
    /// `NAME`: the value is the shell's.
    FromShell(EnvName),
}

impl FromStr for EnvArg {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains('=') {
            text.parse().map(Self::Given)
        } else {
            text.parse().map(Self::FromShell)
        }
    }
}

/// What was given on the command line.
pub(super) struct Given {
    /// The values of `--env`.
    pub(super) env: Vec<EnvArg>,
    /// The values of `--env-file`.
    pub(super) files: Vec<PathBuf>,
    /// Whether `--aws-credentials` was given.
    pub(super) aws_credentials: bool,
}

/// The agent's own variables, and whether it gets the shell's credentials; what else it finds depends on its sandbox.
#[derive(Debug)]
pub(super) struct Wanted {
    own: Names,
    aws_credentials: bool,
}

/// Variables that are shown by their names only.
struct Names(Variables);

impl Given {
    /// Puts the agent's own variables together.
    pub(super) fn resolve(
        self,
        ctx: &Context,
        project: Option<&Environment>,
    ) -> Result<Wanted, CliError> {
        let Self {
            env,
            files,
            aws_credentials,
        } = self;
        let project = project.into_iter().flat_map(Environment::iter);
        let mut own: Variables = project
            .map(|(name, value)| (name.to_string(), value.to_owned()))
            .collect();
        for file in files {
            own.extend(of_file(&ctx.cwd, &file)?);
        }
        for arg in env {
            let (name, value) = match arg {
                EnvArg::Given(Assignment { name, value }) => (name, value),
                EnvArg::FromShell(name) => {
                    let value = shell_value(ctx, &name)?;
                    (name, value)
                }
            };
            own.insert(name.to_string(), value);
        }
        match own.keys().find(|it| is_own(it)) {
            Some(name) => Err(
                CliError::usage(format!("`{name}` is set by the sandbox itself"))
                    .hint("leave it out of the agent's environment"),
            ),
            None => Ok(Wanted {
                own: Names(own),
                aws_credentials,
            }),
        }
    }
}

impl Wanted {
    /// Everything that a sandbox of this kind finds, and says what became of the credentials.
    pub(super) fn for_sandbox(&self, ctx: &Context, isolation: Isolation) -> Variables {
        let Self {
            own,
            aws_credentials,
        } = self;
        let mut variables = ctx.env.basic(isolation);
        if isolation == Isolation::Container {
            if shared::drop_loopback_proxies(&mut variables) {
                ctx.printer.status("The proxy of this shell listens on this machine's loopback, which a container does not reach: it is not passed on.");
            }
            if *aws_credentials {
                // Containers are kept from the credentials of the machine itself, unless credentials are what is wanted.
                variables.insert(METADATA_DISABLED.to_owned(), "false".to_owned());
            }
        }
        if *aws_credentials {
            let (aws, credentials) = ctx.env.aws(isolation);
            variables.extend(aws);
            say(ctx, credentials);
        }
        variables.extend(own.0.clone());
        variables
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn of_file(cwd: &Path, file: &Path) -> Result<Variables, CliError> {
    let shown = file.display();
    let text = std::fs::read_to_string(cwd.join(file)).map_err(|error| {
        CliError::usage(format!("cannot read `{shown}`"))
            .caused_by(error)
            .hint("name a text file; the path is relative to the folder in which the command runs")
    })?;
    let assignments = env_file::parse(&text).map_err(|error| {
        CliError::configuration(format!("`{shown}`, {error}"))
            .hint("write one `NAME=VALUE` a line; a comment begins with `#`")
    })?;
    Ok(assignments
        .into_iter()
        .map(|Assignment { name, value }| (name.to_string(), value))
        .collect())
}

fn shell_value(ctx: &Context, name: &EnvName) -> Result<String, CliError> {
    let Some(value) = ctx.env.raw(name.as_str()) else {
        return Err(CliError::usage(format!(
            "`--env {name}`: the variable is not set in this shell"
        ))
        .hint(format!(
            "give the value, as in `--env {name}=VALUE`, or export the variable"
        )));
    };
    let value = value.to_str().ok_or_else(|| {
        CliError::usage(format!(
            "`--env {name}`: the value of the variable is not valid UTF-8"
        ))
    })?;
    Ok(value.to_owned())
}

fn say(ctx: &Context, credentials: Credentials) {
    let export = "export keys first, for example with `eval \"$(aws configure export-credentials --format env)\"`";
    match credentials {
        Credentials::Passed => {}
        Credentials::OnlyFiles => {
            ctx.printer.warn("this shell names AWS credentials only by files and addresses of this machine, which a container does not reach: no credentials are passed");
            ctx.printer.hint(export);
        }
        Credentials::OnlyAProfile => {
            ctx.printer.warn("this shell names only an AWS profile, which means nothing in a sandbox: no credentials are passed");
            ctx.printer.hint(export);
        }
        Credentials::Missing => {
            ctx.printer
                .warn("this shell has no AWS credentials to pass");
            ctx.printer.hint(export);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_given_or_taken_from_the_shell() {
        assert!(matches!("A=b=c".parse(), Ok(EnvArg::Given(it)) if it.value == "b=c"));
        assert!(matches!("A=".parse(), Ok(EnvArg::Given(it)) if it.value.is_empty()));
        assert!(matches!("A".parse(), Ok(EnvArg::FromShell(it)) if it.as_str() == "A"));
        for wrong in ["", "=v", "1A", "A B=c"] {
            assert!(wrong.parse::<EnvArg>().is_err(), "{wrong}");
        }
        let secret: EnvArg = "KEY=hush".parse().expect("a variable");
        assert!(!format!("{secret:?}").contains("hush"));
    }
}
