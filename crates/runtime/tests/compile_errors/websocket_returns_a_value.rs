use agentcore_runtime::{App, Context, WebSocket};
use serde_json::Value;

async fn chat(_socket: WebSocket, _context: Context) -> Value {
    Value::Null
}

fn main() {
    let app = App::new(async |payload: Value| payload);
    drop(app.websocket(chat));
}
