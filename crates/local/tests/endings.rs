//! Sandboxes that die, and everything that must be gone when one has ended.

use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::support::{Running, body_of, eventually, is_alive, kill};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_sandbox_fails_the_call_in_it_and_the_next_gets_a_fresh_one() {
    let door = Running::start().await;
    let order = json!({ "do": "hang", "dir": door.dir.path() });
    let hanging = tokio::spawn(door.post("/invocations", "one", &order).send());
    let entered = door.file("entered");
    eventually("the call is in the agent", || entered.exists()).await;
    kill(door.status().await.sandboxes[0].pid.unwrap());

    let response = hanging.await.unwrap().unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(
        body_of(response).await,
        json!({
            "error": "the sandbox of this session ended: signal 9 (SIGKILL)",
            "error_type": "SandboxDied",
        })
    );
    assert_eq!(door.ask("one", json!({})).await["count"], 1);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_exits_is_told_with_its_status() {
    let door = Running::start().await;
    let body = body_of(door.call("one", json!({ "do": "exit" })).await).await;
    assert_eq!(
        body["error"],
        "the sandbox of this session ended: exit status 7"
    );
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_killed_between_calls_is_replaced_without_an_error() {
    let door = Running::start().await;
    for _ in 0..5 {
        let report = door.ask("one", json!({})).await;
        assert_eq!(report["count"], 1);
        kill(u32::try_from(report["pid"].as_u64().unwrap()).unwrap());
        // A process is not dead before its last thread is: until then its socket takes calls.
        let listen = report["environment"]["AGENTCORE_LISTEN"].as_str().unwrap();
        let socket = listen.strip_prefix("unix:").unwrap();
        eventually("nobody listens", || UnixStream::connect(socket).is_err()).await;
    }
    assert_eq!(door.ask("one", json!({})).await["count"], 1);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_end_with_the_front_door() {
    let door = Running::start().await;
    let mut daemons = Vec::new();
    for kind in ["daemon", "daemon's parent"] {
        daemons.push(door.daemon("one", kind, false).await);
        daemons.push(door.daemon("two", kind, false).await);
    }
    assert!(daemons.iter().all(|&pid| is_alive(pid)));
    door.end().await;
    assert!(!daemons.iter().any(|&pid| is_alive(pid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_of_a_killed_sandbox_end_and_those_of_another_stay() {
    let door = Running::start().await;
    let daemon = door.daemon("one", "daemon", false).await;
    let detached = door.daemon("one", "daemon's parent", false).await;
    let others = door.daemon("two", "daemon's parent", false).await;
    kill(door.pid("one").await);
    eventually("the daemons end", || {
        !is_alive(daemon) && !is_alive(detached)
    })
    .await;
    assert!(is_alive(others));
    door.end().await;
    assert!(!is_alive(others));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_door_that_is_dropped_leaves_nothing() {
    let door = Running::start().await;
    let pid = door.pid("one").await;
    let daemon = door.daemon("one", "daemon's parent", false).await;
    let run_dir = door.file("run");
    door.abort().await;
    eventually("all is gone", || {
        !is_alive(pid) && !is_alive(daemon) && !run_dir.exists()
    })
    .await;
}
