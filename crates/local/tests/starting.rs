//! Front doors and sandboxes that start, take their time, or cannot.

use std::time::Duration;

use agentcore_local::{EndCause, Event, Limits, OutputStream, SandboxKind, StartError};
use serde_json::json;

use crate::support::{Running, body_of, eventually, kill, limits, set};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_load_fails_the_start_with_its_own_reason() {
    let Err(error) = Running::start_with(|config| set(config, "TEST_START", "crash")).await else {
        panic!("it started");
    };
    assert_eq!(
        error.to_string(),
        "the sandbox could not start: ModuleNotFoundError: No module named 'numpi' (exit status 3)"
    );
    let StartError::Sandbox(failure) = error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.cause, EndCause::Exited { status: 3 });
    assert_eq!(failure.log_tail[0], "Traceback (most recent call last):");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_listens_fails_the_start_at_the_limit() {
    let short = Limits {
        start_limit: Duration::from_secs(1),
        ..limits()
    };
    let started = Running::start_with(|config| {
        config.limits = short;
        set(config, "TEST_START", "never listen");
    });
    let Err(error) = started.await else {
        panic!("it started");
    };
    assert_eq!(
        error.to_string(),
        "the sandbox could not start: nothing listens on the socket in `AGENTCORE_LISTEN` \
         (no healthy answer to `/ping` within 1 second)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_fails_the_start() {
    let started = Running::start_with(|config| {
        let SandboxKind::Process(process) = &mut config.spec.kind else {
            panic!("the tests run processes");
        };
        process.program = "/nowhere/agent".into();
    });
    let Err(error) = started.await else {
        panic!("it started");
    };
    assert!(
        error.to_string().contains("`/nowhere/agent` cannot be run"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_says_starting_is_waited_for() {
    let door = Running::start_with(|config| set(config, "TEST_START", "slowly"))
        .await
        .unwrap();
    assert_eq!(door.ask("one", json!({})).await["count"], 1);
    assert_eq!(door.ask("two", json!({})).await["count"], 1);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_cannot_start_answers_424_with_its_reason() {
    let door = Running::start_with(|config| set(config, "TEST_START", "crash the second time"))
        .await
        .unwrap();
    door.ask("one", json!({})).await;
    let response = door.call("two", json!({})).await;
    assert_eq!(response.status(), 424);
    let body = body_of(response).await;
    assert_eq!(
        body["error"],
        "the sandbox could not start: no second time (exit status 4)"
    );
    assert_eq!(body["error_type"], "SandboxNotStarted");
    assert_eq!(body["details"], "no second time");

    // The next call tries again.
    std::fs::remove_file(door.file("started")).unwrap();
    assert_eq!(door.ask("two", json!({})).await["count"], 1);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_agents_write_is_told_with_their_session() {
    let door = Running::start().await;
    door.ask(
        "one",
        json!({ "do": "print", "stdout": "no end", "stderr": "an error" }),
    )
    .await;
    let heard = |wanted: &str, on: OutputStream| {
        door.events().iter().any(|event| {
            matches!(event, Event::Output { session: Some(session), stream, line, .. }
                if session.as_str() == "one" && *stream == on && line == wanted)
        })
    };
    eventually("the line is told", || {
        heard("an error", OutputStream::Stderr)
    })
    .await;
    kill(door.status().await.sandboxes[0].pid.unwrap());
    eventually("the last line is told", || {
        heard("no end", OutputStream::Stdout)
    })
    .await;
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_flood_is_told() {
    let door = Running::start().await;
    door.ask("one", json!({ "do": "flood", "lines": 20_000 }))
        .await;
    let lines = || {
        let events = door.events();
        let line =
            |event: &&Event| matches!(event, Event::Output { line, .. } if line.len() == 1000);
        events.iter().filter(line).count()
    };
    eventually("all lines are told", || lines() == 20_000).await;
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lives_of_sandboxes_are_told_in_order() {
    let door = Running::start().await;
    door.ask("one", json!({})).await;
    kill(door.pid("one").await);
    let is_end = |event: &Event| matches!(event, Event::SandboxEnded { .. });
    eventually("the end is told", || door.events().iter().any(is_end)).await;
    let told: Vec<String> = door
        .events()
        .iter()
        .filter(|event| !matches!(event, Event::Output { .. }))
        .map(|event| {
            serde_json::to_value(event).unwrap()["event"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        told,
        [
            "sandbox_starting",
            "sandbox_ready",
            "session_started",
            "sandbox_ended"
        ]
    );
    door.end().await;
}
