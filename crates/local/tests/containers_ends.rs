//! Containers that cannot start, die, or are ended: what callers are told, and that nothing is left.

use std::time::{Duration, Instant};

use agentcore_local::{ContainerRoot, EndCause, Event, SandboxFailure, StartError};
use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::container_image::Content;
use crate::container_support::{self as containers, Containers, set};
use crate::socket_support::{end_of, next, tell};
use crate::support::{body_of, eventually};

/// The failure of a front door that did not start.
fn failure(started: Result<Containers, StartError>) -> SandboxFailure {
    match started {
        Ok(_) => panic!("it started"),
        Err(StartError::Sandbox(failure)) => *failure,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_exits_is_told_with_its_code_and_its_last_lines() {
    let Some(it) = containers::start().await else {
        return;
    };
    it.door
        .ask(
            "one",
            json!({ "do": "print", "stdout": "", "stderr": "last words" }),
        )
        .await;
    let response = it.door.call("one", json!({ "do": "exit" })).await;
    assert_eq!(response.status(), 424);
    let body = body_of(response).await;
    assert_eq!(
        body["error"],
        "the sandbox of this session ended: exit status 7"
    );
    assert_eq!(body["error_type"], "SandboxDied");
    assert_eq!(
        (&body["exit_code"], &body["oom_killed"]),
        (&json!(7), &json!(false))
    );
    assert!(
        body["details"].as_str().unwrap().ends_with("last words"),
        "{body}"
    );
    assert_eq!(body.get("hint"), None);
    let cause = EndCause::Exited { status: 7 };
    let ended =
        |event: &Event| matches!(event, Event::SandboxEnded { cause: told, .. } if *told == cause);
    eventually("its end is told", || it.door.events().iter().any(ended)).await;
    assert_eq!(it.door.ask("one", json!({})).await["count"], 1);
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_needs_too_much_memory_is_told_so() {
    let started = containers::start_with(Content::Agent, |spec, _| spec.memory = 64 << 20);
    let Some(it) = started.await else {
        return;
    };
    let it = it.unwrap();
    let order = json!({ "do": "look", "at": "memory", "path": (200_u32 << 20).to_string() });
    let response = it.door.call("one", order).await;
    assert_eq!(response.status(), 424);
    let body = body_of(response).await;
    assert_eq!(
        body["error"],
        "the sandbox of this session ended: out of memory: it may use 64 MB"
    );
    assert_eq!(
        (&body["exit_code"], &body["oom_killed"]),
        (&json!(137), &json!(true))
    );
    assert_eq!(
        body["hint"],
        "make it need less: in the cloud a session has 8 GB"
    );
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_container_dies_ends_with_all_that_is_known() {
    let Some(it) = containers::start().await else {
        return;
    };
    let order = json!({ "do": "stream", "dir": "/tmp" });
    let response = it.door.call("one", order).await;
    assert_eq!(response.status(), 200);
    let other = it.door.call("one", json!({ "do": "exit" }));
    let (text, _) = tokio::join!(response.text(), other);
    let text = text.unwrap();
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let event: serde_json::Value =
        serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(
        event["error"],
        "the sandbox of this session ended: exit status 7"
    );
    assert_eq!(event["error_type"], "SandboxDied");
    assert_eq!(event["message"], "An error occurred during streaming");
    assert_eq!(
        (&event["exit_code"], &event["oom_killed"]),
        (&json!(7), &json!(false))
    );
    assert!(event["details"].is_string());
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_reaches_into_a_container_and_ends_with_it() {
    let Some(it) = containers::start().await else {
        return;
    };
    let mut socket = it.door.socket("one").await;
    assert_eq!(tell(&mut socket, "hi").await, "hi");
    let large = Message::binary(vec![7; 1 << 20]);
    socket.send(large.clone()).await.unwrap();
    assert!(next(&mut socket).await == large);
    let mut hung_up = it.door.socket("one").await;
    hung_up.send(Message::text("hang up")).await.unwrap();
    assert_eq!(end_of(&mut hung_up).await, None);
    it.door.call("one", json!({ "do": "exit" })).await;
    let reason = "the sandbox of this session ended: exit status 7";
    assert_eq!(end_of(&mut socket).await, Some((1011, reason.to_owned())));
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_load_fails_the_start_with_reason_and_hint() {
    let started =
        containers::start_with(Content::Agent, |spec, _| set(spec, "TEST_START", "crash"));
    let Some(started) = started.await else {
        return;
    };
    let failure = failure(started);
    assert_eq!(
        failure.to_string(),
        "the sandbox could not start: ModuleNotFoundError: No module named 'numpi' (exit status 3)"
    );
    assert_eq!(failure.container.unwrap().exit_code, 3);
    let hint = failure.hint.unwrap();
    assert!(
        hint.contains("`numpi` in the agent's dependency file"),
        "{hint}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_listens_inside_only_is_given_up_long_before_the_limit() {
    let started = containers::start_with(Content::Agent, |spec, _| {
        set(spec, "TEST_LISTEN", "127.0.0.1:8080");
    });
    let begun = Instant::now();
    let Some(started) = started.await else {
        return;
    };
    let failure = failure(started);
    assert!(
        begun.elapsed() < Duration::from_mins(1),
        "{:?}",
        begun.elapsed()
    );
    let address = "127.0.0.1:8080".parse().unwrap();
    assert_eq!(failure.cause, EndCause::Unreachable { address });
    let hint = failure.hint.unwrap();
    assert!(hint.contains("make it listen on 0.0.0.0:8080"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_listens_elsewhere_has_its_hint_at_the_limit() {
    let started = containers::start_with(Content::Agent, |spec, config| {
        set(spec, "TEST_LISTEN", "0.0.0.0:9000");
        config.limits.start_limit = Duration::from_secs(3);
    });
    let Some(started) = started.await else {
        return;
    };
    let failure = failure(started);
    assert_eq!(
        failure.to_string(),
        "the sandbox could not start: nothing answers on port 8080 of the container \
         (no healthy answer to `/ping` within 3 seconds)"
    );
    let hint = failure.hint.unwrap();
    assert!(
        hint.contains("listens on 0.0.0.0:9000, and calls come on port 8080"),
        "{hint}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_another_processor_is_told_so() {
    for root in [ContainerRoot::AsBuilt, read_only()] {
        let started = containers::start_with(Content::Foreign, |spec, _| spec.root = root.clone());
        let Some(started) = started.await else {
            return;
        };
        let failure = failure(started);
        let hint = failure.hint.as_deref().unwrap_or_default();
        assert!(
            hint.contains("for another processor"),
            "{root:?}: {failure:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_its_program_is_told_so() {
    let started = containers::start_with(Content::Nothing, |spec, _| {
        spec.root = ContainerRoot::AsBuilt;
    });
    let Some(started) = started.await else {
        return;
    };
    let failure = failure(started);
    assert!(
        matches!(failure.cause, EndCause::NotStarted { .. }),
        "{failure:?}"
    );
    let hint = failure.hint.unwrap();
    assert!(hint.contains("no `/agent`"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_there_is_told_so() {
    let started = containers::start_with(Content::Agent, |spec, _| {
        spec.image = "agentcore-test-local:nowhere".into();
    });
    let Some(started) = started.await else {
        return;
    };
    let failure = failure(started);
    let EndCause::NotStarted { error } = failure.cause else {
        panic!("{failure:?}");
    };
    assert!(error.contains("agentcore-test-local:nowhere"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_fails_the_start() {
    let started = containers::start_with(Content::Agent, |spec, _| {
        spec.endpoint = agentcore_docker::Endpoint::Unix("/nowhere/docker.sock".into());
    });
    let Some(started) = started.await else {
        return;
    };
    let Err(error) = started else {
        panic!("it started");
    };
    assert!(matches!(error, StartError::Engine(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_somebody_else_removes_is_told_so() {
    let Some(it) = containers::start().await else {
        return;
    };
    it.door.ask("one", json!({})).await;
    it.container_of(Some("one")).await.remove().await.unwrap();
    let ended = |event: &Event| {
        let Event::SandboxEnded { cause, .. } = event else {
            return false;
        };
        // Killed first: which of the two is seen is a matter of moments.
        matches!(cause, EndCause::Removed | EndCause::Signalled { signal: 9 })
    };
    eventually("its end is told", || it.door.events().iter().any(ended)).await;
    assert_eq!(it.door.ask("one", json!({})).await["count"], 1);
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_stopped_leaves_no_container() {
    let Some(it) = containers::start().await else {
        return;
    };
    let session = "session-with-thirty-three-characters";
    it.door.ask(session, json!({})).await;
    it.spares_are_ready(1).await;
    assert_eq!(it.containers().await.len(), 2);
    let arn = "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Ftest-local-a1B2c3D4e5";
    let stop = format!("/runtimes/{arn}/stopruntimesession");
    let stopped = it
        .door
        .post(&stop, session, &json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(stopped.status(), 200);
    assert_eq!(it.containers().await.len(), 1, "the spare");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stubborn_containers_are_killed_at_the_same_time() {
    let started = containers::start_with(Content::Agent, |spec, _| {
        set(spec, "TEST_STUBBORN", "1");
    });
    let Some(it) = started.await else {
        return;
    };
    let it = it.unwrap();
    let calls = ["one", "two", "three"].map(|session| it.door.ask(session, json!({})));
    futures_util::future::join_all(calls).await;
    it.spares_are_ready(1).await;
    let begun = Instant::now();
    it.end().await;
    // Each has five seconds before it is killed.
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(15),
        "{took:?}"
    );
}

fn read_only() -> ContainerRoot {
    ContainerRoot::ReadOnly {
        home: crate::container_image::HOME.into(),
        uid: crate::container_image::UID,
    }
}
