//! The agent of the wire contract, in Rust: it does what its payload says, as `agent.py` does.
//!
//! Each name is one app. What only Python has (its values, its kinds of function) is not here, and the tables say so.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use agentcore_runtime::{App, Context, Failure, PingStatus, Reply, StatusCode, Stream, sse};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::agent_health::Health;
use super::responses::response;

/// Begins to serve the app of that name.
pub(super) fn serve(
    app: &str,
    listener: TcpListener,
) -> Result<impl Future<Output = ()> + Send + use<>, String> {
    let state = Arc::new(State::default());
    let app = match app {
        "value" => value_app(state),
        "debug" => value_app(state).debug(true),
        "ping" => {
            let health = Arc::clone(&state);
            value_app(state).ping(move || health.health.ping())
        }
        "async_ping" => value_app(state).ping(async || PingStatus::HealthyBusy),
        "async" => App::new(move |payload: Value, context: Context| {
            let state = Arc::clone(&state);
            async move {
                tokio::task::yield_now().await;
                act(&state, &payload, &context)
            }
        }),
        "typed" => App::new(|order: Order| order.number),
        "own_events" => App::streaming(own_events),
        "opening" => App::streaming(opening),
        "one" => App::new(|payload: Value| json!({ "one": payload })),
        "stream" | "async_stream" => App::streaming(move |payload: Value, context: Context| {
            let state = Arc::clone(&state);
            async move { events(&state, &payload, &context) }
        }),
        "choosing" => App::replying(move |payload: Value, context: Context| {
            choose(&state, &payload, &context)
        }),
        "choosing_async" => App::replying(move |payload: Value, context: Context| {
            let state = Arc::clone(&state);
            async move { choose(&state, &payload, &context) }
        }),
        other => return Err(format!("there is no Rust agent `{other}`")),
    };
    Ok(async {
        // Served until the test ends it; anything else is a failure that the rows then show.
        app.serve(listener, std::future::pending()).await.unwrap();
    })
}

fn value_app(state: Arc<State>) -> App {
    App::new(move |payload: Value, context: Context| act(&state, &payload, &context))
}

/// What the invocations of one app share.
#[derive(Default)]
struct State {
    open: Mutex<HashSet<String>>,
    opened: Condvar,
    notes: Mutex<BTreeMap<String, Vec<&'static str>>>,
    health: Health,
}

impl State {
    fn open(&self, gate: &str) {
        self.open.lock().unwrap().insert(gate.to_owned());
        self.opened.notify_all();
    }

    fn is_open(&self, gate: &str) -> bool {
        self.open.lock().unwrap().contains(gate)
    }

    fn wait(&self, gate: &str) {
        let open = self.open.lock().unwrap();
        let opened = self.opened.wait_while(open, |open| !open.contains(gate));
        drop(opened.unwrap());
    }

    fn note(&self, of: &str, note: &'static str) {
        let mut notes = self.notes.lock().unwrap();
        notes.entry(of.to_owned()).or_default().push(note);
    }

    fn notes(&self, of: &str) -> Vec<&'static str> {
        let notes = self.notes.lock().unwrap();
        notes.get(of).cloned().unwrap_or_default()
    }
}

/// An answer, in types that JSON's own values do not have.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Json(Value),
    Float(f64),
    FloatInside { x: f64 },
    Huge(u128),
    Pair(Value, u16),
    Record { a: u32, b: &'static str },
    Keys(BTreeMap<u32, &'static str>),
    Set(HashSet<u32>),
}

/// A payload with a type of its own.
#[derive(Deserialize)]
struct Order {
    number: u32,
}

async fn own_events(_: Value) -> impl Stream<Item = sse::Event> {
    stream::iter([
        sse::Event {
            event: Some("tick".into()),
            id: Some("7".into()),
            retry: Some(1500),
            data: "two\nlines".into(),
        },
        sse::Event {
            data: "{}".into(),
            ..sse::Event::default()
        },
    ])
}

/// Streams only what is not null.
async fn opening(payload: Value) -> Result<impl Stream<Item = Value>, Failure> {
    match payload {
        Value::Null => Err(Failure::new(StatusCode::NOT_FOUND, "nothing to stream")),
        payload => Ok(stream::iter([payload])),
    }
}

/// Does what the payload says; a payload that says nothing comes back as it is.
fn act(state: &State, payload: &Value, context: &Context) -> Result<Answer, Failure> {
    let word = |name: &str| payload[name].as_str().unwrap_or_default();
    let answer = match word("do") {
        "" => payload.clone(),
        "value" => return value(word("name")),
        "raise" => return Err(failure(payload)),
        "told" => told(context),
        "session" => {
            let session = context.session_id().map(ToString::to_string);
            json!([session, session])
        }
        "request_id" => json!(context.request_id()),
        "headers" => headers(context),
        "query" => json!(context.uri().query().unwrap_or_default()),
        "open" => {
            state.open(word("gate"));
            json!("opened")
        }
        "wait" => {
            state.note(word("gate"), "waits");
            state.wait(word("gate"));
            state.note(word("gate"), "waited");
            json!("waited")
        }
        "notes" => json!(state.notes(word("of"))),
        other => {
            let done = state.health.act(payload, context);
            let unknown = || Failure::internal(format!("nothing is known of `{other}`"));
            done.ok_or_else(unknown)?
        }
    };
    Ok(Answer::Json(answer))
}

fn value(name: &str) -> Result<Answer, Failure> {
    Ok(match name {
        "none" => Answer::Json(Value::Null),
        "nan" => Answer::Float(f64::NAN),
        "infinity" => Answer::Float(f64::INFINITY),
        "minus_infinity" => Answer::Float(f64::NEG_INFINITY),
        "nan_inside" => Answer::FloatInside { x: f64::NAN },
        "huge" => Answer::Huge(u128::MAX),
        "tuple" => Answer::Pair(json!({ "error": "Unauthorized" }), 401),
        "dataclass" => Answer::Record { a: 1, b: "x" },
        "keys" => Answer::Keys([(2, "a"), (10, "b")].into()),
        "set" => Answer::Set([1].into()),
        "depth_120" => Answer::Json((0..120).fold(json!("bottom"), |value, _| json!([value]))),
        other => return Err(Failure::internal(format!("there is no value `{other}`"))),
    })
}

/// The error that the payload describes; one with a status stands for an `HTTPException`.
fn failure(wanted: &Value) -> Failure {
    let kind = wanted["type"].as_str().unwrap_or_default();
    assert!(kind != "Panic", "out of order");
    let Some(status) = wanted["status"].as_u64() else {
        let text = wanted["args"][0].as_str().unwrap_or_default();
        return Failure::internal(text).with_type(kind);
    };
    let status = u16::try_from(status)
        .ok()
        .and_then(|it| StatusCode::from_u16(it).ok());
    let status = status.unwrap_or(StatusCode::IM_A_TEAPOT);
    match &wanted["detail"] {
        Value::Null => Failure::new(status, status.canonical_reason().unwrap_or_default()),
        detail => Failure::new(status, detail.clone()),
    }
}

fn told(context: &Context) -> Value {
    json!({
        "session": context.session_id().map(ToString::to_string),
        "request": context.request_id(),
        "headers": headers(context),
        "token": context.workload_access_token().map(|it| it.expose().to_owned()),
        "callback": context.oauth2_callback_url().map(|it| it.expose().to_owned()),
    })
}

/// As the Python agent sees them: none at all is `null`.
fn headers(context: &Context) -> Value {
    let headers: BTreeMap<String, String> = context.forwarded_headers().into_iter().collect();
    if headers.is_empty() {
        Value::Null
    } else {
        json!(headers)
    }
}

/// The events that the payload describes: its items, those that wait for a gate, endless ones, and an error in the end.
fn events(
    state: &Arc<State>,
    payload: &Value,
    context: &Context,
) -> impl Stream<Item = Result<Value, Failure>> + Send + 'static + use<> {
    let is_action = payload["do"].is_string() && !is_stream(payload);
    let items = match (is_action, payload["items"].as_array()) {
        (true, _) => vec![done(state, payload, context)],
        (false, Some(items)) => items.iter().cloned().map(Ok).collect(),
        (false, None) if payload.is_object() => Vec::new(),
        (false, None) => vec![Ok(payload.clone())],
    };
    // An action that names a gate opens it, and does not wait.
    let gate = payload["gate"].as_str().filter(|_| !is_action);
    let gate = gate.map(str::to_owned);
    let endless = payload["endless"] == true;
    let error = payload.get("raise").map(failure);
    let mut ending = Ending {
        state: Arc::clone(state),
        name: payload["name"].as_str().map(str::to_owned),
        how: "closed",
    };
    let gated = stream::iter(gate).then({
        let state = Arc::clone(state);
        move |gate| {
            let state = Arc::clone(&state);
            async move {
                while !state.is_open(&gate) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(json!("opened"))
            }
        }
    });
    let ticks = stream::repeat(()).take(if endless { usize::MAX } else { 0 });
    let ticks = ticks.then(|()| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(json!("."))
    });
    let end = stream::iter(error.map(Err)).chain(stream::poll_fn(move |_| {
        ending.reached();
        std::task::Poll::Ready(None)
    }));
    stream::iter(items).chain(gated).chain(ticks).chain(end)
}

/// Answers by a value, by events, or by a response, as the payload says.
fn choose(state: &Arc<State>, payload: &Value, context: &Context) -> Result<Reply, Failure> {
    if payload["do"] == "respond" {
        return Ok(response(payload["name"].as_str().unwrap_or_default()));
    }
    if is_stream(payload) {
        return Ok(Reply::events(events(state, payload, context)));
    }
    act(state, payload, context).map(Reply::json)
}

/// Whether the payload asks an agent that can answer in several ways for a stream.
fn is_stream(payload: &Value) -> bool {
    matches!(payload["do"].as_str(), Some("stream" | "async_stream"))
}

fn done(state: &State, payload: &Value, context: &Context) -> Result<Value, Failure> {
    let answer = act(state, payload, context)?;
    serde_json::to_value(answer).map_err(|error| Failure::internal(error.to_string()))
}

/// Notes how a stream with a name ended: to its end, or before it.
struct Ending {
    state: Arc<State>,
    name: Option<String>,
    how: &'static str,
}

impl Ending {
    fn reached(&mut self) {
        self.how = "ended";
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.state.note(name, self.how);
        }
    }
}
