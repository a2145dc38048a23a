//! A Rust agent that chooses at run time how it answers: by a value, by events, or by a response of its own.

use std::sync::Arc;

use agentcore_protocol::json::to_spaced_vec;
use agentcore_runtime::{
    Agent, AgentStatus, Body, BoxFuture, Invocation, Outcome, PingStatus, StreamItem,
};
use futures_util::{StreamExt, stream};
use http::Response;
use serde_json::{Value, json};

use super::agent::{State, act, events, is_stream};

pub(super) struct Chooser(pub(super) Arc<State>);

impl Agent for Chooser {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome> {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let payload: Value = serde_json::from_slice(&invocation.body).unwrap();
            if payload["do"] == "respond" {
                return Outcome::Response(response(payload["name"].as_str().unwrap()));
            }
            if is_stream(&payload) {
                let events = events(&state, payload, &invocation.context);
                return Outcome::Events(Box::pin(events.map(|item| {
                    item.map(|value| StreamItem::Json(to_spaced_vec(&value).unwrap().into()))
                })));
            }
            match act(&state, &payload, &invocation.context) {
                Ok(answer) => Outcome::Json(to_spaced_vec(&answer).unwrap().into()),
                Err(failure) => Outcome::Failed(failure),
            }
        })
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Ready(PingStatus::Healthy)
    }
}

/// The ready-made response of that name.
fn response(name: &str) -> Response<Body> {
    let builder = Response::builder();
    let text = "text/plain; charset=utf-8";
    let built = match name {
        "json_404" => builder
            .status(404)
            .header("content-type", "application/json")
            .body(json!({ "error": "no such order" }).to_string().into()),
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
    built.unwrap()
}

fn in_parts(parts: &'static [&'static str]) -> Body {
    Body::from_stream(stream::iter(
        parts.iter().map(|part| Ok::<_, std::io::Error>(*part)),
    ))
}
