//! The `agentcore-host` program: serves one agent, and nothing else. It is what goes into a container image.
//!
//! It reads the environment and the signals, and turns them into values for the library.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agentcore_host::{
    AttachOptions, Capacity, EngineChoice, Interpreter, PythonAgent, Search, ServeError,
    ServeOptions, seconds, serve_until, unpack_python_package,
};
use agentcore_runtime::{Address, LogSettings};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Serve an agent over the HTTP contract of Amazon Bedrock AgentCore
#[derive(Debug, Parser)]
#[command(name = "agentcore-host", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a Python agent until told to stop
    Serve(ServeArgs),
    /// Serve the agent of the process that starts this one: what `app.run()` does
    #[command(hide = true)]
    Attach(AttachArgs),
}

#[derive(Debug, Args)]
struct AttachArgs {
    /// As of `serve`
    #[arg(long)]
    port: Option<u16>,
    /// As of `serve`
    #[arg(long)]
    host: Option<String>,
    #[command(flatten)]
    capacity: CapacityArgs,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The agent's file, with the name of its app if it has several (`agent.py` or `agent.py:app`)
    #[arg(value_name = "ENTRYPOINT[:APP]")]
    entrypoint: String,
    /// Port to listen on [default: that of `AGENTCORE_LISTEN`, else 8080]
    #[arg(long)]
    port: Option<u16>,
    /// Host to listen on [default: 0.0.0.0 if `DOCKER_CONTAINER` is set, else 127.0.0.1]
    #[arg(long)]
    host: Option<String>,
    /// What serves the agent: `native`, `sdk`, or `auto` for the official SDK where it is installed
    #[arg(long, default_value_t)]
    engine: EngineChoice,
    /// Python interpreter, or the folder of a virtual environment
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Folder that is importable beside the file's own [default: the file's folder]
    #[arg(long, value_name = "FOLDER")]
    source_root: Option<PathBuf>,
    #[command(flatten)]
    capacity: CapacityArgs,
}

/// How much of a Python agent runs at once, and for how long.
#[derive(Debug, clap::Args)]
struct CapacityArgs {
    /// Processes that run the agent: a session always goes to the same one
    #[arg(long, value_name = "N", env = "AGENTCORE_WORKERS", default_value = "1")]
    workers: NonZeroUsize,
    /// Threads for handlers that are no coroutines, in each process [default: 256]
    #[arg(long, value_name = "N", env = "AGENTCORE_THREADS")]
    threads: Option<NonZeroUsize>,
    /// Seconds until an invocation has to answer, or begin to stream [default: 900]
    #[arg(long, value_name = "SECONDS", env = "AGENTCORE_INVOCATION_TIMEOUT", value_parser = seconds)]
    invocation_timeout: Option<Duration>,
    /// Seconds until a stream has to end [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "AGENTCORE_STREAM_TIMEOUT", value_parser = seconds)]
    stream_timeout: Option<Duration>,
}

impl From<CapacityArgs> for Capacity {
    fn from(args: CapacityArgs) -> Self {
        let CapacityArgs {
            workers,
            threads,
            invocation_timeout,
            stream_timeout,
        } = args;
        Self {
            workers,
            threads,
            invocation_timeout,
            stream_timeout,
        }
    }
}

/// The classes of exit codes that this program has, the same as the CLI's.
#[derive(Debug, Clone, Copy)]
enum Class {
    Other = 1,
    Usage = 2,
    Configuration = 3,
    Agent = 8,
}

/// What is told to the user: a sentence, what to do, and the class.
#[derive(Debug)]
struct Failed {
    class: Class,
    error: String,
    hint: Option<String>,
}

/// The parts of the environment that decide something here.
#[derive(Debug)]
struct Marks {
    listen: Option<String>,
    docker_container: Option<String>,
    virtual_env: Option<PathBuf>,
    path: OsString,
    /// Where the Python package is kept from run to run, if there is such a place.
    cache: Option<PathBuf>,
    log: LogSettings,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let marks = Marks::from_env();
    agentcore_runtime::log_to_stderr(marks.log.clone());
    let ended = match command {
        Command::Serve(args) => serve(args, marks),
        Command::Attach(args) => attach(args, &marks),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            let Failed { class, error, hint } = failed;
            let mut stderr = anstream::stderr().lock();
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(stderr, "error: {error}");
            if let Some(hint) = hint {
                let _ = writeln!(stderr, "hint: {hint}");
            }
            ExitCode::from(class as u8)
        }
    }
}

fn serve(args: ServeArgs, marks: Marks) -> Result<(), Failed> {
    // Without a place of the user's own the package is for this run only: a shared one could be somebody else's.
    let for_this_run = match marks.cache {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|error| {
            Failed::new(
                Class::Other,
                format!("no temporary folder can be made: {error}"),
            )
        })?),
    };
    let cache = marks
        .cache
        .clone()
        .or_else(|| for_this_run.as_ref().map(|folder| folder.path().to_owned()));
    let options = resolve(args, marks, &cache.unwrap_or_default())?;
    to_the_end(async {
        let (stop, hurry) = told_to_stop()?;
        serve_until(options, stop, hurry)
            .await
            .map_err(Failed::from)
    })
}

/// Standard input and output are the starter's: nothing else is read or printed there.
fn attach(args: AttachArgs, marks: &Marks) -> Result<(), Failed> {
    let AttachArgs {
        port,
        host,
        capacity,
    } = args;
    let (listen, docker) = (marks.listen.as_deref(), marks.docker_container.as_deref());
    let options = AttachOptions {
        address: address(host, port, listen, docker)?,
        capacity: capacity.into(),
        tell: Box::new(std::io::stdout()),
        orders: Box::new(std::io::stdin()),
    };
    to_the_end(async {
        // What a terminal says when it closes, or quits, is for the starter to heed: its end is ours.
        let _deaf = [SignalKind::hangup(), SignalKind::quit()].map(signal);
        let (stop, hurry) = told_to_stop()?;
        let attached = agentcore_host::attach(options, stop, hurry).await;
        attached.map_err(|error| match &error {
            ServeError::Bind(_) => Failed::from(error).hint("use another port: `app.run(port=…)`"),
            _ => error.into(),
        })
    })
}

fn to_the_end(serving: impl Future<Output = Result<(), Failed>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failed::new(Class::Other, format!("the server cannot start: {error}")))?;
    let served = runtime.block_on(serving);
    // Whatever still runs has been told to end; nothing is worth waiting for.
    runtime.shutdown_background();
    served
}

fn resolve(args: ServeArgs, marks: Marks, cache: &Path) -> Result<ServeOptions, Failed> {
    let ServeArgs {
        entrypoint,
        port,
        host,
        engine,
        python,
        source_root,
        capacity,
    } = args;
    let Marks {
        listen,
        docker_container,
        virtual_env,
        path,
        cache: _,
        log: _,
    } = marks;
    let (file, app) = split(&entrypoint);
    let file = existing_file(&file)?;
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    let source_root = match source_root {
        Some(given) => existing_folder(&given)?,
        None => folder.clone(),
    };
    let address = address(host, port, listen.as_deref(), docker_container.as_deref())?;
    let mut folders = vec![folder];
    for further in std::iter::once(source_root.clone()).chain(env::current_dir().ok()) {
        if !folders.contains(&further) {
            folders.push(further);
        }
    }
    let search = Search {
        given: python,
        virtual_env,
        folders,
        path,
    };
    let interpreter = Interpreter::find(&search)
        .map_err(|error| Failed::new(Class::Configuration, error.to_string()).hint(error.hint()))?;
    let package_dir = unpack_python_package(cache).map_err(|error| {
        let text = format!(
            "the Python package cannot be written to `{}`: {error}",
            cache.display()
        );
        Failed::new(Class::Other, text)
            .hint("set `AGENTCORE_CACHE_DIR` to a folder that can be written")
    })?;
    let agent = PythonAgent {
        file,
        app,
        source_root,
    };
    Ok(ServeOptions {
        agent,
        interpreter,
        engine,
        address,
        capacity: capacity.into(),
        package_dir,
        environment: None,
    })
}

/// Takes `:app` off the end, if what follows the colon can be the name of a variable.
fn split(entrypoint: &str) -> (PathBuf, Option<String>) {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .chars()
                .all(|character| character == '_' || character.is_alphanumeric())
    };
    match entrypoint.rsplit_once(':') {
        Some((file, app)) if is_name(app) && !Path::new(entrypoint).exists() => {
            (file.into(), Some(app.to_owned()))
        }
        _ => (entrypoint.into(), None),
    }
}

fn existing_file(path: &Path) -> Result<PathBuf, Failed> {
    let usage = |text| Failed::new(Class::Usage, text);
    match path.metadata() {
        Ok(data) if data.is_file() => {}
        Ok(_) => {
            let text = format!("`{}` is a folder", path.display());
            return Err(usage(text).hint("name the agent's `.py` file in it"));
        }
        Err(error) => {
            let text = format!(
                "the entrypoint `{}` cannot be read: {error}",
                path.display()
            );
            return Err(usage(text).hint("name the agent's `.py` file"));
        }
    }
    if path.extension().is_none_or(|extension| extension != "py") {
        let text = format!("`{}` is not a Python file", path.display());
        return Err(usage(text).hint("name the agent's `.py` file"));
    }
    path.canonicalize()
        .map_err(|error| usage(format!("`{}`: {error}", path.display())))
}

fn existing_folder(path: &Path) -> Result<PathBuf, Failed> {
    let usage = |reason: String| {
        Failed::new(
            Class::Usage,
            format!("the source root `{}` {reason}", path.display()),
        )
    };
    let folder = path
        .canonicalize()
        .map_err(|error| usage(format!("cannot be read: {error}")))?;
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(usage("is not a folder".to_owned()))
    }
}

/// Flags before marks; a flag alone keeps the default of the other.
fn address(
    host: Option<String>,
    port: Option<u16>,
    listen: Option<&str>,
    docker_container: Option<&str>,
) -> Result<Address, Failed> {
    let marks = if host.is_some() || port.is_some() {
        None
    } else {
        listen
    };
    let from_marks = Address::from_marks(marks, docker_container).map_err(|error| {
        Failed::new(Class::Configuration, error.to_string())
            .hint("correct the variable `AGENTCORE_LISTEN`")
    })?;
    let Address::Tcp(default) = &from_marks else {
        return Ok(from_marks);
    };
    if host.is_none() && port.is_none() {
        return Ok(from_marks);
    }
    let (default_host, default_port) = default.rsplit_once(':').unwrap_or((default, "8080"));
    let host = match host {
        // An IPv6 address, as people type it.
        Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
        Some(host) => host,
        None => default_host.to_owned(),
    };
    let port = port.map_or_else(|| default_port.to_owned(), |port| port.to_string());
    format!("{host}:{port}")
        .parse()
        .map_err(|error: agentcore_runtime::InvalidAddress| {
            Failed::new(Class::Usage, error.to_string())
        })
}

/// Two futures: the first completes when the process is told to end (SIGTERM, or Ctrl-C in the terminal), the second
/// when a Ctrl-C follows that.
fn told_to_stop() -> Result<
    (
        impl Future<Output = ()> + Send,
        impl Future<Output = ()> + Send,
    ),
    Failed,
> {
    let mut first = Signals::listen()?;
    let mut second = Signals::listen()?;
    let stop = async move { first.any().await };
    let hurry = async move {
        second.any().await;
        second.interrupt.recv().await;
    };
    Ok((stop, hurry))
}

/// Hears both signals from the moment it is made.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failed> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failed::new(Class::Other, format!("signals cannot be received: {error}"))
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Marks {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this program that reads the environment"
    )]
    fn from_env() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let text = |name| env::var(name).ok();
        let cache = set("AGENTCORE_CACHE_DIR").map(PathBuf::from);
        let users = set("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| Path::new(&home).join(".cache")))
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("agentcore"));
        Self {
            listen: text("AGENTCORE_LISTEN"),
            docker_container: text("DOCKER_CONTAINER"),
            virtual_env: set("VIRTUAL_ENV").map(PathBuf::from),
            path: set("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
            cache: cache.or(users),
            log: LogSettings::from_variables(|name| Ok(text(name)))
                .unwrap_or_else(|never: Infallible| match never {}),
        }
    }
}

impl Failed {
    fn new(class: Class, error: impl Into<String>) -> Self {
        Self {
            class,
            error: error.into(),
            hint: None,
        }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl From<ServeError> for Failed {
    fn from(error: ServeError) -> Self {
        let text = error.to_string();
        match &error {
            ServeError::Bind(_) => {
                Self::new(Class::Other, text).hint("use another port with `--port`")
            }
            ServeError::SdkMissing(missing) => {
                Self::new(Class::Configuration, text).hint(missing.hint())
            }
            ServeError::Load { .. } | ServeError::Ended { .. } => Self::new(Class::Agent, text),
            _ => Self::new(Class::Other, text),
        }
    }
}
