use std::rc::Rc;

use agentcore_runtime::App;
use serde_json::Value;

fn main() {
    let shared = Rc::new(1);
    let _ = App::new(move |_: Value| *shared);
}
