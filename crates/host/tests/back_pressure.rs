//! A caller who reads slowly slows the worker down; nothing piles up in between.

use std::time::Duration;

use serde_json::json;

use crate::support::{Fixture, eventually, next};

/// Waits until the worker sends no more, and returns how many events it has sent.
async fn sent_when_quiet(worker: &Fixture) -> u64 {
    let last = std::cell::Cell::new(u64::MAX);
    eventually(async || {
        let now = worker.counter("sent").await;
        let is_quiet = now == last.replace(now) && now > 0;
        if !is_quiet {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        is_quiet
    })
    .await;
    last.get()
}

#[tokio::test]
async fn a_loop_worker_sends_no_more_than_its_credit() {
    let worker = Fixture::start(&["loop"]);
    let mut events = worker.stream(json!({"do": "stream", "n": 1_000_000})).await;
    assert_eq!(sent_when_quiet(&worker).await, 256);
    for number in 0..1000 {
        assert_eq!(next(&mut events).await["n"], number);
    }
    let sent = sent_when_quiet(&worker).await;
    assert!((1000..=1256).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_thread_worker_waits_for_its_socket() {
    let worker = Fixture::start(&["thread"]);
    let mut events = worker
        .stream(json!({"do": "stream", "n": 100_000, "size": 1000}))
        .await;
    next(&mut events).await;
    let sent = sent_when_quiet(&worker).await;
    // What the two socket buffers and one read take, far from the 100 MB of the whole.
    assert!(sent < 4000, "{sent} kB have left the worker");
    for number in 1..5000 {
        assert_eq!(next(&mut events).await["n"], number);
    }
}
