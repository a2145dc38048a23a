//! Workers that break the protocol: what they break is lost, nothing else.

use futures_util::StreamExt;
use serde_json::json;

use crate::support::{BOTH, Fixture};

#[tokio::test]
async fn garbage_on_a_thread_connection_costs_that_call() {
    let worker = Fixture::start(&["thread"]);
    let pid = worker.ask(json!({"do": "pid"})).await;
    for (hex, what) in [
        (
            "ffffffff46000000ff",
            "a frame states a length of 4294967295 bytes",
        ),
        ("000000001111111111", "a frame states a length of 0 bytes"),
        ("00000005c800000000", "a frame is of the unknown kind 200"),
        (
            "000000064700000000ff",
            "the payload of a frame of kind 71 cannot be read",
        ),
    ] {
        // The second and third have call 0, which is some call; they fail before anyone looks.
        let failure = worker.fail(json!({"do": "garbage", "hex": hex})).await;
        let text = failure.to_string();
        assert!(text.ends_with(what), "{text}");
        assert_eq!(failure.error_type(), Some("WorkerFault"));
    }
    let failure = worker.fail(json!({"do": "other-call"})).await;
    assert_eq!(
        failure.to_string(),
        "the agent's worker broke the protocol: an answer to another call"
    );
    let failure = worker.fail(json!({"do": "hang-up"})).await;
    assert_eq!(
        failure.to_string(),
        "the agent's worker did not finish the call: the connection was closed"
    );
    assert_eq!(worker.ask(json!({"do": "pid"})).await, pid);
}

#[tokio::test]
async fn garbage_on_a_shared_connection_costs_the_worker() {
    for (mode, body, which) in [
        (
            "loop",
            json!({"do": "garbage", "hex": "ffffffff46000000ff"}),
            "loop",
        ),
        ("thread", json!({"do": "garbage-on-control"}), "control"),
    ] {
        let worker = Fixture::start(&[mode]);
        let pid = worker.ask(json!({"do": "pid"})).await;
        let call = worker.call(body);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(100), call).await;
        // The worker does not end by itself, and is ended.
        crate::support::eventually(async || worker.ask(json!({"do": "pid"})).await != pid).await;
        println!("the {which} connection was replaced with its worker");
    }
}

#[tokio::test]
async fn events_beyond_the_credit_cost_that_call() {
    let worker = Fixture::start(&["loop"]);
    let events = worker.stream(json!({"do": "overrun"})).await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let last = events.collect::<Vec<_>>().await.pop().unwrap().unwrap_err();
    assert_eq!(
        last.to_string(),
        "the agent's worker sent more events than it was allowed to"
    );
    worker.wait_for("cancelled", 1).await;
}

#[tokio::test]
async fn a_stranger_is_shown_the_door() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        assert_eq!(worker.ask(json!({"do": "intrude"})).await, true);
    }
}
