use agentcore_runtime::{App, PingStatus};
use serde_json::Value;

fn main() {
    let app = App::new(async |payload: Value| payload);
    drop(app.ping(|_: Value| PingStatus::Healthy));
}
