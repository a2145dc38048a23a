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
//! SIGTERM.
//!
//! # What a function may be
//!
//! An `fn` or `async fn` of `(payload)` or `(payload, Context)`. The payload is a [`serde_json::Value`] or any `Deserialize` type; one
//! that does not fit is answered 400 with the path of the bad field. There is a constructor for each kind of answer:
//!
//! | the function returns | constructor |
//! |---|---|
//! | a `Serialize` value | [`App::new`] |
//! | a stream of values or [`sse::Event`]s | [`App::streaming`] |
//! | an `http::Response` | [`App::http`] |
//! | a [`Reply`]: one of these, chosen at run time | [`App::replying`] |
//!
//! Each may be the `Ok` of a `Result`. An error answers 500 with its text; a [`Failure`], also one deep in a chain of causes, chooses its status.
//! State that all calls share is captured:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use agentcore_runtime::App;
//! use serde_json::Value;
//!
//! let calls = Arc::new(AtomicU64::new(0));
//! let app = App::new(move |_: Value| {
//!     let calls = Arc::clone(&calls);
//!     async move { calls.fetch_add(1, Ordering::Relaxed) }
//! });
//! # drop(app);
//! ```
//!
//! # Sessions
//!
//! The service gives each session a sandbox, so what a process remembers is usually one session's. State that must also be right where one process
//! serves several sessions belongs to [`Context::session`]: it is kept by type, survives from one invocation to the next, and ends with the session, 15 minutes after its last use.
//! [`App::session_limits`] sets the times, [`App::on_session_end`] is told.
//!
//! # Health and background tasks
//!
//! `GET /ping` says `Healthy`, or `HealthyBusy` while background tasks run, which keeps the platform from ending the sandbox. [`Context::tasks`] starts them:
//! [`Tasks::spawn_task`] for a future, [`Tasks::guard`] for anything that has a scope, [`Tasks::add_async_task`] for the rest. [`App::ping`]
//! takes a function that decides instead, and [`Health::force_ping_status`] overrules both.
//!
//! # WebSockets, layers, other routes
//!
//! [`App::websocket`] takes the function that handles a connection to `/ws`. [`App::layer`] puts any tower layer around the routes, [`App::routes`] adds axum
//! routes beside them, and [`App::router`] returns it all, to put into a larger program.
//!
//! # Limits
//!
//! What the service limits is limited here: 100 MB a body (413), 15 minutes an invocation (504), 60 minutes a stream; and what it leaves open: invocations at a time (503
//! with `Retry-After` beyond a bounded queue), callers who send slowly (408). [`App::limits`] sets the numbers. `/ping` is outside every limit.
//!
//! # The end
//!
//! On SIGTERM or Ctrl-C, or when the future given to [`App::serve`] completes, nothing is accepted any longer, background tasks are told ([`Tasks::stopping`]), and
//! open requests and tasks have 10 seconds ([`App::drain`]). Then a stream ends by an error event, a WebSocket by a close frame, a task where it waits, and
//! the log says what was cut. Sessions end last.
//!
//! # Logs
//!
//! One JSON object a line on stderr, in the reference SDK's schema, or a line for people where stderr is a terminal (`AGENTCORE_LOG=json` or `text` chooses).
//! Everything logged through `tracing` while an invocation is handled carries its request id, session id and trace ids; a task that is spawned by hand does with
//! `.in_current_span()`. Payloads, results and header values are never logged, and what `Debug` of a [`Context`] or a [`Secret`] shows may be logged.
//!
//! # Where the code runs
//!
//! The agent never runs on the threads that answer `/ping`: it has a tokio runtime of its own, so a function
//! that blocks delays neither the platform's health checks nor the server. An `async fn` that blocks does delay
//! other asynchronous work of the agent; a plain `fn` may block as it likes. An agent that never blocks can do without the second runtime: [`Threads::Shared`].
//!
//! # How it differs from the reference SDK
//!
//! Bodies are JSON in UTF-8. `NaN`, lone surrogates and UTF-16, which Python agents accept, answer 400, and so does nesting
//! deeper than 127 levels. Error answers may have an `error_type` and `details` beside `error`. There is no `server` header. A WebSocket closes with 1000 when its
//! function returns, and `/ws` answers 404 without one. A stream that fails with a chosen status before its first item is answered with that status.
//!
//! # Tests
//!
//! With the feature `test-util`, `TestAgent` calls an app without a socket.
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
mod undecided;
mod websocket;

pub use address::{Address, InvalidAddress, Listener};
pub use agent::{
    Agent, AgentStatus, Body, BoxFuture, EventStream, Invocation, Outcome, StreamItem, Wants,
};
pub use agentcore_protocol::baggage::{Baggage, ConfigBundleRef, RoutingExperiment};
pub use agentcore_protocol::trace::{SpanId, TraceContext, TraceId};
pub use agentcore_protocol::{PingStatus, ServiceSessionId, SessionId, sse};
pub use app::App;
pub use axum::Router;
pub use context::{Context, ForwardedHeaders, Secret};
pub use failure::Failure;
pub use futures_core::Stream;
pub use handler::{Handler, kind};
pub use health::{Health, PingHandler};
pub use http::StatusCode;
pub use isolate::{CallerLeaves, Threads};
pub use limits::{Hold, Limits};
pub use log::{LogFormat, LogSettings, UnknownLogFormat, log_to_stderr};
pub use reply::Reply;
pub use run::RunError;
pub use server::{router, serve_agent};
pub use sessions::{EndReason, Session, SessionLimits, Sessions};
pub use settings::ServerSettings;
pub use tasks::{RunningJob, TaskError, TaskGuard, TaskHandle, TaskId, TaskInfo, Tasks};
#[cfg(feature = "test-util")]
pub use test_util::{TestAgent, TestAnswer, TestStream};
pub use websocket::{CloseReason, Handshake, Message, WebSocket, WebSocketError, WebSocketHandler};
