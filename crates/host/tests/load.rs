//! Agents that do not load: those who wait get the reason at once, and the server is told to end.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use agentcore_host::{WorkerAgent, WorkerCommand};
use agentcore_runtime::{Agent, AgentStatus, Wants};
use serde_json::json;

use crate::support::{Fixture, eventually};

#[tokio::test]
async fn those_who_wait_get_the_reason() {
    for (mode, reason) in [
        (
            &["load-failed", "0.2"][..],
            "ModuleNotFoundError: No module named 'nothing'",
        ),
        (&["exit"], "exit status 3"),
        (&["segfault"], "signal 11 (SIGSEGV)"),
        (
            &["future"],
            "the worker speaks version 3 of the protocol, not 2",
        ),
    ] {
        let begin = Instant::now();
        let worker = Fixture::start(mode);
        assert_eq!(worker.agent.status(), AgentStatus::Starting);
        let failure = worker.fail(json!({"do": "echo"})).await;
        assert_eq!(
            failure.to_string(),
            format!("the agent could not be loaded: {reason}")
        );
        assert_eq!(failure.error_type(), Some("LoadFailed"));
        assert_eq!(worker.agent.loaded().await.unwrap_err(), reason);
        // Nobody tries again: the server ends.
        assert_eq!(worker.fail(json!({"do": "echo"})).await, failure);
        assert_eq!(worker.agent.status(), AgentStatus::Starting);
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "a time-out was waited for"
        );
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_reason() {
    let missing = WorkerCommand {
        program: "/nowhere/python".into(),
        args: vec![],
        environment: None,
    };
    let agent = WorkerAgent::start(missing, NonZeroUsize::MIN).unwrap();
    let reason = agent.loaded().await.unwrap_err();
    assert!(
        reason.starts_with("`/nowhere/python` could not be started: "),
        "{reason}"
    );
    agent.stop(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_loads_for_ever_is_given_up() {
    let worker = Fixture::start(&["hang"]);
    let failure = worker.fail(json!({"do": "echo"})).await;
    let expected = "the agent could not be loaded: it had not loaded after 120 s";
    assert_eq!(failure.to_string(), expected);
}

#[tokio::test]
async fn which_requests_an_agent_wants_is_known_when_it_has_loaded_or_will_not() {
    for (mode, wants_every_request) in [("thread", false), ("load-failed", true)] {
        let worker = Fixture::start(&[mode]);
        let Wants::NotKnownYet(known) = worker.agent.wants() else {
            panic!("nothing is loaded yet");
        };
        // Who is asked although it did not load tells why.
        assert_eq!(known.await, wants_every_request, "{mode}");
    }
}

#[tokio::test]
async fn calls_wait_for_the_agent_to_load() {
    let worker = Fixture::start(&["thread", "0.5"]);
    assert_eq!(worker.ask(json!({"do": "echo"})).await["do"], "echo");
}

#[tokio::test]
async fn a_worker_that_still_loads_can_be_stopped() {
    let home = tempfile::tempdir().unwrap();
    let started = home.path().join("started");
    let script = format!("touch {}; exec sleep 300", started.display());
    let hangs = WorkerCommand {
        program: "sh".into(),
        args: vec!["-c".into(), script.into()],
        environment: None,
    };
    for (waits, cause) in [
        (true, "signal 15 (SIGTERM)"),
        (false, "it was ended before it had started"),
    ] {
        let agent = WorkerAgent::start(hangs.clone(), NonZeroUsize::MIN).unwrap();
        if waits {
            eventually(async || started.exists()).await;
        }
        tokio::time::timeout(Duration::from_secs(20), agent.stop(Duration::from_mins(5)))
            .await
            .unwrap();
        assert_eq!(agent.loaded().await.unwrap_err(), cause);
    }
}

#[tokio::test]
async fn a_stopped_agent_refuses_calls_and_leaves_nothing() {
    let worker = Fixture::start(&["thread"]);
    let pid = worker.ask(json!({"do": "pid"})).await;
    worker.agent.stop(Duration::from_secs(5)).await;
    let failure = worker.fail(json!({"do": "echo"})).await;
    assert_eq!(
        (failure.status().as_u16(), failure.to_string()),
        (503, "the server is shutting down".into())
    );
    let pid =
        rustix::process::Pid::from_raw(i32::try_from(pid.as_i64().unwrap()).unwrap()).unwrap();
    assert!(
        rustix::process::test_kill_process(pid).is_err(),
        "the worker is still there"
    );
}

#[tokio::test]
async fn a_worker_that_does_not_stop_is_ended_with_its_children() {
    let worker = Fixture::start(&["loop"]);
    worker.agent.loaded().await.unwrap();
    // The child of the fork holds the connections, and would live for a minute.
    let failure = worker.fail(json!({"do": "die", "how": "fork"})).await;
    assert!(failure.to_string().contains("exit status 3"));
    let begin = Instant::now();
    worker.agent.stop(Duration::from_secs(1)).await;
    assert!(begin.elapsed() < Duration::from_secs(10));
}
