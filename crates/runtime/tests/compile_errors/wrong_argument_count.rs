use agentcore_runtime::{App, Context};
use serde_json::Value;

async fn none() -> Value {
    Value::Null
}

async fn three(payload: Value, _: Context, _: Context) -> Value {
    payload
}

fn main() {
    let _ = App::new(none);
    let _ = App::new(three);
    let _ = App::streaming(|| futures_util::stream::iter([1]));
}
