//! Runs an agent that is written in another language behind `agentcore-runtime`.
//!
//! The agent's code lives in a worker process, which speaks the worker protocol over Unix-domain connections; the HTTP
//! server is this process, so that `/ping` answers whatever the agent does, and a worker that dies is one clear error
//! instead of a dead server. For Python the crate finds the interpreter, chooses the engine, and carries the
//! `bedrock_agentcore` package that the worker imports. Where the official SDK is installed, its own server is run and
//! supervised instead.
//!
//! Nothing here knows TLS, AWS, Docker or a project file.

mod agent;
mod attach;
mod capacity;
mod engine;
mod fleet;
#[cfg(fuzzing)]
pub mod fuzzing;
mod interpreter;
mod package;
mod probe;
mod sdk;
mod serve;
mod stderr_tail;
mod wire;
mod worker;

pub use agent::WorkerAgent;
pub use attach::{AttachOptions, attach};
pub use capacity::{Capacity, seconds};
pub use engine::{Decision, Engine, EngineChoice, SdkMissing, UnknownEngine};
pub use interpreter::{FoundBy, Interpreter, InterpreterError, OLDEST, Search};
pub use package::unpack_python_package;
pub use serve::{PythonAgent, ServeError, ServeOptions, serve, serve_until};
pub use worker::WorkerCommand;

/// The name under which this crate logs.
const LOGGER: &str = "agentcore.host";
