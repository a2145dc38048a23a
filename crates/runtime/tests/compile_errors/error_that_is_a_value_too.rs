use agentcore_runtime::App;
use serde_json::Value;

#[derive(Debug, serde::Serialize, thiserror::Error)]
#[error("closed")]
struct Closed;

async fn answer(payload: Value) -> Result<Value, Closed> {
    if payload.is_null() { Err(Closed) } else { Ok(payload) }
}

fn main() {
    drop(App::new(answer));
}
