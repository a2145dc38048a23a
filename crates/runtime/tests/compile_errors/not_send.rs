use std::rc::Rc;

use agentcore_runtime::App;
use serde_json::Value;

async fn counts(_: Value) -> usize {
    let count = Rc::new(1);
    tokio::task::yield_now().await;
    *count
}

fn main() {
    let _ = App::new(counts);
}
