//! Serve an AI agent, written as a Rust function, over the HTTP contract of Amazon Bedrock `AgentCore`:
//! `POST /invocations`, `GET /ping`, server-sent events, sessions, structured logs.
//!
//! ```no_run
//! use agentcore_runtime::{App, RunError};
//! use serde_json::{Value, json};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), RunError> {
//!     App::new(answer).run().await
//! }
//!
//! async fn answer(payload: Value) -> Value {
//!     json!({ "result": format!("You said: {}", payload["prompt"]) })
//! }
//! ```
//!
//! That is a complete agent: it listens on port 8080, reads and writes JSON, logs to stderr, and ends in an orderly way on
//! SIGTERM. [`App::new`] says what a function may take and return, [`App::streaming`] the same for streams of events,
//! and [`Failure`] how an error chooses its status.
//!
//! # Where the code runs
//!
//! The agent never runs on the threads that answer `/ping`: it has a tokio runtime of its own, so a function
//! that blocks delays neither the platform's health checks nor the server. An `async fn` that blocks does delay
//! other asynchronous work of the agent; a plain `fn` may block as it likes.
//!
//! # What it does not do
//!
//! Bodies are JSON in UTF-8. `NaN`, lone surrogates and UTF-16, which Python agents accept, answer 400, and so does nesting
//! of 128 levels and more; a body above 100 MB (100,000,000 bytes) answers 413.
//!
//! # For other languages
//!
//! The server does not know that the agent is a function. Whatever implements [`Agent`], such as a process that
//! runs an agent written in another language, gets the same server from [`serve_agent`].

#![forbid(unsafe_code)]

mod address;
mod agent;
mod app;
mod body;
mod context;
mod debug_actions;
mod failure;
mod function_agent;
mod handler;
mod health;
mod invocations;
mod isolate;
mod limits;
mod log;
mod middleware;
mod payload;
mod ping;
mod reply;
mod routes;
mod run;
mod server;
mod sessions;
mod settings;
mod tasks;
#[cfg(feature = "test-util")]
mod test_util;
mod websocket;

pub use address::{Address, InvalidAddress, Listener};
pub use agent::{
    Agent, AgentStatus, Body, BoxFuture, EventStream, Invocation, Outcome, StreamItem,
};
pub use agentcore_protocol::{PingStatus, ServiceSessionId, SessionId, sse};
pub use app::App;
pub use axum::Router;
pub use context::Context;
pub use failure::Failure;
pub use futures_core::Stream;
pub use handler::{Handler, kind};
pub use health::Health;
pub use http::StatusCode;
pub use isolate::{CallerLeaves, Threads};
pub use limits::Limits;
pub use log::log_to_stderr;
pub use reply::Reply;
pub use run::RunError;
pub use server::{router, serve_agent};
pub use sessions::{Session, SessionLimits, Sessions};
pub use settings::ServerSettings;
pub use tasks::Tasks;
#[cfg(feature = "test-util")]
pub use test_util::{TestAgent, TestAnswer, TestStream};
pub use websocket::Handshake;
