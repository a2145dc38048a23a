//! `TestAgent`, as authors use it in their own tests: the calls, what their answers offer, and what it says about mistakes.

use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::{
    App, Context, Failure, PingStatus, Reply, SessionId, StatusCode, TestAgent, Threads, sse,
};
use axum::body::Body;
use futures_util::{FutureExt, StreamExt, stream};
use http::Request;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{Dropped, expect};

fn echo() -> TestAgent {
    TestAgent::new(App::new(|payload: Value, context: Context| {
        json!({
            "payload": payload,
            "session": context.session_id().map(SessionId::as_str),
            "team": context.headers().get("x-team").and_then(|team| team.to_str().ok()),
        })
    }))
}

#[tokio::test]
async fn a_call_has_a_status_a_type_and_a_body() {
    let answer = echo().invoke(json!({"a": 1})).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.content_type(), Some("application/json"));
    assert_eq!(
        answer.text(),
        r#"{"payload": {"a": 1}, "session": null, "team": null}"#
    );
    assert_eq!(answer.json()["payload"], json!({"a": 1}));
    let order: std::collections::BTreeMap<String, Value> = answer.json_as();
    assert_eq!(order.len(), 3);
}

#[tokio::test]
async fn a_caller_keeps_its_session_and_headers() {
    let agent = echo();
    let caller = agent.session("s-1").header("X-Team", "blue");
    for _ in 0..2 {
        let answer = caller.invoke(1).await.json();
        assert_eq!(
            answer,
            json!({"payload": 1, "session": "s-1", "team": "blue"})
        );
    }
    let other = caller.session("s-2").invoke(1).await.json();
    assert_eq!(other["session"], "s-2");
    assert_eq!(agent.invoke(1).await.json()["session"], Value::Null);
}

#[tokio::test]
async fn a_raw_body_need_not_be_json() {
    let answer = echo().raw("{").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"], "Invalid JSON");
}

#[tokio::test]
async fn events_are_read_as_they_come() {
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let agent = TestAgent::new(App::streaming(move |_: Value| {
        let wait = Arc::clone(&wait);
        stream::iter(["1", "2"]).then(move |number| {
            let wait = Arc::clone(&wait);
            async move {
                wait.notified().await;
                sse::Event::data(number).event("count")
            }
        })
    }));
    let mut events = agent.stream(Value::Null).await;
    assert_eq!(events.status, 200);
    assert_eq!(events.next_event().now_or_never(), None, "none is made yet");
    for number in ["1", "2"] {
        go_on.notify_one();
        let event = expect("the event", events.next_event()).await;
        assert_eq!(event, Some(sse::Event::data(number).event("count")));
    }
    assert_eq!(expect("the end", events.next_event()).await, None);
    assert_eq!(events.whole().await.text(), "", "all of it was read");
}

#[tokio::test]
async fn an_answer_has_its_events() {
    let agent = TestAgent::new(App::streaming(|last: u32| stream::iter(1..=last)));
    let answer = agent.invoke(2).await;
    assert_eq!(
        answer.content_type(),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(answer.events(), ["1", "2"].map(sse::Event::data));
    assert_eq!(agent.invoke(0).await.events(), []);
}

#[tokio::test]
async fn a_stream_outlives_its_caller() {
    let app = App::streaming(|last: u32| stream::iter(1..=last));
    let mut events = TestAgent::new(app).stream(1000).await;
    let mut count = 0;
    while expect("an event", events.next_event()).await.is_some() {
        count += 1;
    }
    assert_eq!(count, 1000);
}

#[tokio::test]
async fn dropping_a_stream_is_a_caller_who_leaves() {
    let dropped = Arc::new(Notify::new());
    let guard = Arc::clone(&dropped);
    let agent = TestAgent::new(App::streaming(move |_: Value| {
        let guard = Dropped(Arc::clone(&guard));
        stream::unfold(guard, |guard| async {
            std::future::pending::<()>().await;
            Some((1, guard))
        })
    }));
    let events = agent.stream(1).await;
    drop(events);
    expect("the stream to be dropped", dropped.notified()).await;
}

#[tokio::test]
async fn a_stream_that_failed_to_open_has_a_status_and_no_events() {
    let agent = TestAgent::new(App::replying(|_: Value| {
        Reply::failure(Failure::new(StatusCode::NOT_FOUND, "no such order"))
    }));
    let mut events = agent.stream(1).await;
    assert_eq!(events.status, 404);
    let asked = std::panic::AssertUnwindSafe(events.next_event());
    let said = asked.catch_unwind().await.unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(
        said.starts_with("the answer is no stream of events: 404"),
        "{said}"
    );
    assert_eq!(
        events.whole().await.json(),
        json!({"error": "no such order"})
    );
}

#[tokio::test]
async fn other_requests_go_to_the_same_routes() {
    let agent = echo();
    let (status, since) = agent.ping().await;
    assert_eq!(status, PingStatus::Healthy);
    assert_eq!(agent.ping().await, (status, since));
    assert!(since > 1_700_000_000, "seconds since the epoch: {since}");

    let request = || Request::get("/nowhere").body(Body::empty()).unwrap();
    assert_eq!(agent.request(request()).await.status, 404);
    let request = Request::post("/invocations")
        .header("x-team", "red")
        .body(Body::from("1"))
        .unwrap();
    let answer = agent.header("x-team", "blue").request(request).await;
    assert_eq!(
        answer.json()["team"],
        "red",
        "a request's own headers count"
    );
}

#[tokio::test(start_paused = true)]
async fn on_shared_threads_a_paused_clock_is_the_agents_too() {
    let app = App::new(async |_: Value| {
        tokio::time::sleep(Duration::from_mins(5)).await;
        "late"
    });
    let agent = TestAgent::new(app.threads(Threads::Shared));
    let began = tokio::time::Instant::now();
    assert_eq!(agent.invoke(1).await.json(), "late");
    assert_eq!(began.elapsed(), Duration::from_mins(5));
}

/// Runs what must panic and returns what it said.
fn said(wrong: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(wrong).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[tokio::test]
async fn a_mistake_of_the_test_is_a_sentence() {
    let answer = echo().raw("{").await;
    let agent = std::panic::AssertUnwindSafe(echo());
    let answer = std::panic::AssertUnwindSafe(answer);
    for (sentence, begins) in [
        (
            said(|| drop(agent.header("a b", "1"))),
            "`a b` cannot be the name of a header",
        ),
        (
            said(|| drop(agent.header("a", "\n"))),
            "`a` cannot have the value \"\\n\"",
        ),
        (
            said(|| drop(agent.session(""))),
            "\"\" cannot be a session id: the session id is empty",
        ),
        (
            said(|| drop(answer.events())),
            "the answer is no stream of events: TestAnswer { status: 400",
        ),
        (
            said(|| drop(answer.json_as::<Vec<u8>>())),
            "the body is not the expected JSON: invalid type: map",
        ),
    ] {
        assert!(sentence.starts_with(begins), "{sentence}");
    }
}
