//! The smallest agent: answers what it was told.
//!
//! It keeps nothing and calls no model, so that the contract around an agent is all there is to see.

use agentcore_runtime::{App, RunError};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), RunError> {
    App::new(answer).run().await
}

async fn answer(payload: Value) -> Value {
    let said = match &payload["prompt"] {
        Value::String(prompt) => prompt.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    json!({ "result": format!("You said: {said}") })
}
