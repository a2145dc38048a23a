//! The ready-made responses of the Rust agent, by name; `agent.py` has the same.

use agentcore_runtime::{Body, Reply};
use futures_util::stream;
use http::Response;
use serde_json::json;

/// The response of that name.
pub(super) fn response(name: &str) -> Reply {
    let builder = Response::builder();
    let text = "text/plain; charset=utf-8";
    let built = match name {
        "json_404" => builder
            .status(404)
            .header("content-type", "application/json")
            .body(Body::from(json!({ "error": "no such order" }).to_string())),
        "text" => builder
            .header("content-type", text)
            .header("x-own", "kept")
            .body("hello\n".into()),
        "bytes" => builder
            .header("content-type", "application/octet-stream")
            .body(vec![0, 0xff].into()),
        "html" => builder
            .status(201)
            .header("content-type", "text/html; charset=utf-8")
            .body("<p>hi</p>".into()),
        "no_content" => builder.status(204).body(Body::empty()),
        "redirect" => builder
            .status(307)
            .header("location", "/elsewhere")
            .body(Body::empty()),
        "cookies" => builder
            .header("content-type", text)
            .header("set-cookie", "a=1")
            .header("set-cookie", "b=2")
            .body("two".into()),
        "stream" => builder
            .header("content-type", text)
            .body(in_parts(&["a: 1\n", "b: 2\n"])),
        "own_events" => builder
            .header("content-type", "text/event-stream; charset=utf-8")
            .body(in_parts(&["event: tick\ndata: 1\n\n"])),
        other => panic!("there is no response `{other}`"),
    };
    Reply::response(built.unwrap())
}

fn in_parts(parts: &'static [&'static str]) -> Body {
    Body::from_stream(stream::iter(
        parts.iter().map(|part| Ok::<_, std::io::Error>(*part)),
    ))
}
