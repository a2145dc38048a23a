//! The managed service's own routes, as an AWS SDK calls them.

use agentcore_local::Limits;
use serde_json::json;

use crate::support::{ARN, Running, SESSION, body_of, is_alive, limits, set};

const LONG: &str = "session-with-thirty-three-characters";

fn path(arn: &str, operation: &str) -> String {
    let arn = arn.replace(':', "%3A").replace('/', "%2F");
    format!("/runtimes/{arn}/{operation}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_by_arn_reaches_the_same_session() {
    let door = Running::start().await;
    let by_arn = format!("{}?qualifier=DEFAULT", path(ARN, "invocations"));
    let request = door
        .post(&by_arn, LONG, &json!({}))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=…")
        .header("x-amz-security-token", "secret")
        .header("x-amz-date", "20260101T000000Z");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[SESSION], LONG);
    assert!(response.headers().contains_key("x-amzn-requestid"));
    let report = body_of(response).await;
    assert_eq!(report["uri"], "/invocations");
    for hidden in ["authorization", "x-amz-security-token", "x-amz-date"] {
        assert!(report["headers"].get(hidden).is_none(), "{hidden}");
    }
    assert_eq!(door.ask(LONG, json!({})).await["count"], 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_rules_hold() {
    let door = Running::start().await;
    let other = ARN.replace("my_agent", "other");
    for (arn, session, status, error_type) in [
        (ARN, "short", 400, "ValidationException"),
        (other.as_str(), LONG, 404, "ResourceNotFoundException"),
        ("arn:aws:s3:::bucket", LONG, 400, "ValidationException"),
    ] {
        let response = door
            .post(&path(arn, "invocations"), session, &json!({}))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{arn} {session}");
        assert_eq!(response.headers()["x-amzn-errortype"], error_type);
        assert!(body_of(response).await["message"].is_string());
    }
    let url = format!("{}{}", door.url, path(ARN, "invocations"));
    let made = door.client.post(url).body("{}").send().await.unwrap();
    assert_eq!(made.headers()[SESSION].len(), 36);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_error_becomes_424_and_is_shown() {
    let door = Running::start().await;
    let order = json!({ "do": "fail" });
    let response = door
        .post(&path(ARN, "invocations"), LONG, &order)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 424);
    assert_eq!(response.headers()["x-amzn-errortype"], "RuntimeClientError");
    assert_eq!(response.headers()[SESSION], LONG);
    let body = body_of(response).await;
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .starts_with("Received error (422) from runtime.")
    );
    assert_eq!(body["runtime_status"], 422);
    assert_eq!(
        body["runtime_error"],
        json!({ "error": "no", "error_type": "ValueError" })
    );
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn troubles_have_the_services_names() {
    let one = Limits {
        max_sandboxes: 1,
        ..limits()
    };
    let door = Running::start_with(|config| {
        config.limits = one;
        set(config, "TEST_START", "crash the second time");
    });
    let door = door.await.unwrap();
    let invoke = |session: &str, order: serde_json::Value| {
        let request = door.post(&path(ARN, "invocations"), session, &order);
        async move { request.send().await.unwrap() }
    };
    let died = invoke(LONG, json!({ "do": "exit" })).await;
    assert_eq!(died.status(), 424);
    let body = body_of(died).await;
    assert_eq!(
        body["message"],
        "the sandbox of this session ended: exit status 7"
    );

    let failed = invoke(LONG, json!({})).await;
    assert_eq!(failed.status(), 424);
    let body = body_of(failed).await;
    assert_eq!(
        body["message"],
        "the sandbox could not start: no second time (exit status 4)"
    );

    std::fs::remove_file(door.file("started")).unwrap();
    assert_eq!(invoke(LONG, json!({})).await.status(), 200);
    let full = invoke(&LONG.replace('-', "_"), json!({})).await;
    assert_eq!(full.status(), 429);
    assert_eq!(full.headers()["x-amzn-errortype"], "ThrottlingException");
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_what_has_no_trace_and_does_not_listen() {
    let door = Running::start().await;
    let other = door.pid("other").await;
    // Its parent obeys at once, and then nothing shows any more where it came from.
    let daemon = door.daemon(LONG, "stubborn daemon", true).await;
    let stop = door.post(&path(ARN, "stopruntimesession"), LONG, &json!({}));
    assert_eq!(stop.send().await.unwrap().status(), 200);
    assert!(!is_alive(daemon));
    assert!(is_alive(other));
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_can_be_stopped_once() {
    let door = Running::start().await;
    let pid = door.pid(LONG).await;
    let daemon = door.daemon(LONG, "daemon's parent", false).await;
    let stop = path(ARN, "stopruntimesession?qualifier=DEFAULT");
    let stopped = door
        .post(&stop, LONG, &json!({ "clientToken": "t" }))
        .send()
        .await
        .unwrap();
    assert_eq!(stopped.status(), 200);
    assert!(
        !is_alive(pid) && !is_alive(daemon),
        "it answers when all is gone"
    );
    let again = door.post(&stop, LONG, &json!({})).send().await.unwrap();
    assert_eq!(again.status(), 404);
    assert_eq!(
        again.headers()["x-amzn-errortype"],
        "ResourceNotFoundException"
    );
    assert_eq!(door.ask(LONG, json!({})).await["count"], 1);
    door.end().await;
}
