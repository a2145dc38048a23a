//! An agent of the measurements: as many small events as the payload asks for, with the pause between them that it asks for.
//!
//! The argument `shared` runs it on the threads of the server.

use std::time::Duration;

use agentcore_runtime::{App, Stream, Threads};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), agentcore_runtime::RunError> {
    let threads = match std::env::args().nth(1).as_deref() {
        Some("shared") => Threads::Shared,
        _ => Threads::Own,
    };
    App::streaming(events).threads(threads).run().await
}

/// Events of the size of a few words, as a language model's answer has them.
async fn events(payload: Value) -> impl Stream<Item = Value> {
    let count = payload["events"].as_u64().unwrap_or(1);
    let pause = Duration::from_millis(payload["pause_millis"].as_u64().unwrap_or(0));
    let events = stream::iter(
        (0..count)
            .map(|number| json!({ "type": "delta", "number": number, "text": "a few words, " })),
    );
    events.then(move |event| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        event
    })
}
