use agentcore_runtime::{App, Stream};
use futures_util::stream;
use serde_json::Value;

struct Token;

fn tokens(_: Value) -> impl Stream<Item = Token> {
    stream::iter([Token])
}

async fn later(_: Value) -> impl Stream<Item = Token> {
    stream::iter([Token])
}

fn main() {
    let _ = App::streaming(tokens);
    let _ = App::streaming(later);
}
