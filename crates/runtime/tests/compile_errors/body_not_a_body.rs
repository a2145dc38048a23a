use agentcore_runtime::App;
use serde_json::Value;

async fn answer(payload: Value) -> http::Response<Value> {
    http::Response::new(payload)
}

fn main() {
    let _ = App::http(answer);
}
