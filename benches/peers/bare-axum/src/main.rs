//! A peer of the measurements: what the hello agent and the streaming agent answer, from a plain axum server with nothing around it.
//!
//! It is the limit that the runtime is held against, so it does no more than it must: no logs, no sessions, no
//! isolation of the agent.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an entry point; the measurements tell every server its address so"
    )]
    let address = std::env::var("AGENTCORE_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let app = Router::new()
        .route("/invocations", post(invoke))
        .route("/ping", get(ping));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, app).await
}

async fn invoke(body: Bytes) -> Response {
    let Ok(payload) = serde_json::from_slice::<Value>(&body) else {
        return answer(StatusCode::BAD_REQUEST, &json!({ "error": "Invalid JSON" }));
    };
    if let Some(count) = payload["events"].as_u64() {
        return events(count, payload["pause_millis"].as_u64().unwrap_or(0));
    }
    let prompt = payload["prompt"].as_str().unwrap_or_default();
    answer(
        StatusCode::OK,
        &json!({ "result": format!("You said: {prompt}") }),
    )
}

async fn ping() -> Response {
    answer(
        StatusCode::OK,
        &json!({ "status": "Healthy", "time_of_last_update": 0 }),
    )
}

/// The events of the streaming agent.
fn events(count: u64, pause_millis: u64) -> Response {
    let pause = Duration::from_millis(pause_millis);
    let events = stream::iter(0..count).then(move |number| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let event = json!({ "type": "delta", "number": number, "text": "a few words, " });
        Ok::<_, Infallible>(Event::default().data(event.to_string()))
    });
    Sse::new(events).into_response()
}

fn answer(status: StatusCode, body: &Value) -> Response {
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        body.to_string().into_bytes(),
    )
        .into_response()
}
