//! An agent of the measurements: as many small events as the payload asks for, without a pause between them.

use agentcore_runtime::{App, Stream};
use futures_util::stream;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), agentcore_runtime::RunError> {
    App::streaming(events).run().await
}

/// Events of the size of a few words, as a language model's answer has them.
async fn events(payload: Value) -> impl Stream<Item = Value> {
    let count = payload["events"].as_u64().unwrap_or(1);
    stream::iter(
        (0..count)
            .map(|number| json!({ "type": "delta", "number": number, "text": "a few words, " })),
    )
}
