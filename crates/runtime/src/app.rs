//! An agent made of a Rust function: from the function to a server around it.
//!
//! What a function may look like is in `handler.rs`, where it runs in `isolate.rs`, and what the server does with it in
//! `server.rs`; this file only puts them together. Settings that belong to one part of an app are set where that part is.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use crate::address::Listener;
use crate::function_agent::{FunctionAgent, Parts};
use crate::handler::{AnyHandler, Handler, Runner, kind};
use crate::health::Health;
use crate::isolate::{CallerLeaves, Isolate, Threads};
use crate::limits::Limits;
use crate::middleware::Edits;
use crate::server;
use crate::sessions::{SessionLimits, Sessions};
use crate::settings::ServerSettings;
use crate::tasks::Tasks;
use crate::websocket::WebSockets;

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
    pub(crate) websocket: WebSockets,
    pub(crate) edits: Edits,
    parts: Parts,
    settings: ServerSettings,
    threads: Threads,
    caller_leaves: CallerLeaves,
    debug: bool,
}

impl App {
    /// Creates an agent that answers each invocation with one JSON value.
    ///
    /// The handler is an `fn` or `async fn` of `(payload)` or `(payload, Context)`. The payload is a
    /// `serde_json::Value` or any `Deserialize` type that borrows nothing. The result is any `Serialize` value, or a `Result` of
    /// one: its error answers 500 with the error's text, or, if it is a [`Failure`](crate::Failure), whatever that says. An error may be any
    /// `std::error::Error`, a boxed one (`Box<dyn Error + Send + Sync>`, `anyhow::Error`), or a text.
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
    ///
    /// An error type that implements `Serialize` beside `Error` could be meant as a value or as an error, and rustc asks for
    /// "type annotations": return it boxed (`Box<dyn Error + Send + Sync>`), or as a [`Failure`](crate::Failure).
    ///
    /// # State
    ///
    /// What all invocations share, such as a client of a model, a closure takes along in an [`Arc`], and gives each call a clone
    /// of its own. A method becomes a handler the same way.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use agentcore_runtime::App;
    /// use serde_json::{Value, json};
    ///
    /// struct Counter {
    ///     calls: AtomicU64,
    /// }
    ///
    /// impl Counter {
    ///     async fn count(&self, payload: Value) -> Value {
    ///         let calls = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
    ///         json!({ "calls": calls, "payload": payload })
    ///     }
    /// }
    ///
    /// let counter = Arc::new(Counter { calls: AtomicU64::new(0) });
    /// let app = App::new(move |payload: Value| {
    ///     let counter = Arc::clone(&counter);
    ///     async move { counter.count(payload).await }
    /// });
    /// # drop(app);
    /// ```
    ///
    /// # Payloads
    ///
    /// JSON that is not what the payload's type takes answers 400 and names the part: `orders[2].quantity: invalid type: string
    /// "x", expected u32 at line 1 column 44`. So the caller reads a value of its own there; the log does not.
    ///
    /// - Of keys that are there twice a `Value` has the last; a struct that has the field refuses them.
    /// - An integer that neither `u64` nor `i64` holds is a float in a `Value`. A field of type `u128`, `i128` or
    ///   `Box<RawValue>` (feature `raw_value` of `serde_json`) has it exactly.
    /// - Fields that the type does not have are ignored, unless it says `#[serde(deny_unknown_fields)]`.
    /// - A payload cannot borrow, as `&str` does, because it goes to another thread: take a `String`, which is a JSON string and
    ///   not the raw body. `Box<RawValue>` is the body's JSON text, unread.
    pub fn new<M>(handler: impl Handler<kind::Values, M>) -> Self {
        Self::around(handler)
    }

    /// Creates an agent that answers each invocation with a stream of server-sent events.
    ///
    /// The handler takes what [`App::new`]'s takes and returns a `futures::Stream`, or a `Result` of one. Every item is sent
    /// as it comes: any `Serialize` value, an [`sse::Event`](crate::sse::Event), or a `Result` of either. An error
    /// becomes the stream's last event; only a [`Failure`](crate::Failure) that is its first item chooses the status of the
    /// answer, which therefore begins with the first item, and after a second at the latest. The stream may run some 64
    /// items ahead of a slow caller, and then waits.
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
    ///
    /// With a name, an id or a time to reconnect after:
    ///
    /// ```
    /// use std::time::Duration;
    /// use agentcore_runtime::{App, Stream, sse::Event};
    /// use futures_util::{StreamExt, stream};
    /// use serde_json::{Value, json};
    ///
    /// async fn tokens(_: Value) -> impl Stream<Item = serde_json::Result<Event>> {
    ///     stream::iter(["Hel", "lo"]).enumerate().map(|(number, text)| {
    ///         let event = Event::json(&json!({ "text": text }))?;
    ///         Ok(event.event("token").id(number.to_string()).retry(Duration::from_secs(2)))
    ///     })
    /// }
    ///
    /// let app = App::streaming(tokens);
    /// # drop(app);
    /// ```
    pub fn streaming<M>(handler: impl Handler<kind::Events, M>) -> Self {
        Self::around(handler)
    }

    /// Creates an agent that answers each invocation with an HTTP response of its own.
    ///
    /// The handler takes what [`App::new`]'s takes and returns an `http::Response`, or a `Result` of one. Status, headers and body
    /// are sent as they are, and nothing is added, not even a content type. The body is a `String`, `&'static str`,
    /// `Vec<u8>`, `bytes::Bytes`, an `axum::body::Body`, or any other `http_body::Body` of bytes.
    ///
    /// A body that takes time is polled on the agent's threads, some 64 frames ahead of a slow caller, and dropped the moment the
    /// caller goes away. An error in it goes to the log and cuts the answer off. Until it has returned its response, a handler is
    /// a plain invocation ([`App::when_caller_leaves`]).
    ///
    /// ```
    /// use agentcore_runtime::{App, StatusCode};
    /// use http::Response;
    /// use serde_json::Value;
    ///
    /// async fn page(payload: Value) -> http::Result<Response<String>> {
    ///     Response::builder()
    ///         .status(StatusCode::CREATED)
    ///         .header("content-type", "text/markdown")
    ///         .body(format!("# {}", payload["title"].as_str().unwrap_or("Untitled")))
    /// }
    ///
    /// let app = App::http(page);
    /// # drop(app);
    /// ```
    pub fn http<M>(handler: impl Handler<kind::Responses, M>) -> Self {
        Self::around(handler)
    }

    /// Creates an agent that chooses for each invocation how to answer it: the handler returns a [`Reply`](crate::Reply), or a
    /// `Result` of one. Until then it is a plain invocation ([`App::when_caller_leaves`]).
    ///
    /// ```
    /// use agentcore_runtime::{App, Context, Failure, Reply, StatusCode};
    /// use futures_util::stream;
    /// use serde_json::{Value, json};
    ///
    /// async fn answer(payload: Value, context: Context) -> Result<Reply, Failure> {
    ///     let Some(prompt) = payload["prompt"].as_str() else {
    ///         return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "no prompt"));
    ///     };
    ///     let words: Vec<String> = prompt.split(' ').map(str::to_owned).collect();
    ///     let wants_events = context.headers().get("accept").is_some_and(|it| it == "text/event-stream");
    ///     Ok(match wants_events {
    ///         true => Reply::events(stream::iter(words)),
    ///         false => Reply::json(json!({ "words": words })),
    ///     })
    /// }
    ///
    /// let app = App::replying(answer);
    /// # drop(app);
    /// ```
    pub fn replying<M>(handler: impl Handler<kind::Replies, M>) -> Self {
        Self::around(handler)
    }

    /// Creates an app around a handler of any kind.
    fn around<K, M>(handler: impl Handler<K, M>) -> Self {
        let handler = Arc::new(handler);
        Self::of(Arc::new(move |invocation, threads| {
            Arc::clone(&handler).answer(invocation, Runner(threads)).0
        }))
    }

    /// Creates an app around a handler whose type is forgotten.
    pub(crate) fn of(handler: AnyHandler) -> Self {
        Self {
            handler,
            websocket: WebSockets::default(),
            edits: Edits::default(),
            parts: Parts::new(),
            settings: ServerSettings::default(),
            threads: Threads::default(),
            caller_leaves: CallerLeaves::default(),
            debug: false,
        }
    }

    /// Answers the debug actions of the contract: a payload that is an object with a key `_agent_core_app_action` reads or forces the
    /// ping status, or lists the background tasks. Off by default, and never to be on where strangers call.
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = debug;
        self
    }

    /// Sets how much the server does at a time, and for how long.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings = self.settings.limits(limits);
        self
    }

    /// Sets how long sessions live and how many there may be.
    pub fn session_limits(self, limits: SessionLimits) -> Self {
        self.parts.sessions.set_limits(limits);
        self
    }

    /// Sets how long open requests and background tasks may take to finish at the end, as [`ServerSettings::drain`] says.
    pub fn drain(mut self, grace: Duration) -> Self {
        self.settings = self.settings.drain(grace);
        self
    }

    /// Sends a comment in streams that were silent for so long, as [`ServerSettings::keep_alive`] says.
    pub fn keep_alive(mut self, silence: Duration) -> Self {
        self.settings = self.settings.keep_alive(silence);
        self
    }

    /// Reports `HealthyBusy` while something is being answered, as [`ServerSettings::busy_while_invoking`] says.
    pub fn busy_while_invoking(mut self, busy: bool) -> Self {
        self.settings = self.settings.busy_while_invoking(busy);
        self
    }

    /// Sets where the functions run.
    pub fn threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Sets what becomes of a plain invocation whose caller hangs up.
    pub fn when_caller_leaves(mut self, caller_leaves: CallerLeaves) -> Self {
        self.caller_leaves = caller_leaves;
        self
    }

    /// Returns the app's background tasks, for code that has no [`Context`](crate::Context).
    pub fn tasks(&self) -> &Tasks {
        &self.parts.tasks
    }

    /// Returns the app's status, to read and to force.
    pub fn health(&self) -> &Health {
        &self.parts.health
    }

    /// Returns the app's sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.parts.sessions
    }

    /// Serves on `listener` until `shutdown` completes, then lets open requests and background tasks finish, as
    /// [`serve_agent`](crate::serve_agent) does.
    ///
    /// # Errors
    ///
    /// Fails if the agent's threads cannot be started, or as [`serve_agent`](crate::serve_agent) does.
    pub async fn serve(
        self,
        listener: impl Into<Listener>,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let threads = Isolate::start(self.threads, self.caller_leaves)?;
        let (agent, settings, edits) = self.into_agent(Ok(threads));
        server::serve(agent, edits, listener.into(), settings, shutdown).await
    }

    /// Returns the agent's routes with the app's own routes and layers, to call in a test or to put into a larger router.
    ///
    /// If the agent's threads cannot be started, each invocation answers 500 and says so. Has to be called within a tokio
    /// runtime.
    pub fn router(self) -> Router {
        let threads = Isolate::start(self.threads, self.caller_leaves);
        let (agent, settings, edits) = self.into_agent(threads.map_err(|error| error.to_string()));
        server::edited_router(agent, settings, edits)
    }

    fn into_agent(
        self,
        threads: Result<Isolate, String>,
    ) -> (Arc<FunctionAgent>, ServerSettings, Edits) {
        if let Ok(threads) = &threads {
            let handle = threads.handle();
            self.parts.tasks.start(&handle);
            self.parts.sessions.start(&handle);
        }
        self.parts.health.start();
        let agent = FunctionAgent {
            handler: self.handler,
            websocket: self.websocket,
            threads,
            parts: self.parts,
            debug: self.debug,
        };
        (Arc::new(agent), self.settings, self.edits)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
