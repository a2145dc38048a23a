use agentcore_runtime::App;
use serde_json::Value;

async fn answer(payload: Value, _session: String) -> Value {
    payload
}

fn main() {
    let _ = App::new(answer);
}
