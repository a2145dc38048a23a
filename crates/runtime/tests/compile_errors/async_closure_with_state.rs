use std::sync::Arc;

use agentcore_runtime::App;
use serde_json::Value;

fn main() {
    let names = Arc::new(String::from("Ada"));
    let _ = App::new(async move |_: Value| names.len());
}
