//! Calls that go well, on both kinds of connection.

use agentcore_protocol::PingStatus;
use agentcore_runtime::{Agent, AgentStatus, Context, Invocation, Outcome};
use futures_util::StreamExt;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::support::{BOTH, Fixture, eventually, next};

#[tokio::test]
async fn a_body_goes_there_and_back_as_it_is() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        for body in [b"[1, NaN]".to_vec(), Vec::new(), vec![b'"'; 3_000_000]] {
            let Outcome::Json(answer) = worker.call_raw(body.clone()).await else {
                panic!("no answer");
            };
            assert_eq!(answer, body, "{mode}");
        }
    }
}

#[tokio::test]
async fn the_worker_is_told_ids_and_headers() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        let mut headers = HeaderMap::new();
        let session = HeaderValue::from_static("conversation-123");
        headers.insert("x-amzn-bedrock-agentcore-runtime-session-id", session);
        headers.insert("x-own", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let context = Context::from_headers(headers);
        let request_id = context.request_id().to_owned();
        let body = r#"{"do": "meta"}"#;
        let Outcome::Json(meta) = worker.agent.invoke(Invocation::new(body, context)).await else {
            panic!("no answer");
        };
        let expected = json!({
            "request_id": request_id,
            "session_id": "conversation-123",
            "headers": [
                ["x-amzn-bedrock-agentcore-runtime-session-id", "conversation-123"],
                ["x-own", "café"],
            ],
        });
        assert_eq!(serde_json::from_slice::<Value>(&meta).unwrap(), expected);
    }
}

#[tokio::test]
async fn sixty_four_calls_run_at_once() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        // Each answers only when all of them have begun.
        let calls = (0..64).map(|_| worker.ask(json!({"do": "barrier", "n": 64})));
        assert_eq!(join_all(calls).await, vec![Value::Bool(true); 64], "{mode}");
    }
}

#[tokio::test]
async fn calls_beyond_the_workers_threads_wait_for_their_turn() {
    let worker = Fixture::start(&["thread"]);
    let calls = (0..300).map(|number| worker.ask(json!({"do": "echo", "number": number})));
    let answers = join_all(calls).await;
    assert_eq!(answers.len(), 300);
    assert_eq!(answers[299]["number"], 299);
    assert!(worker.counter("connections").await <= 80);
}

#[tokio::test]
async fn an_error_and_a_ready_made_answer_arrive_whole() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        let failure = worker.fail(json!({"do": "error"})).await;
        assert_eq!(failure.status(), 418);
        assert_eq!(*failure.error(), json!({"code": 7}));
        assert_eq!(failure.error_type(), Some("Teapot"));
        assert_eq!(failure.details(), Some("short"));

        let Outcome::Response(response) = worker.call(json!({"do": "response"})).await else {
            panic!("no response");
        };
        assert_eq!(response.status(), 202);
        assert_eq!(response.headers()["x-own"], "1");
    }
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_made() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        let mut events = worker.stream(json!({"do": "gated-stream"})).await;
        assert_eq!(next(&mut events).await, 1);
        worker.ask(json!({"do": "open"})).await;
        assert_eq!(next(&mut events).await, 2);
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn a_batch_is_as_many_events() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        let mut events = worker.stream(json!({"do": "batch"})).await;
        for expected in [1, 2, 3] {
            assert_eq!(next(&mut events).await, expected);
        }
        assert!(events.next().await.is_none());
        // The connection is whole: it takes another call.
        assert_eq!(worker.ask(json!({"do": "echo"})).await["do"], "echo");
    }
}

#[tokio::test]
async fn a_stream_that_fails_ends_in_its_error() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        let mut events = worker.stream(json!({"do": "failing-stream"})).await;
        assert_eq!(next(&mut events).await, 1);
        let failure = events.next().await.unwrap().unwrap_err();
        assert_eq!(failure.to_string(), "broke");
        assert_eq!(failure.error_type(), Some("Broken"));
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn long_streams_side_by_side_arrive_whole() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        let streams = (0..8).map(async |_| {
            let events = worker.stream(json!({"do": "stream", "n": 3000})).await;
            events.map(Result::unwrap).count().await
        });
        assert_eq!(join_all(streams).await, [3000; 8], "{mode}");
    }
}

#[tokio::test]
async fn the_status_is_what_was_pushed_and_asked_for_again() {
    let worker = Fixture::start(&["thread", "0.2"]);
    assert_eq!(worker.agent.status(), AgentStatus::Starting);
    worker.agent.loaded().await.unwrap();
    assert_eq!(
        worker.agent.status(),
        AgentStatus::Ready(PingStatus::Healthy)
    );
    let is = async |status| worker.agent.status() == AgentStatus::Ready(status);

    worker
        .ask(json!({"do": "busy", "busy": true, "push": true}))
        .await;
    eventually(async || is(PingStatus::HealthyBusy).await).await;
    // Not pushed: only the question that comes before each look at the status can find it out.
    worker
        .ask(json!({"do": "busy", "busy": false, "push": false}))
        .await;
    worker.agent.refresh().unwrap().await;
    assert!(is(PingStatus::Healthy).await);
    assert!(worker.counter("refreshed").await > 0);
}
