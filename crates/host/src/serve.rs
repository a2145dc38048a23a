//! Serving a Python agent: the choice of engine, the command that runs the file, and how it all ends.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentcore_runtime::{Address, Listener, ServerSettings, serve_agent};

use crate::LOGGER;
use crate::agent::WorkerAgent;
use crate::capacity::Capacity;
use crate::engine::{Decision, Engine, EngineChoice, SdkMissing, vendored_sdk};
use crate::interpreter::Interpreter;
use crate::sdk;
use crate::worker::WorkerCommand;

/// How long a worker may take to finish what it does beside invocations, once those have been drained.
const GRACE: Duration = Duration::from_secs(3);

/// A Python file that holds an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonAgent {
    /// The file, which is run as `__main__`.
    pub file: PathBuf,
    /// The name of the app in it, where there are several.
    pub app: Option<String>,
    /// The folder that is importable beside the file's own.
    pub source_root: PathBuf,
}

/// What to serve, with what, and where.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The agent.
    pub agent: PythonAgent,
    /// What runs it.
    pub interpreter: Interpreter,
    /// Which engine is wanted.
    pub engine: EngineChoice,
    /// Where to listen.
    pub address: Address,
    /// How much of it runs at once, and for how long.
    pub capacity: Capacity,
    /// The folder that [`unpack_python_package`](crate::unpack_python_package) returned.
    pub package_dir: PathBuf,
    /// All of the agent's environment; `None` is that of this process.
    pub environment: Option<Vec<(OsString, OsString)>>,
}

/// Why serving ended, other than by being told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on. The error says why in a sentence for people.
    #[error("{0}")]
    Bind(io::Error),
    /// The official SDK was asked for and is not installed.
    #[error(transparent)]
    SdkMissing(#[from] SdkMissing),
    /// The agent could not be loaded. Its traceback, if there is one, is on stderr.
    #[error("the agent could not be loaded: {reason}")]
    Load {
        /// The last line of the traceback, or how the process ended.
        reason: String,
    },
    /// The agent's process ended, and another one is not ours to start: the official SDK served it, or it had started this
    /// server.
    #[error("the agent's process ended: {cause}")]
    Ended {
        /// How it ended, as in `signal 9 (SIGKILL)`.
        cause: String,
    },
    /// The system refused what serving needs.
    #[error("{what}: {source}")]
    System {
        /// What could not be done.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Serves a Python agent until `shutdown` completes, then lets open invocations finish and ends the worker.
///
/// The address is bound at once. Until the agent has loaded, `/ping` answers 503 and invocations wait.
///
/// # Errors
///
/// Fails if the address is taken, the engine is not available, or the agent does not load: then those who wait have been
/// told the reason.
pub async fn serve(
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    serve_until(options, shutdown, std::future::pending()).await
}

/// Serves as [`serve`] does, and breaks off at once when `hurry` completes: nothing is waited for then, and nothing of
/// the agent is left. A second Ctrl-C means that.
///
/// # Errors
///
/// As [`serve`]. Breaking off is no error.
pub async fn serve_until(
    mut options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
    hurry: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    if let Some(version) = options.agent.vendored_sdk() {
        options.interpreter.official_sdk = Some(version);
    }
    let decision = options.engine.decide(&options.interpreter)?;
    tracing::info!(target: LOGGER, "{decision}");
    match decision.engine {
        Engine::Native => native(&options, &decision, shutdown, hurry).await,
        Engine::Sdk => {
            if options.capacity != Capacity::default() {
                tracing::warn!(
                    target: LOGGER,
                    "The official SDK has no workers, threads or timeouts to set: these are settings of the native engine"
                );
            }
            sdk::serve(&options, shutdown, hurry).await
        }
    }
}

async fn native(
    options: &ServeOptions,
    decision: &Decision,
    shutdown: impl Future<Output = ()> + Send,
    hurry: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let listener = options.address.bind().await.map_err(ServeError::Bind)?;
    let place = if decision.package_first {
        "--native-first"
    } else {
        "--native-last"
    };
    let mut command = options.command("agentcore_worker.py", Some(place));
    if let Some(threads) = options.capacity.threads {
        command
            .args
            .extend(["--max-threads".into(), threads.to_string().into()]);
    }
    let agent = WorkerAgent::start(command, options.capacity.workers).map_err(|source| {
        ServeError::System {
            what: "no private folder can be made",
            source,
        }
    })?;
    let served = Serving {
        agent: &agent,
        listener,
        settings: options.capacity.server(),
    };
    served.until(shutdown, hurry, does_not_load(&agent)).await
}

/// An agent in workers, and where it is served.
pub(crate) struct Serving<'a> {
    pub(crate) agent: &'a WorkerAgent,
    pub(crate) listener: Listener,
    pub(crate) settings: ServerSettings,
}

impl Serving<'_> {
    /// Serves until `shutdown` completes, or until there is nothing left to serve: `over` then says why.
    pub(crate) async fn until(
        self,
        shutdown: impl Future<Output = ()> + Send,
        hurry: impl Future<Output = ()> + Send,
        over: impl Future<Output = ServeError> + Send,
    ) -> Result<(), ServeError> {
        let Self {
            agent,
            listener,
            settings,
        } = self;
        let reason = OnceLock::new();
        let end = async {
            tokio::select! {
                () = shutdown => {}
                why = over => {
                    let _ = reason.set(why);
                }
            }
        };
        let in_order = async {
            let served = serve_agent(Arc::new(agent.clone()), listener, settings, end).await;
            agent.stop(GRACE).await;
            served
        };
        let served = tokio::select! {
            served = in_order => served,
            () = hurry => {
                agent.kill().await;
                Ok(())
            }
        };
        served.map_err(|source| ServeError::System {
            what: "the server failed",
            source,
        })?;
        reason.into_inner().map_or(Ok(()), Err)
    }
}

/// Returns if the agent does not load, and otherwise never.
async fn does_not_load(agent: &WorkerAgent) -> ServeError {
    match agent.loaded().await {
        Err(reason) => ServeError::Load { reason },
        Ok(()) => std::future::pending().await,
    }
}

impl PythonAgent {
    /// The official SDK that the agent brings along, which its imports find before an installed one.
    fn vendored_sdk(&self) -> Option<String> {
        let beside = self.file.parent().unwrap_or(&self.source_root);
        vendored_sdk(&[beside, &self.source_root])
    }
}

impl ServeOptions {
    /// The command that runs the agent with one of the package's scripts.
    pub(crate) fn command(&self, script: &str, flag: Option<&str>) -> WorkerCommand {
        let PythonAgent {
            file,
            app,
            source_root,
        } = &self.agent;
        // Unbuffered, so that what the agent prints appears when it is printed.
        let mut args: Vec<OsString> = vec!["-u".into(), self.package_dir.join(script).into()];
        args.extend(flag.map(OsString::from));
        args.push(file.into());
        if let Some(app) = app {
            args.extend(["--app".into(), app.into()]);
        }
        args.extend(["--source-root".into(), source_root.into()]);
        WorkerCommand {
            program: self.interpreter.executable.clone(),
            args,
            environment: self.environment.clone(),
        }
    }
}
