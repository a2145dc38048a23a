use agentcore_runtime::{App, Context};
use serde_json::Value;

fn main() {
    let app = App::new(async |payload: Value| payload);
    drop(app.websocket(async |_context: Context| {}));
}
