//! Which session gets which sandbox, and how long it keeps it.

use std::collections::HashSet;
use std::time::Duration;

use agentcore_local::{EndCause, Event, Limits};
use serde_json::json;

use crate::support::{Running, SESSION, body_of, eventually, is_alive, limits};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_finds_what_it_left_and_others_do_not() {
    let door = Running::start().await;
    assert_eq!(door.ask("one", json!({})).await["count"], 1);
    assert_eq!(door.ask("one", json!({})).await["count"], 2);
    let other = door.ask("two", json!({})).await;
    assert_eq!(other["count"], 1);
    let again = door.ask("one", json!({})).await;
    assert_eq!(again["count"], 3);

    for private in ["HOME", "TMPDIR", "AGENTCORE_LISTEN"] {
        assert_ne!(
            again["environment"][private], other["environment"][private],
            "{private}"
        );
    }
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_has_the_environment_it_was_given_and_no_other() {
    let door = Running::start().await;
    let report = door.ask("one", json!({})).await;
    let environment = report["environment"].as_object().unwrap();
    let names: HashSet<&str> = environment.keys().map(String::as_str).collect();
    let expected = [
        "HOME",
        "TMPDIR",
        "AGENTCORE_LISTEN",
        "AGENTCORE_SANDBOX",
        "AGENTCORE_OUTPUT",
        "GREETING",
        "TEST_DIR",
    ];
    assert_eq!(names, HashSet::from(expected));
    let home = environment["HOME"].as_str().unwrap();
    assert!(
        home.starts_with(door.file("run").to_str().unwrap()),
        "{home}"
    );
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_calls_of_one_session_make_one_sandbox() {
    let door = Running::start().await;
    door.ask("takes the waiting one", json!({})).await;
    let calls = (0..20).map(|_| door.ask("crowd", json!({})));
    let reports = futures_util::future::join_all(calls).await;
    let pids: HashSet<_> = reports.iter().map(|it| it["pid"].as_u64()).collect();
    assert_eq!(pids.len(), 1);
    let mut counts: Vec<_> = reports
        .iter()
        .filter_map(|it| it["count"].as_u64())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<_>>());
    let started = |event: &Event| matches!(event, Event::SandboxStarting { .. });
    assert_eq!(door.events().iter().filter(|it| started(it)).count(), 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_session_takes_the_sandbox_that_waits() {
    let door = Running::start().await;
    let waiting = &door.status().await.sandboxes[0];
    assert_eq!(waiting.session, None);
    let waiting = waiting.pid.unwrap();
    assert_eq!(door.pid("first").await, waiting);
    assert_ne!(door.pid("second").await, waiting);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_session_is_told_which_it_got() {
    let door = Running::start().await;
    let post = || door.client.post(format!("{}/invocations", door.url));
    let mut made = HashSet::new();
    for request in [post(), post(), post().header(SESSION, "")] {
        let response = request.body("{}").send().await.unwrap();
        let session = response.headers()[SESSION].to_str().unwrap().to_owned();
        assert_eq!(session.len(), 36);
        let report = body_of(response).await;
        assert_eq!(report["headers"][SESSION], session.as_str());
        assert_eq!(report["count"], 1);
        made.insert(session);
    }
    assert_eq!(made.len(), 3);
    let given = door.call("my own", json!({})).await;
    assert_eq!(given.headers()[SESSION], "my own");
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_a_new_session_is_refused_and_old_ones_go_on() {
    let few = Limits {
        max_sandboxes: 2,
        ..limits()
    };
    let door = Running::limited(few).await;
    door.ask("one", json!({})).await;
    door.ask("two", json!({})).await;
    let response = door.call("three", json!({})).await;
    assert_eq!(response.status(), 429);
    let body = body_of(response).await;
    assert_eq!(
        body["error"],
        "no sandbox is free for another session: the limit is 2"
    );
    assert_eq!(door.ask("two", json!({})).await["count"], 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_sandbox_ends_and_the_session_gets_a_fresh_one() {
    let short = Limits {
        idle_timeout: Duration::from_secs(1),
        ..limits()
    };
    let door = Running::limited(short).await;
    let pid = door.pid("one").await;
    eventually("the sandbox ends", || !is_alive(pid)).await;
    let ended = |event: &Event| {
        matches!(
            event,
            Event::SandboxEnded {
                cause: EndCause::Idle { seconds: 1 },
                ..
            }
        )
    };
    eventually("the end is told", || door.events().iter().any(ended)).await;
    assert_eq!(door.ask("one", json!({})).await["count"], 1);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_the_background_keeps_a_sandbox_until_it_is_done() {
    let short = Limits {
        idle_timeout: Duration::from_millis(200),
        ..limits()
    };
    let door = Running::limited(short).await;
    door.ask("one", json!({ "do": "busy", "busy": true })).await;
    let pid = door.status().await.sandboxes[0].pid.unwrap();
    // Fifteen times the idle time, and longer than two pings are apart.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(is_alive(pid));
    assert!(door.status().await.sandboxes[0].busy);
    assert_eq!(door.pid("one").await, pid);
    door.ask("one", json!({ "do": "busy", "busy": false }))
        .await;
    eventually("the sandbox ends", || !is_alive(pid)).await;
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_invocation_keeps_a_sandbox() {
    let short = Limits {
        idle_timeout: Duration::from_millis(200),
        ..limits()
    };
    let door = Running::limited(short).await;
    let order = json!({ "do": "hang", "dir": door.dir.path() });
    let hanging = tokio::spawn(door.post("/invocations", "one", &order).send());
    let entered = door.file("entered");
    eventually("the call is in the agent", || entered.exists()).await;
    let pid = door.status().await.sandboxes[0].pid.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(is_alive(pid));
    assert_eq!(door.status().await.sandboxes[0].open, 1);
    hanging.abort();
    eventually("the sandbox ends", || !is_alive(pid)).await;
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_the_longest_lifetime() {
    let short = Limits {
        max_lifetime: Duration::from_secs(1),
        ..limits()
    };
    let door = Running::limited(short).await;
    let response = door
        .call("one", json!({ "do": "hang", "dir": door.dir.path() }))
        .await;
    assert_eq!(response.status(), 500);
    let body = body_of(response).await;
    assert_eq!(body["error_type"], "SandboxDied");
    assert_eq!(
        body["error"],
        "the sandbox of this session ended: its longest lifetime of 1 second is over"
    );
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_runs() {
    let door = Running::start().await;
    door.ask("one", json!({})).await;
    door.ask("one", json!({})).await;
    let status = door.status().await;
    assert_eq!(status.instance, "instance-1");
    assert_eq!(status.agent, "my_agent");
    assert_eq!(status.pid, std::process::id());
    assert_eq!(status.max_sandboxes, 16);
    let [sandbox] = &status.sandboxes[..] else {
        panic!("{status:?}");
    };
    assert_eq!(sandbox.session.as_ref().unwrap().as_str(), "one");
    assert_eq!(
        (sandbox.invocations, sandbox.open, sandbox.busy),
        (2, 0, false)
    );
    assert!(sandbox.last_used.unwrap() >= sandbox.started);
    assert!(sandbox.log_tail.is_empty());
    door.end().await;
}
