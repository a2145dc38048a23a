//! Sends any bytes as the body of an invocation, through the routes of an app: a body is JSON and answered, or it is not
//! and refused, and no body panics.
//!
//! The input's first byte chooses the app, what follows is the body.

#![no_main]

use std::cell::LazyCell;

use agentcore_runtime::{App, Body, Router, Threads};
use futures_util::stream;
use http::Request;
use http_body_util::BodyExt;
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// A payload with fields of every kind.
#[derive(Deserialize, Serialize)]
struct Order {
    number: u32,
    name: Option<String>,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Deserialize, Serialize)]
struct Line {
    price: f64,
    kind: Kind,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Goods,
    Service { hours: u8 },
}

/// One thread, no socket: what an input does is the same every time.
struct Agents {
    runtime: Runtime,
    any: Router,
    typed: Router,
    streaming: Router,
}

impl Agents {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime without threads");
        let entered = runtime.enter();
        let router = |app: App| app.threads(Threads::Shared).router();
        let any = router(App::new(async |payload: Value| payload));
        let typed = router(App::new(async |order: Order| order));
        let streaming = router(App::streaming(async |payload: Value| {
            stream::iter([payload])
        }));
        drop(entered);
        Self {
            runtime,
            any,
            typed,
            streaming,
        }
    }

    fn invoke(&self, router: &Router, body: &[u8]) -> (u16, Vec<u8>) {
        let request = Request::post("/invocations").body(Body::from(body.to_vec()));
        let request = request.expect("a request");
        self.runtime.block_on(async {
            let Ok(answer) = router.clone().oneshot(request).await;
            let status = answer.status().as_u16();
            let body = answer
                .into_body()
                .collect()
                .await
                .expect("a body in memory");
            (status, body.to_bytes().to_vec())
        })
    }
}

thread_local! {
    static AGENTS: LazyCell<Agents> = LazyCell::new(Agents::new);
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, body)) = input.split_first() else {
        return;
    };
    AGENTS.with(|agents| match choice % 3 {
        0 => {
            let (status, answer) = agents.invoke(&agents.any, body);
            check(status, &answer, body);
        }
        1 => {
            let (status, answer) = agents.invoke(&agents.typed, body);
            let order = serde_json::from_slice::<Order>(without_mark(body));
            match status {
                200 => {
                    let answered: Order = serde_json::from_slice(&answer).expect("an order");
                    let sent = order.expect("what was answered was read");
                    assert_eq!(
                        serde_json::to_value(answered).expect("an order"),
                        serde_json::to_value(sent).expect("an order")
                    );
                }
                status => refused(status, &answer),
            }
        }
        _ => {
            let (status, events) = agents.invoke(&agents.streaming, body);
            let answer = match status {
                200 => events
                    .strip_prefix(b"data: ")
                    .and_then(|rest| rest.strip_suffix(b"\n\n"))
                    .expect("one event"),
                _ => &events,
            };
            check(status, answer, body);
        }
    });
});

/// Checks the answer of an agent that returns what it gets.
fn check(status: u16, answer: &[u8], body: &[u8]) {
    if status == 200 {
        let answered: Value = serde_json::from_slice(answer).expect("an answer is JSON");
        let sent = serde_json::from_slice::<Value>(without_mark(body));
        let sent = sent.expect("what was answered was read");
        assert_eq!(answered, sent);
    } else {
        refused(status, answer);
        let sent = serde_json::from_slice::<Value>(without_mark(body));
        assert!(sent.is_err(), "JSON is read");
    }
}

fn refused(status: u16, answer: &[u8]) {
    assert_eq!(status, 400);
    let error: Value = serde_json::from_slice(answer).expect("an error is JSON");
    assert!(
        error["error"].is_string() && error["details"].is_string(),
        "{error}"
    );
}

/// A byte order mark is allowed, and no part of the JSON.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}
