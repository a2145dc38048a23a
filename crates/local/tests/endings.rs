//! Sandboxes that die, and everything that must be gone when one has ended.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use agentcore_local::{EndCause, Event, FrontDoor, Limits};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{PATIENCE, Running, body_of, config, eventually, is_alive, kill, limits, set};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_front_door_that_is_dropped_lets_its_callers_go() {
    let door = Running::start().await;
    let address = door.url.strip_prefix("http://").unwrap().to_owned();
    let mut caller = tokio::net::TcpStream::connect(address).await.unwrap();
    let ping = b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n";
    caller.write_all(ping).await.unwrap();
    assert_eq!(caller.read_u8().await.unwrap(), b'H');
    door.abort().await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, caller.read_to_end(&mut rest)).await;
    read.expect("the connection to end").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_given_up_starts_nothing_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    set(&mut config, "TEST_START", "never listen");
    let (starting, started) = tokio::sync::oneshot::channel();
    let (go_on, goes_on) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let at_start = Mutex::new(Some((starting, goes_on)));
    config.events = Arc::new(move |event| match event {
        // Between the decision to start a process and its start.
        Event::SandboxStarting { .. } => {
            let (starting, goes_on) = at_start.lock().unwrap().take().unwrap();
            starting.send(()).unwrap();
            goes_on.recv().unwrap();
        }
        Event::SandboxEnded { cause, .. } => ended.send(cause).unwrap(),
        _ => {}
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    {
        let start = FrontDoor::start(config, listener);
        tokio::select! {
            _ = start => panic!("nobody listens"),
            heard = started => heard.unwrap(),
        }
    }
    go_on.send(()).unwrap();
    let cause = tokio::task::spawn_blocking(move || end.recv_timeout(PATIENCE));
    assert_eq!(cause.await.unwrap(), Ok(EndCause::FrontDoorEnded));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hears_of_events_may_panic() {
    let started = Running::start_with(|config| {
        config.events = Arc::new(|_| panic!("this is what the test is about"));
    });
    let door = started.await.unwrap();
    // More than a pipe holds: the agent would fail if nobody read it any more.
    for _ in 0..2 {
        let flood = json!({ "do": "flood", "lines": 500 });
        assert_eq!(door.call("one", flood).await.status(), 200);
    }
    assert_eq!(door.status().await.sandboxes[0].invocations, 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "elsewhere the folder of descriptors holds more than the open ones"
)]
async fn sessions_that_come_and_go_leave_no_descriptor() {
    const MANY: usize = 40;
    let short = Limits {
        max_sandboxes: 2 * MANY,
        idle_timeout: Duration::from_millis(200),
        ..limits()
    };
    let door = Running::limited(short).await;
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    for round in 0..2 {
        let sessions: Vec<_> = (0..MANY).map(|it| format!("{round}-{it}")).collect();
        let calls = sessions.iter().map(|it| door.call(it, json!({})));
        for response in futures_util::future::join_all(calls).await {
            assert_eq!(response.status(), 200);
        }
    }
    let mut left = 1;
    while left > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        left = door.status().await.sandboxes.len();
    }
    // The client keeps connections of its own for a while, two ends each.
    let door = door.with_fresh_client();
    eventually("the descriptors are closed", || descriptors() <= before).await;
    door.end().await;
}
