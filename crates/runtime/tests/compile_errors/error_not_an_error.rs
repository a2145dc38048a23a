use agentcore_runtime::{App, Reply};
use serde_json::Value;

struct Broken;

fn plain(_: Value) -> Result<u32, Broken> {
    Err(Broken)
}

async fn later(_: Value) -> Result<u32, Broken> {
    Err(Broken)
}

async fn stream(_: Value) -> Result<futures_util::stream::Empty<u32>, Broken> {
    Err(Broken)
}

async fn response(_: Value) -> Result<http::Response<String>, Broken> {
    Err(Broken)
}

async fn reply(_: Value) -> Result<Reply, Broken> {
    Err(Broken)
}

fn main() {
    let _ = App::new(plain);
    let _ = App::new(later);
    let _ = App::streaming(stream);
    let _ = App::http(response);
    let _ = App::replying(reply);
}
