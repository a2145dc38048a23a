//! A peer of the measurements: what the hello agent answers, from a plain axum server with nothing around it.
//!
//! It is the limit that the runtime is held against, so it does no more than it must: no logs, no sessions, no
//! isolation of the agent.

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

type Answer = (StatusCode, [(HeaderName, &'static str); 1], Vec<u8>);

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

async fn invoke(body: Bytes) -> Answer {
    let Ok(payload) = serde_json::from_slice::<Value>(&body) else {
        return answer(StatusCode::BAD_REQUEST, &json!({ "error": "Invalid JSON" }));
    };
    let prompt = payload["prompt"].as_str().unwrap_or_default();
    answer(
        StatusCode::OK,
        &json!({ "result": format!("You said: {prompt}") }),
    )
}

async fn ping() -> Answer {
    answer(
        StatusCode::OK,
        &json!({ "status": "Healthy", "time_of_last_update": 0 }),
    )
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        body.to_string().into_bytes(),
    )
}
