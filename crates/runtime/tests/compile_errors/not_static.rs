use agentcore_runtime::App;
use serde_json::Value;

fn main() {
    let name = String::from("Ada");
    let _ = App::new(|_: Value| name.len());
}
