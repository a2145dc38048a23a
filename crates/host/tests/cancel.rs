//! Callers who leave.

use std::time::Duration;

use agentcore_runtime::{Agent, Context, Invocation};
use futures_util::FutureExt;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Fixture, next};

/// Begins a call, lets the worker have it, and leaves.
async fn leave(worker: &Fixture, body: Value) {
    let mut call = Box::pin(worker.call(body));
    for _ in 0..20 {
        assert!(
            call.as_mut().now_or_never().is_none(),
            "it has answered already"
        );
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn on_a_loop_connection_the_call_is_cancelled() {
    let worker = Fixture::start(&["loop"]);
    worker.agent.loaded().await.unwrap();
    leave(&worker, json!({"do": "wait"})).await;
    worker.wait_for("cancelled", 1).await;

    let mut events = worker.stream(json!({"do": "stream", "n": 1_000_000})).await;
    next(&mut events).await;
    drop(events);
    worker.wait_for("cancelled", 2).await;
}

#[tokio::test]
async fn at_its_limit_a_call_is_told_once() {
    let worker = Fixture::start(&["loop"]);
    worker.agent.loaded().await.unwrap();
    let context = Context::from_headers(HeaderMap::new());
    let mut invocation = Invocation::new(json!({"do": "wait"}).to_string(), context);
    let limit = Duration::from_millis(200);
    invocation.deadline = Some(Instant::now() + limit);
    let call = worker.agent.invoke(invocation);
    assert!(timeout(limit * 2, call).await.is_err());
    worker.wait_for("cancelled", 1).await;
    // A second word would cut off the clean-up that the first has begun.
    sleep(limit).await;
    assert_eq!(worker.counter("cancelled").await, 1);
}

#[tokio::test]
async fn a_call_that_has_ended_is_not_cancelled() {
    let worker = Fixture::start(&["loop"]);
    worker.ask(json!({"do": "echo"})).await;
    let mut events = worker.stream(json!({"do": "stream", "n": 1})).await;
    next(&mut events).await;
    assert!(futures_util::StreamExt::next(&mut events).await.is_none());
    drop(events);
    assert_eq!(worker.counter("cancelled").await, 0);
}

#[tokio::test]
async fn on_a_thread_connection_a_plain_call_runs_to_its_end_and_the_connection_stays() {
    let worker = Fixture::start(&["thread"]);
    worker.agent.loaded().await.unwrap();
    leave(&worker, json!({"do": "wait"})).await;
    // Opens a second connection, because the first is still in the call that nobody waits for.
    worker.ask(json!({"do": "open"})).await;
    sleep(Duration::from_millis(100)).await;
    for _ in 0..10 {
        worker.ask(json!({"do": "echo"})).await;
    }
    assert_eq!(worker.counter("cut").await, 0);
    // Both connections are there again: two calls at once need no third.
    let both = json!({"do": "barrier", "n": 2});
    tokio::join!(worker.ask(both.clone()), worker.ask(both));
    assert_eq!(worker.counter("connections").await, 2);
}

#[tokio::test]
async fn a_call_left_on_its_way_to_the_loop_connection_is_cancelled_there() {
    let worker = Fixture::start(&["thread"]);
    worker.agent.loaded().await.unwrap();
    leave(&worker, json!({"do": "move"})).await;
    // Only now the worker opens the connection.
    worker.ask(json!({"do": "open"})).await;
    worker.wait_for("cancelled", 1).await;
}

#[tokio::test]
async fn on_a_thread_connection_a_stream_is_cut() {
    let worker = Fixture::start(&["thread"]);
    let mut events = worker.stream(json!({"do": "stream", "n": 1_000_000})).await;
    next(&mut events).await;
    drop(events);
    worker.wait_for("cut", 1).await;
    assert_eq!(worker.ask(json!({"do": "echo"})).await["do"], "echo");
}

#[tokio::test]
async fn a_call_given_up_in_the_queue_never_reaches_the_worker() {
    let worker = Fixture::start(&["thread", "0.3"]);
    let call = worker.call(json!({"do": "die", "how": "exit"}));
    // The worker is still loading.
    assert!(Box::pin(call).now_or_never().is_none());
    let first = worker.ask(json!({"do": "pid"})).await;
    assert_eq!(worker.ask(json!({"do": "pid"})).await, first);
}
