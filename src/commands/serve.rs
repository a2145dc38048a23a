//! `agentcore serve`: serves one agent in the foreground, without a project and without sessions of its own.
//!
//! A Python agent is served by this program; a Rust agent is built, and serves itself.

mod capacity;
mod child;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use agentcore_host::{
    EngineChoice, Interpreter, PythonAgent, ServeError, ServeOptions, unpack_python_package,
};
use agentcore_runtime::{Address, LogSettings};
use serde::Serialize;

use self::capacity::CapacityArgs;
use super::launch::{build, port, python_search};
use super::signals::{Asked, Signals};
use crate::config::entrypoint::{Search, Target};
use crate::config::env;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::model::entrypoint::split_app;
use crate::services::python::Described;

/// Where an agent is served when nothing else is said.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What was typed after `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "It runs until Ctrl-C (exit code 130) or SIGTERM (exit code 0).")]
pub(crate) struct ServeArgs {
    /// A Python file (`agent.py` or `agent.py:app`), a folder, a `Cargo.toml`, or the source file of a Rust binary
    entrypoint: String,
    /// Listen on this port [default: 8080]
    #[arg(long, short, value_parser = port, allow_negative_numbers = true)]
    port: Option<u16>,
    /// Listen on this address of the machine [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// Serve a Python agent with this engine: auto, native or sdk
    #[arg(long, default_value_t, value_name = "ENGINE")]
    engine: EngineChoice,
    /// Run a Python agent with this interpreter
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Run this binary of a Rust package that has several
    #[arg(long, value_name = "NAME")]
    bin: Option<String>,
    /// The folder that is importable beside the file's own
    #[arg(long, value_name = "FOLDER", hide = true)]
    source_root: Option<PathBuf>,
    /// Where the Python package of the worker is
    #[arg(long, value_name = "FOLDER", hide = true)]
    package_dir: Option<PathBuf>,
    /// What is known of the interpreter already
    #[arg(long, value_name = "JSON", hide = true, conflicts_with = "python")]
    interpreter: Option<String>,
    #[command(flatten)]
    capacity: CapacityArgs,
}

/// What will be served, and where.
struct Settings {
    entrypoint: String,
    address: Address,
    served: Served,
    /// A front door runs it, and speaks for it.
    in_sandbox: bool,
}

enum Served {
    Python(Box<ServeOptions>),
    Rust { executable: PathBuf },
}

/// The result of `serve`, when it has been asked to end.
#[derive(Debug, Serialize)]
struct ServeReport {
    entrypoint: String,
    address: String,
    ended_by: &'static str,
}

pub(crate) fn run(ctx: &Context, args: ServeArgs) -> Result<ExitCode, CliError> {
    let Settings {
        entrypoint,
        address,
        served,
        in_sandbox,
    } = Settings::resolve(args, ctx)?;
    agentcore_runtime::log_to_stderr(LogSettings::from_variables(|name| ctx.env.log(name))?);
    let shown = address.to_string();
    ctx.printer.status(&format!(
        "Serving `{entrypoint}` at {shown}. Press Ctrl-C to end."
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let asked = runtime.block_on(async {
        let signals = Signals::listen()?;
        match served {
            Served::Python(options) => serve_python(*options, signals).await,
            Served::Rust { executable } => child::serve(&executable, &address, signals).await,
        }
    });
    let asked = asked.map_err(|error| match error.kind() {
        // In a sandbox the last line is the reason that the front door gives.
        Kind::Agent if !in_sandbox => {
            error.hint("repair what the agent reports above and run the command again")
        }
        _ => error,
    })?;
    if ctx.printer.is_json() {
        let ended_by = match asked {
            Asked::Interrupted => "interrupt",
            Asked::Terminated => "terminate",
        };
        ctx.printer.report(&ServeReport {
            entrypoint,
            address: shown,
            ended_by,
        })?;
    }
    Ok(asked.exit_code())
}

async fn serve_python(options: ServeOptions, mut signals: Signals) -> Result<Asked, CliError> {
    let mut again = Signals::listen()?;
    let asked = OnceLock::new();
    let shutdown = async {
        // The only one who sets it.
        let _ = asked.set(signals.asked().await);
    };
    // The second time, nothing is waited for any more.
    let hurry = async {
        again.asked().await;
        again.asked().await;
    };
    agentcore_host::serve_until(options, shutdown, hurry).await?;
    Ok(asked.get().copied().unwrap_or(Asked::Terminated))
}

impl Settings {
    fn resolve(args: ServeArgs, ctx: &Context) -> Result<Self, CliError> {
        let ServeArgs {
            entrypoint,
            port,
            host,
            engine,
            python,
            bin,
            source_root,
            package_dir,
            interpreter,
            capacity,
        } = args;
        let (path, app) =
            split_app(&entrypoint).map_err(|it| CliError::invalid(Kind::Usage, it))?;
        let absolute = ctx.cwd.join(path);
        let search = Search {
            path: &absolute,
            shown: path,
            language: None,
            bin: bin.as_deref(),
            class: Kind::Usage,
        };
        let address = address(ctx, host, port)?;
        let in_sandbox = interpreter.is_some();
        let served = match search.resolve()? {
            Target::Rust(target) => Served::Rust {
                executable: build(ctx, &target)?,
            },
            Target::Python { file } => {
                let interpreter = match interpreter {
                    Some(known) => known_interpreter(&known)?,
                    None => {
                        Interpreter::find(&python_search(ctx, python.as_deref(), &file, &ctx.cwd))?
                    }
                };
                let package_dir = match package_dir {
                    Some(folder) => folder,
                    None => unpack(ctx)?,
                };
                let source_root = source_root.unwrap_or_else(|| top_of(&file, &ctx.cwd));
                let agent = PythonAgent {
                    file,
                    app: app.map(str::to_owned),
                    source_root,
                };
                Served::Python(Box::new(ServeOptions {
                    agent,
                    interpreter,
                    engine,
                    address: address.clone(),
                    capacity: capacity.into(),
                    package_dir,
                    environment: None,
                }))
            }
        };
        Ok(Self {
            entrypoint,
            address,
            served,
            in_sandbox,
        })
    }
}

/// Flags, otherwise the variable, otherwise loopback: nobody else can reach it unless told so.
fn address(ctx: &Context, host: Option<IpAddr>, port: Option<u16>) -> Result<Address, CliError> {
    if host.is_none()
        && port.is_none()
        && let Some(listen) = ctx.env.listen()?
    {
        return listen.parse().map_err(|error| {
            CliError::configuration(format!("`{}` is not an address", env::LISTEN))
                .caused_by(error)
                .hint("write it as `host:port` or `unix:/path`")
        });
    }
    let host = host.unwrap_or(DEFAULT_ADDRESS.ip());
    let port = port.unwrap_or(DEFAULT_ADDRESS.port());
    Ok(Address::Tcp(SocketAddr::new(host, port).to_string()))
}

fn known_interpreter(text: &str) -> Result<Interpreter, CliError> {
    let described: Described = serde_json::from_str(text).map_err(|error| {
        CliError::usage("`--interpreter` is not the description of one").caused_by(error)
    })?;
    Ok(described.into())
}

/// The folder that an agent may import from beside its own: where the command runs, if the agent is below it.
fn top_of(file: &Path, cwd: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(cwd);
    if file.starts_with(cwd) {
        cwd.to_owned()
    } else {
        folder.to_owned()
    }
}

fn unpack(ctx: &Context) -> Result<PathBuf, CliError> {
    let cache = match ctx.env.cache_dir() {
        Some(folder) => folder.join("agentcore").join("python"),
        None => cache_without_a_home(&ctx.env.temp_dir())?,
    };
    unpack_python_package(&cache).map_err(|error| {
        CliError::other(format!("cannot write `{}`", cache.display()))
            .caused_by(error)
            .hint("set `XDG_CACHE_HOME` to a folder that can be written")
    })
}

/// A folder of the user's own among everybody's short-lived files: what is in it will be run, so nobody else may have
/// made it or write to it.
fn cache_without_a_home(temp: &Path) -> Result<PathBuf, CliError> {
    let user = rustix::process::geteuid().as_raw();
    let folder = temp.join(format!("agentcore-cache-{user}"));
    let refused = |message: &str| {
        CliError::other(format!("{message} `{}`", folder.display()))
            .hint("set `HOME` or `XDG_CACHE_HOME` to a folder that can be written")
    };
    match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(refused("cannot make").caused_by(error));
        }
        _ => {}
    }
    let found = std::fs::symlink_metadata(&folder)
        .map_err(|error| refused("cannot look at").caused_by(error))?;
    let for_others = found.mode() & 0o077;
    if found.is_dir() && found.uid() == user && for_others == 0 {
        Ok(folder)
    } else {
        Err(refused("somebody else may write to"))
    }
}

impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        let message = error.to_string();
        match error {
            ServeError::SdkMissing(error) => error.into(),
            ServeError::Bind(_) => {
                Self::other(message).hint("choose another address with `--port` or `--host`")
            }
            ServeError::Load { .. } | ServeError::Ended { .. } => Self::new(Kind::Agent, message),
            _ => Self::other(message),
        }
    }
}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Served {} at {}", self.entrypoint, self.address)
    }
}
