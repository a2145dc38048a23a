//! The agent of the soak: does what the payload says, names its session and request in every answer, and reports what is open.
//!
//! Besides its own sessions and tasks it counts handlers, streams and WebSockets by guards of its own, so that one that the
//! runtime forgets to drop is seen. A second app under `/plain` has an `fn` as its handler.

mod open;
mod payload;
mod state;

use std::error::Error;
use std::time::Duration;

use agentcore_runtime::{
    App, Context, Failure, Reply, Router, RunError, SessionId, SessionLimits, StatusCode, WebSocket,
};
use axum::routing::get;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};

use open::{HANDLERS, Open, SOCKETS, STREAMS};
use payload::{End, Payload, Work};

/// Short, so that sessions end all the time while new ones come.
const IDLE: Duration = Duration::from_millis(500);

/// Few enough for sessions to be evicted now and then.
const MAX_SESSIONS: usize = 1000;

/// How long open requests have once the agent is told to end. The soak knows it too.
const DRAIN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), RunError> {
    let limits = SessionLimits::default()
        .idle_timeout(IDLE)
        .max_open(MAX_SESSIONS);
    let app = App::replying(answer)
        .websocket(echo)
        .session_limits(limits.clone())
        .drain(DRAIN);
    let plain = App::new(plain).session_limits(limits);
    let apps = [&app, &plain].map(|app| (app.sessions().clone(), app.tasks().clone()));
    let report = async move || {
        let sessions: usize = apps.iter().map(|(sessions, _)| sessions.len()).sum();
        let tasks: usize = apps
            .iter()
            .map(|(_, tasks)| tasks.info().active_count)
            .sum();
        let report = json!({
            "sessions": sessions,
            "tasks": tasks,
            "handlers": HANDLERS.count(),
            "streams": STREAMS.count(),
            "sockets": SOCKETS.count(),
        });
        report.to_string()
    };
    let routes = Router::new()
        .route("/soak/report", get(report))
        .nest("/plain", plain.router());
    app.routes(routes).run().await
}

/// What every answer says, so that nobody can get another's unnoticed.
fn about(payload: &Payload, context: &Context) -> Value {
    json!({
        "nonce": payload.nonce,
        "request": context.request_id(),
        "session": context.session_id().map(SessionId::as_str),
    })
}

/// The handler that blocks its thread.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a handler owns what it is given"
)]
fn plain(payload: Payload, context: Context) -> Value {
    let _running = Open::one_of(&HANDLERS);
    std::thread::sleep(Duration::from_micros(payload.micros));
    about(&payload, &context)
}

async fn answer(payload: Payload, context: Context) -> Result<Reply, Failure> {
    let _running = Open::one_of(&HANDLERS);
    let pause = Duration::from_micros(payload.micros);
    let mut about = about(&payload, &context);
    match payload.work {
        Work::Value => {
            tokio::time::sleep(pause).await;
            Ok(Reply::json(about))
        }
        Work::Echo { text } => {
            about["text"] = text.into();
            Ok(Reply::json(about))
        }
        Work::Remember => {
            let session = context
                .session()
                .ok_or_else(|| Failure::new(StatusCode::BAD_REQUEST, "there is no session"))?;
            let remembered = session.get_or_init(|| state::State::new(session.id()));
            // Others of the session may come between.
            tokio::time::sleep(pause).await;
            about["state"] = remembered.visit();
            Ok(Reply::json(about))
        }
        Work::Task { fails } => {
            let guard = context.tasks().guard("guarded");
            context.tasks().spawn_task("spawned", async move {
                let _guard = guard;
                tokio::time::sleep(pause).await;
                assert!(!fails, "a task of the soak panics");
            });
            Ok(Reply::json(about))
        }
        Work::Stream { events, end } => Ok(Reply::events(items(about, pause, events, end))),
        Work::Fail => {
            tokio::time::sleep(pause).await;
            Err(Failure::new(StatusCode::CONFLICT, about).with_type("Soak"))
        }
        Work::Panic => {
            tokio::time::sleep(pause).await;
            panic!("{about}");
        }
    }
}

/// Numbered events with a pause between them, and then what the payload says.
fn items(
    about: Value,
    pause: Duration,
    events: u64,
    end: End,
) -> impl Stream<Item = Result<Value, Failure>> {
    let open = Open::one_of(&STREAMS);
    let last = about.clone();
    let numbered = stream::iter(0..events).then(move |number| {
        let mut event = about.clone();
        async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            event["number"] = number.into();
            Ok(event)
        }
    });
    let ending = stream::once(async move {
        let _open = open;
        match end {
            End::Whole => None,
            End::Fails => Some(Err(Failure::internal(last).with_type("Soak"))),
            End::Panics => panic!("{last}"),
            End::Silent => std::future::pending().await,
        }
    });
    numbered.chain(ending.filter_map(std::future::ready))
}

/// Sends back what comes, after one message that says where it arrived.
async fn echo(mut socket: WebSocket, context: Context) -> Result<(), Box<dyn Error + Send + Sync>> {
    let _open = Open::one_of(&SOCKETS);
    let session = context.session_id().map(SessionId::as_str);
    socket.send_json(&json!({ "session": session })).await?;
    while let Some(message) = socket.recv().await {
        match message.as_text() {
            Some("fail") => return Err("a failure of the soak".into()),
            Some("panic") => panic!("a handler of the soak panics"),
            _ => socket.send(message).await?,
        }
    }
    Ok(())
}
