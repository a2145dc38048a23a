use agentcore_runtime::{App, Stream};
use futures_util::stream;
use serde_json::Value;

fn numbers(_: Value) -> impl Stream<Item = u32> {
    stream::iter([1, 2])
}

async fn value(payload: Value) -> Value {
    payload
}

async fn response(_: Value) -> http::Response<String> {
    http::Response::new(String::new())
}

fn main() {
    let _ = App::new(numbers);
    let _ = App::new(response);
    let _ = App::streaming(value);
    let _ = App::http(value);
    let _ = App::replying(value);
}
