//! The status of an app as its callers see it: forced, custom and automatic, with the agent's threads blocked, and debug
//! actions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentcore_runtime::{App, PingStatus, Router};
use futures_util::future;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Blockade, PATIENCE, Server, expect, invocation, request, send};

fn echo() -> App {
    App::new(async |payload: Value| payload)
}

async fn ping(router: &Router) -> String {
    let answer = request(router.clone(), Method::GET, "/ping").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.body
}

fn status_in(ping: &str) -> String {
    let ping: Value = serde_json::from_str(ping).unwrap();
    assert!(ping["time_of_last_update"].is_u64(), "{ping}");
    ping["status"].as_str().unwrap().to_owned()
}

/// Pings until the status is `expected`: the custom handler's thread may be slow on a loaded machine.
async fn until_status(router: &Router, expected: &str) {
    let comes = async {
        while status_in(&ping(router).await) != expected {
            tokio::task::yield_now().await;
        }
    };
    expect(expected, comes).await;
}

#[tokio::test]
async fn a_forced_status_comes_before_the_custom_one_and_that_before_the_automatic_one() {
    let says = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&says);
    let app = echo().ping(move || {
        let told = heard.load(Ordering::Relaxed);
        told.then_some(PingStatus::HealthyBusy)
    });
    let (health, tasks) = (app.health().clone(), app.tasks().clone());
    let router = app.router();
    until_status(&router, "Healthy").await;
    says.store(true, Ordering::Relaxed);
    until_status(&router, "HealthyBusy").await;
    health.force_ping_status(PingStatus::Healthy);
    assert_eq!(status_in(&ping(&router).await), "Healthy");
    assert_eq!(health.current_ping_status(), PingStatus::Healthy);
    health.clear_forced_ping_status();
    until_status(&router, "HealthyBusy").await;
    says.store(false, Ordering::Relaxed);
    until_status(&router, "Healthy").await;
    let _task = tasks.guard("work");
    until_status(&router, "HealthyBusy").await;
}

#[tokio::test]
async fn a_custom_handler_that_panics_or_fails_leaves_the_status_automatic() {
    let apps = [
        echo().ping(|| -> PingStatus { panic!("on purpose") }),
        echo().ping(async || -> Option<PingStatus> { panic!("on purpose") }),
        echo().ping(|| Err::<PingStatus, _>("on purpose")),
        echo().ping(async || "Unhealthy".parse::<PingStatus>()),
    ];
    for app in apps {
        let tasks = app.tasks().clone();
        let router = app.router();
        let idle = ping(&router).await;
        assert_eq!(status_in(&idle), "Healthy");
        assert_eq!(ping(&router).await, idle, "the time stays");
        let _task = tasks.guard("work");
        assert_eq!(status_in(&ping(&router).await), "HealthyBusy");
    }
}

#[tokio::test]
async fn a_custom_handler_that_hangs_delays_no_ping_for_long() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let app = echo().ping(move || {
        let _ = released.lock().unwrap().recv();
        PingStatus::HealthyBusy
    });
    let router = app.router();
    for _ in 0..5 {
        let answer = expect("a ping", ping(&router)).await;
        assert_eq!(status_in(&answer), "Healthy");
    }
    drop(release);
    until_status(&router, "HealthyBusy").await;
}

#[tokio::test]
async fn a_custom_handler_answers_while_every_thread_of_the_agent_is_blocked() {
    let blockade = Blockade::new();
    let blocks = blockade.clone();
    let app = App::new(move |_: Value| {
        let blocks = blocks.clone();
        async move { blocks.block() }
    });
    let busy = async || {
        tokio::time::sleep(Duration::from_millis(1)).await;
        PingStatus::HealthyBusy
    };
    let server = Server::start(app.ping(busy)).await;
    let client = reqwest::Client::new();
    let calls: Vec<_> = (0..blockade.threads)
        .map(|_| tokio::spawn(client.post(server.url("/invocations")).body("1").send()))
        .collect();
    blockade.is_complete().await;
    let told = async {
        loop {
            let answer = reqwest::get(server.url("/ping")).await.unwrap();
            if status_in(&answer.text().await.unwrap()) == "HealthyBusy" {
                return;
            }
        }
    };
    expect("the custom status", told).await;
    blockade.lift();
    for call in future::join_all(calls).await {
        assert_eq!(call.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn the_custom_handler_is_gone_with_its_app() {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let app = echo().ping(move || {
        assert!(!ended.is_closed());
        PingStatus::Healthy
    });
    let health = app.health().clone();
    let server = Server::start(app).await;
    let answer = reqwest::get(server.url("/ping")).await.unwrap();
    assert_eq!(answer.status(), 200);
    expect("the server to end", server.stop())
        .await
        .unwrap()
        .unwrap();
    assert!(expect("the handler's end", end).await.is_err());
    assert_eq!(health.current_ping_status(), PingStatus::Healthy);
}

async fn act(router: &Router, action: &Value) -> (u16, String) {
    let payload = json!({ "_agent_core_app_action": action, "prompt": "ignored" });
    let answer = send(router.clone(), invocation(&payload.to_string())).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    (answer.status.as_u16(), answer.body)
}

#[tokio::test]
async fn debug_actions_force_and_read_what_ping_says() {
    let app = echo().debug(true);
    let tasks = app.tasks().clone();
    let router = app.router();
    let ok = |body: &str| (200, body.to_owned());
    let ping_status = json!("ping_status");

    let idle = ping(&router).await;
    assert_eq!(act(&router, &ping_status).await, ok(&idle));
    let forced = ok(r#"{"forced_status":"HealthyBusy"}"#);
    assert_eq!(act(&router, &json!("force_busy")).await, forced);
    let busy = act(&router, &ping_status).await.1;
    assert_eq!(status_in(&busy), "HealthyBusy");
    assert_eq!(ping(&router).await, busy, "one time of the last change");
    let forced = ok(r#"{"forced_status":"Healthy"}"#);
    assert_eq!(act(&router, &json!("force_healthy")).await, forced);
    let _task = tasks.guard("manual");
    assert_eq!(status_in(&ping(&router).await), "Healthy");
    let cleared = ok(r#"{"forced_status":"Cleared"}"#);
    assert_eq!(act(&router, &json!("clear_forced_status")).await, cleared);
    assert_eq!(status_in(&ping(&router).await), "HealthyBusy");

    let (status, jobs) = act(&router, &json!("job_status")).await;
    assert_eq!(status, 200);
    let start = r#"{"active_count":1,"running_jobs":[{"name":"manual","duration":"#;
    assert!(jobs.starts_with(start), "{jobs}");
    let jobs: Value = serde_json::from_str(&jobs).unwrap();
    let seconds = jobs["running_jobs"][0]["duration"].as_f64().unwrap();
    assert!(
        (0.0..PATIENCE.as_secs_f64()).contains(&seconds),
        "{seconds}"
    );

    let unknown = (400, r#"{"error":"Unknown action: nope"}"#.to_owned());
    assert_eq!(act(&router, &json!("nope")).await, unknown);
    let refused = r#"{"error":"Debug action failed","details":"unhashable type: 'dict'"}"#;
    let answer = act(&router, &json!({ "a": 1 })).await;
    assert_eq!(answer, (500, refused.to_owned()));
}

#[tokio::test]
async fn without_debug_mode_an_action_is_a_payload() {
    let payload = r#"{"_agent_core_app_action": "force_busy"}"#;
    let app = echo();
    let health = app.health().clone();
    let answer = send(app.router(), invocation(payload)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, payload)
    );
    assert_eq!(health.current_ping_status(), PingStatus::Healthy);
}

#[tokio::test]
async fn in_debug_mode_other_payloads_are_the_handlers() {
    let router = echo().debug(true).router();
    for payload in [
        "null",
        "[1]",
        "\"a\"",
        "7",
        r#"{"_agent_core_app_action": ""}"#,
    ] {
        let answer = send(router.clone(), invocation(payload)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (200, payload)
        );
    }
    let broken = send(router, invocation(r#"{"_agent_core_app_action""#)).await;
    assert_eq!(broken.status, 400);
    assert!(
        broken.body.starts_with(r#"{"error":"Invalid JSON""#),
        "{}",
        broken.body
    );
}

#[tokio::test]
async fn the_question_for_the_status_does_not_count_as_an_invocation() {
    let app = echo().debug(true).busy_while_invoking(true);
    let action = r#"{"_agent_core_app_action": "ping_status"}"#;
    let answer = send(app.router(), invocation(action)).await;
    assert_eq!(status_in(&answer.body), "Healthy");
}
