//! An agent of the measurements: one handler, run as its one argument says, that blocks, burns or remembers as the payload says.
//!
//! Without an argument it runs as every agent does; what it answers to a prompt is what the hello agent answers.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use agentcore_runtime::{App, Context, Router, RunError, Threads};
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), RunError> {
    let app = match std::env::args().nth(1).as_deref() {
        // On the threads of the server.
        Some("shared") => App::new(asynchronous).threads(Threads::Shared),
        // An `fn`, which may block, on the pool of threads for those.
        Some("plain") => App::new(plain),
        // With a route that tells how many sessions are open.
        Some("sessions") => counting_sessions(App::new(asynchronous)),
        _ => App::new(asynchronous),
    };
    app.run().await
}

/// What to do before the answer.
#[derive(Debug, Deserialize)]
struct Payload {
    #[serde(default)]
    prompt: String,
    /// Keep the thread, asleep.
    #[serde(default)]
    block_millis: u64,
    /// Keep the thread, busy.
    #[serde(default)]
    burn_millis: u64,
}

/// What a session remembers: about as much as a short conversation's bookkeeping.
#[derive(Debug)]
struct Remembered {
    _prompt: String,
    _begun: Instant,
}

async fn asynchronous(payload: Payload, context: Context) -> Value {
    plain(payload, context)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a handler owns what it is given"
)]
fn plain(payload: Payload, context: Context) -> Value {
    thread::sleep(Duration::from_millis(payload.block_millis));
    let busy_until = Instant::now() + Duration::from_millis(payload.burn_millis);
    while payload.burn_millis > 0 && Instant::now() < busy_until {
        std::hint::spin_loop();
    }
    if let Some(session) = context.session() {
        let _: Arc<Remembered> = session.get_or_init(|| Remembered {
            _prompt: payload.prompt.clone(),
            _begun: Instant::now(),
        });
    }
    json!({ "result": format!("You said: {}", payload.prompt) })
}

fn counting_sessions(app: App) -> App {
    let sessions = app.sessions().clone();
    let count = async move || sessions.len().to_string();
    app.routes(Router::new().route("/sessions", get(count)))
}
