//! Answers that come in parts, and callers and sandboxes that leave in between.

use futures_util::{Stream, StreamExt};
use serde_json::json;

use crate::support::{Running, body_of, eventually, is_alive, kill};

/// Reads up to the end of the next event.
async fn next_event(
    stream: &mut (impl Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
) -> String {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        let chunk = stream.next().await.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_passes_as_soon_as_it_is_there() {
    let door = Running::start().await;
    let response = door
        .call("one", json!({ "do": "stream", "dir": door.dir.path() }))
        .await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let mut stream = response.bytes_stream();
    for item in 1..=3 {
        assert_eq!(
            next_event(&mut stream).await,
            format!("data: {{\"item\": {item}}}\n\n")
        );
        // Only now does the agent make the next one.
        std::fs::write(door.file(&format!("read-{item}")), "").unwrap();
    }
    assert!(stream.next().await.is_none());
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fast_stream_arrives_whole() {
    let door = Running::start().await;
    let response = door
        .call("one", json!({ "do": "rush", "count": 20_000 }))
        .await;
    let events: Vec<String> = (0..20_000)
        .map(|n| format!("data: {{\"n\": {n}}}\n\n"))
        .collect();
    assert!(response.text().await.unwrap() == events.concat());
    // The connection is free for the next call.
    assert_eq!(door.ask("one", json!({})).await["count"], 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_ends_the_call_in_the_sandbox() {
    let door = Running::start().await;
    let order = json!({ "do": "hang", "dir": door.dir.path() });
    let hanging = tokio::spawn(door.post("/invocations", "one", &order).send());
    let (entered, left) = (door.file("entered"), door.file("left"));
    eventually("the call is in the agent", || entered.exists()).await;
    assert!(!left.exists());
    hanging.abort();
    eventually("the agent sees its caller leave", || left.exists()).await;
    assert_eq!(door.status().await.sandboxes[0].open, 0);
    assert_eq!(door.ask("one", json!({})).await["count"], 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_a_silent_stream_ends_it() {
    let door = Running::start().await;
    let response = door
        .call("one", json!({ "do": "stream", "dir": door.dir.path() }))
        .await;
    let mut stream = response.bytes_stream();
    next_event(&mut stream).await;
    assert_eq!(door.status().await.sandboxes[0].open, 1);
    drop(stream);
    loop {
        if door.status().await.sandboxes[0].open == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_sandbox_dies_ends_with_an_error_event() {
    let door = Running::start().await;
    let pid = door.pid("one").await;
    let response = door
        .call("one", json!({ "do": "stream", "dir": door.dir.path() }))
        .await;
    let mut stream = response.bytes_stream();
    next_event(&mut stream).await;
    kill(pid);
    let event = next_event(&mut stream).await;
    assert_eq!(
        event,
        "data: {\"error\": \"the sandbox of this session ended: signal 9 (SIGKILL)\", \
         \"error_type\": \"SandboxDied\", \"message\": \"An error occurred during streaming\"}\n\n"
    );
    assert!(stream.next().await.is_none());
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_inside_an_event_is_cut_for_the_caller_too() {
    let door = Running::start().await;
    let pid = door.pid("one").await;
    let order = json!({ "do": "stream", "cut": true, "dir": door.dir.path() });
    let mut stream = door.call("one", order).await.bytes_stream();
    next_event(&mut stream).await;
    std::fs::write(door.file("read-1"), "").unwrap();
    let half = stream.next().await.unwrap().unwrap();
    assert_eq!(half, "data: {\"item\":");
    kill(pid);
    assert!(stream.next().await.unwrap().is_err());
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_front_door_ends_open_calls_with_a_reason() {
    let door = Running::start().await;
    let order = json!({ "do": "hang", "dir": door.dir.path() });
    let hanging = tokio::spawn(door.post("/invocations", "one", &order).send());
    let entered = door.file("entered");
    eventually("the call is in the agent", || entered.exists()).await;
    let pid = door.status().await.sandboxes[0].pid.unwrap();
    door.end().await;
    assert!(!is_alive(pid));
    let response = hanging.await.unwrap().unwrap();
    assert_eq!(response.status(), 500);
    let body = body_of(response).await;
    assert_eq!(
        body["error"],
        "the sandbox of this session ended: the front door ended"
    );
}
