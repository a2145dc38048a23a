//! Agents in fixture workers, and short ways to call them.

pub(crate) mod served;

use std::num::NonZeroUsize;
pub(crate) mod started;

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentcore_host::{WorkerAgent, WorkerCommand};
use agentcore_runtime::{Agent, Context, EventStream, Failure, Invocation, Outcome, StreamItem};
use futures_util::StreamExt;
use http::HeaderMap;
use serde_json::{Value, json};

/// A fixture worker behind the seam.
pub(crate) struct Fixture {
    pub(crate) agent: WorkerAgent,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The command of the fixture worker, in a mode of its own.
pub(crate) fn command(mode: &[&str]) -> WorkerCommand {
    let mut args = vec!["-u".into(), fixture("worker.py").into()];
    args.extend(mode.iter().map(Into::into));
    WorkerCommand {
        program: "python3".into(),
        args,
        environment: None,
    }
}

impl Fixture {
    pub(crate) fn start(mode: &[&str]) -> Self {
        Self {
            agent: WorkerAgent::start(command(mode), NonZeroUsize::MIN).unwrap(),
        }
    }

    pub(crate) async fn call(&self, body: Value) -> Outcome {
        self.call_raw(body.to_string()).await
    }

    pub(crate) async fn call_raw(&self, body: impl Into<bytes::Bytes>) -> Outcome {
        let context = Context::from_headers(HeaderMap::new());
        self.agent.invoke(Invocation::new(body, context)).await
    }

    /// Makes a call that answers with JSON.
    pub(crate) async fn ask(&self, body: Value) -> Value {
        match self.call(body).await {
            Outcome::Json(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Outcome::Failed(failure) => panic!("failed: {failure:?}"),
            _ => panic!("neither JSON nor a failure"),
        }
    }

    /// Makes a call that answers with a stream.
    pub(crate) async fn stream(&self, body: Value) -> EventStream {
        match self.call(body).await {
            Outcome::Events(events) => events,
            Outcome::Failed(failure) => panic!("failed: {failure:?}"),
            _ => panic!("not a stream"),
        }
    }

    /// Makes a call that fails.
    pub(crate) async fn fail(&self, body: Value) -> Failure {
        match self.call(body).await {
            Outcome::Failed(failure) => failure,
            _ => panic!("did not fail"),
        }
    }

    /// One of the worker's counters.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        self.ask(json!({"do": "state"})).await[name]
            .as_u64()
            .unwrap()
    }

    /// Waits until one of the worker's counters has a value.
    pub(crate) async fn wait_for(&self, name: &str, value: u64) {
        eventually(async || self.counter(name).await == value).await;
    }
}

/// Waits until something is so; fails after a time that is long for any machine.
pub(crate) async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let tried = tokio::time::timeout(Duration::from_secs(30), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    tried.await.expect("it never came to be so");
}

/// The next event of a stream, which has to be JSON.
pub(crate) async fn next(events: &mut EventStream) -> Value {
    match events.next().await {
        Some(Ok(StreamItem::Json(text))) => serde_json::from_slice(&text).unwrap(),
        Some(Ok(StreamItem::Event(event))) => panic!("an event of its own: {event:?}"),
        Some(Err(failure)) => panic!("failed: {failure:?}"),
        None => panic!("the stream has ended"),
    }
}

pub(crate) const BOTH: [&str; 2] = ["thread", "loop"];

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The folders that programs are really found in.
pub(crate) fn real_path() -> std::ffi::OsString {
    #[expect(
        clippy::disallowed_methods,
        reason = "the test needs a Python that is really there"
    )]
    std::env::var_os("PATH").unwrap()
}
