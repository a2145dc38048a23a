//! An agent made of a Rust function: from the function to a server around it.
//!
//! What a function may look like is in `handler.rs`, where it runs in `isolate.rs`, and what the server does with it in
//! `server.rs`; this file only puts them together.

use std::fmt;
use std::io;
use std::sync::Arc;

use axum::Router;

use crate::address::Listener;
use crate::agent::{Agent, AgentStatus, BoxFuture, Invocation, Outcome};
use crate::failure::Failure;
use crate::handler::{AnyHandler, Handler, StreamingHandler, Threads};
use crate::isolate::Isolate;
use crate::server::serve_agent;
use crate::{PingStatus, routes};

/// An agent made of a function.
///
/// The function runs on threads of its own, so that `/ping` answers whatever it does: an `async fn` on the workers of a
/// second tokio runtime, a plain `fn` on that runtime's blocking pool, where it may block. The body of a
/// request is read as the type of the function's payload; what does not fit answers 400.
///
/// A panic answers 500 and ends nothing else. A plain invocation runs to its end even if its caller hangs up; a stream is
/// cancelled at once.
#[must_use = "an app does nothing until it is served"]
pub struct App {
    handler: AnyHandler,
}

impl App {
    /// Creates an agent that answers each invocation with one JSON value.
    ///
    /// The handler is an `fn` or `async fn` of `(payload)` or `(payload, Context)`. The payload is a
    /// `serde_json::Value` or any `Deserialize` type. The result is any `Serialize` value, or a `Result` of one:
    /// its error answers 500 with the error's text, or, if it is a [`Failure`], whatever that says.
    ///
    /// ```
    /// use agentcore_runtime::{App, Context, Failure, StatusCode};
    /// use serde_json::{Value, json};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Order {
    ///     number: u32,
    /// }
    ///
    /// async fn look_up(order: Order, context: Context) -> Result<Value, Failure> {
    ///     if order.number == 0 {
    ///         return Err(Failure::new(StatusCode::NOT_FOUND, "no such order"));
    ///     }
    ///     Ok(json!({ "number": order.number, "request": context.request_id() }))
    /// }
    ///
    /// let app = App::new(look_up);
    /// # drop(app);
    /// ```
    pub fn new<M>(handler: impl Handler<M>) -> Self {
        let handler = Arc::new(handler);
        Self {
            handler: Arc::new(move |invocation, threads| {
                Arc::clone(&handler).answer(invocation, &Threads(threads)).0
            }),
        }
    }

    /// Creates an agent that answers each invocation with a stream of server-sent events.
    ///
    /// The handler takes what [`App::new`]'s takes and returns a `futures::Stream`, or a `Result` of one. Every item is sent
    /// as it comes: any `Serialize` value, a `Result` of one, or an [`sse::Event`](crate::sse::Event). An error
    /// becomes the stream's last event. The stream may run some 64 items ahead of a slow caller, and then waits.
    ///
    /// ```
    /// use agentcore_runtime::{App, Stream};
    /// use futures_util::{StreamExt, stream};
    /// use serde_json::{Value, json};
    ///
    /// async fn count(payload: Value) -> impl Stream<Item = Value> {
    ///     let last = payload["last"].as_u64().unwrap_or(3);
    ///     stream::iter(1..=last).map(|number| json!({ "count": number }))
    /// }
    ///
    /// let app = App::streaming(count);
    /// # drop(app);
    /// ```
    pub fn streaming<M>(handler: impl StreamingHandler<M>) -> Self {
        let handler = Arc::new(handler);
        Self {
            handler: Arc::new(move |invocation, threads| {
                Arc::clone(&handler).answer(invocation, &Threads(threads)).0
            }),
        }
    }

    /// Serves on `listener` until `shutdown` completes, then lets open requests finish, as [`serve_agent`] does.
    ///
    /// # Errors
    ///
    /// Fails if the agent's threads cannot be started, or as [`serve_agent`] does.
    pub async fn serve(
        self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let agent = FunctionAgent {
            handler: self.handler,
            threads: Ok(Isolate::start()?),
        };
        serve_agent(Arc::new(agent), listener.into(), shutdown).await
    }

    /// Returns the agent's routes, to add routes and layers to, or to call in a test.
    ///
    /// If the agent's threads cannot be started, each invocation answers 500 and says so.
    pub fn router(self) -> Router {
        routes::router(Arc::new(FunctionAgent {
            handler: self.handler,
            threads: Isolate::start().map_err(|error| error.to_string()),
        }))
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handler: _ } = self;
        f.debug_struct("App").finish_non_exhaustive()
    }
}

/// A function with the threads that it runs on.
struct FunctionAgent {
    handler: AnyHandler,
    threads: Result<Isolate, String>,
}

impl Agent for FunctionAgent {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome> {
        match &self.threads {
            Ok(threads) => (self.handler)(invocation, threads),
            Err(error) => {
                let text = format!("the agent's threads could not be started: {error}");
                Box::pin(std::future::ready(Outcome::Failed(Failure::internal(text))))
            }
        }
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Ready(PingStatus::Healthy)
    }

    fn shutdown(&self) -> BoxFuture<'static, ()> {
        match &self.threads {
            Ok(threads) => Box::pin(threads.finish()),
            Err(_) => Box::pin(std::future::ready(())),
        }
    }
}
