//! An agent that streams: sends its answer word by word, as a model would.
//!
//! Each item of the stream reaches the caller when it is made, and a caller who leaves ends the stream.

use std::time::Duration;

use agentcore_runtime::{App, RunError, Stream};
use futures_util::{StreamExt, stream};
use serde_json::Value;

/// How long a word takes.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<(), RunError> {
    App::streaming(answer).run().await
}

async fn answer(payload: Value) -> impl Stream<Item = String> {
    let prompt = payload["prompt"].as_str().unwrap_or("nothing at all");
    let text = format!("You said: {prompt}");
    let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    stream::iter(words).then(async |word| {
        tokio::time::sleep(PAUSE).await;
        word
    })
}
