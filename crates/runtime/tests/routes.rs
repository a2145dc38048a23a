//! Every row of the contract's route table, without a socket.

use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::{
    Agent, AgentStatus, App, Body, BoxFuture, Invocation, Limits, Outcome, PingStatus, Router,
    ServerSettings, Wants,
};
use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::support::{invocation, request, send};

fn echo() -> App {
    App::new(async |payload: Value| payload)
}

fn around(agent: impl Agent) -> Router {
    agentcore_runtime::router(Arc::new(agent), ServerSettings::default())
}

#[tokio::test]
async fn ping_answers_json_without_a_charset() {
    let answer = request(echo().router(), Method::GET, "/ping").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let time = body["time_of_last_update"].as_u64().unwrap();
    assert!(time > 1_700_000_000, "seconds since 1970, not {time}");
    assert_eq!(
        answer.body,
        format!(r#"{{"status":"Healthy","time_of_last_update":{time}}}"#)
    );
}

#[tokio::test]
async fn head_of_ping_has_its_headers_and_no_body() {
    let router = echo().router();
    let whole = request(router.clone(), Method::GET, "/ping").await;
    let head = request(router, Method::HEAD, "/ping").await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert_eq!(
        head.header("content-length"),
        Some(whole.body.len().to_string().as_str())
    );
    assert_eq!(head.body, "");
}

#[tokio::test]
async fn an_invocation_answers_json_without_a_charset() {
    let answer = send(echo().router(), invocation(r#"{"a":1}"#)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, r#"{"a": 1}"#);
}

#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    for (path, allow, methods) in [
        (
            "/ping",
            "HEAD, GET",
            [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS],
        ),
        (
            "/invocations",
            "POST",
            [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS],
        ),
    ] {
        for method in methods {
            let answer = request(echo().router(), method.clone(), path).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow));
            assert_eq!(
                answer.header("content-type"),
                Some("text/plain; charset=utf-8")
            );
            assert_eq!(answer.body, "Method Not Allowed");
        }
    }
}

#[tokio::test]
async fn a_trailing_slash_is_redirected() {
    for (method, path, location) in [
        (
            Method::POST,
            "/invocations/",
            "http://agent.test:8080/invocations",
        ),
        (
            Method::GET,
            "/ping/?a=b%20c",
            "http://agent.test:8080/ping?a=b%20c",
        ),
        (Method::GET, "/ping//", "http://agent.test:8080/ping"),
        (Method::GET, "/%70ing%2F", "http://agent.test:8080/ping"),
        (Method::GET, "/ping/?", "http://agent.test:8080/ping"),
        (
            Method::GET,
            "/ping/?a=é",
            "http://agent.test:8080/ping?a=%C3%A9",
        ),
        (Method::HEAD, "/ping/", "http://agent.test:8080/ping"),
    ] {
        let answer = request(echo().router(), method, path).await;
        assert_eq!(answer.status, 307);
        assert_eq!(answer.header("location"), Some(location));
        assert_eq!(answer.header("content-length"), Some("0"));
        assert_eq!(answer.body, "");
    }
}

#[tokio::test]
async fn a_redirect_repeats_no_host_that_is_none() {
    for (host, location) in [
        ("[::1]:8080", "http://[::1]:8080/ping"),
        ("", "/ping"),
        ("agent.test/elsewhere?", "/ping"),
        ("agent test", "/ping"),
        ("somebody@agent.test", "/ping"),
    ] {
        let asked = http::Request::get("/ping/").header("host", host);
        let asked = asked.body(Body::empty()).unwrap();
        let answer = send(echo().router(), asked).await;
        assert_eq!(answer.header("location"), Some(location), "{host}");
    }
}

#[tokio::test]
async fn everything_else_is_not_found() {
    for path in [
        "/",
        "/ws",
        "/ws/",
        "/invocations/x",
        "/Ping",
        "//ping",
        "/p%2569ng",
    ] {
        let answer = request(echo().router(), Method::GET, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(answer.body, "Not Found");
    }
}

#[tokio::test]
async fn routes_can_be_added() {
    let router = echo()
        .router()
        .route("/version", axum::routing::get(async || "1.2"));
    assert_eq!(
        request(router.clone(), Method::GET, "/version").await.body,
        "1.2"
    );
    assert_eq!(request(router, Method::GET, "/ping").await.status, 200);
}

/// An agent whose answers are chosen by the test.
struct Fixed<F>(AgentStatus, F);

impl<F: Fn() -> Outcome + Send + Sync + 'static> Agent for Fixed<F> {
    fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
        let outcome = (self.1)();
        Box::pin(async { outcome })
    }

    fn status(&self) -> AgentStatus {
        self.0
    }
}

#[tokio::test]
async fn an_agent_that_is_not_loaded_is_not_healthy_yet() {
    let agent = Fixed(AgentStatus::Starting, || Outcome::Json("1".into()));
    let router = around(agent);
    let answer = request(router, Method::GET, "/ping").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, r#"{"status":"Starting"}"#);
}

#[tokio::test]
async fn a_busy_agent_says_so() {
    let busy = AgentStatus::Ready(PingStatus::HealthyBusy);
    let router = around(Fixed(busy, || Outcome::Json("1".into())));
    let answer = request(router, Method::GET, "/ping").await;
    assert!(
        answer.body.starts_with(r#"{"status":"HealthyBusy","#),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_ready_made_response_passes_through() {
    let healthy = AgentStatus::Ready(PingStatus::Healthy);
    let agent = Fixed(healthy, || {
        let response = http::Response::builder()
            .status(418)
            .header("x-kind", "teapot");
        Outcome::Response(response.body(Body::from("short and stout")).unwrap())
    });
    let answer = send(around(agent), invocation("")).await;
    assert_eq!(answer.status, 418);
    assert_eq!(answer.header("x-kind"), Some("teapot"));
    assert_eq!(answer.header("content-type"), None);
    assert_eq!(answer.body, "short and stout");
}

#[tokio::test]
async fn an_agent_that_panics_answers_500() {
    let healthy = AgentStatus::Ready(PingStatus::Healthy);
    let agent = Fixed(healthy, || panic!("out of tea"));
    let answer = send(around(agent), invocation("")).await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.body,
        r#"{"error":"the agent panicked: out of tea","error_type":"Panic"}"#
    );
}

/// An agent that loads until a test says whether it wants every request, and answers all that it gets.
struct Loading(watch::Receiver<Option<bool>>);

impl Agent for Loading {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome> {
        let context = invocation.context;
        let text = format!("{} {}", context.method(), context.uri().path());
        Box::pin(async { Outcome::Json(text.into()) })
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Starting
    }

    fn wants(&self) -> Wants {
        let mut known = self.0.clone();
        match *self.0.borrow() {
            Some(true) => Wants::EveryRequest,
            Some(false) => Wants::Invocations,
            None => Wants::NotKnownYet(Box::pin(async move {
                *known.wait_for(Option::is_some).await.unwrap() == Some(true)
            })),
        }
    }
}

/// A router around an agent that loads, and what ends that.
fn loading(limits: Limits) -> (Router, watch::Sender<Option<bool>>) {
    let (loads, loaded) = watch::channel(None);
    let settings = ServerSettings::default().limits(limits);
    let router = agentcore_runtime::router(Arc::new(Loading(loaded)), settings);
    (router, loads)
}

#[tokio::test(start_paused = true)]
async fn while_an_agent_loads_requests_wait_until_it_is_known_whose_they_are() {
    for (wants_all, expected) in [
        (
            true,
            [
                (200, "PUT /own"),
                (200, "GET /invocations"),
                (200, "GET /ping/"),
            ],
        ),
        (
            false,
            [(404, "Not Found"), (405, "Method Not Allowed"), (307, "")],
        ),
    ] {
        let (router, loads) = loading(Limits::default());
        let ping = request(router.clone(), Method::GET, "/ping").await;
        assert_eq!(ping.status, 503, "a ping waits for nobody");
        let asked = [
            (Method::PUT, "/own"),
            (Method::GET, "/invocations"),
            (Method::GET, "/ping/"),
        ];
        let asked = asked.map(|(method, path)| tokio::spawn(request(router.clone(), method, path)));
        sleep(Duration::from_mins(1)).await;
        assert!(asked.iter().all(|asked| !asked.is_finished()));
        loads.send(Some(wants_all)).unwrap();
        for (asked, (status, body)) in asked.into_iter().zip(expected) {
            let answer = asked.await.unwrap();
            assert_eq!(
                (answer.status.as_u16(), answer.body.as_str()),
                (status, body)
            );
        }
        // And from then on nobody waits.
        let other = request(router, Method::GET, "/other").await;
        assert_eq!(other.status, expected[0].0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_agent_to_load_has_the_limits_of_an_invocation() {
    let (router, loads) = loading(Limits::default().running(1).queued(0));
    let first = tokio::spawn(request(router.clone(), Method::GET, "/own"));
    sleep(Duration::from_secs(1)).await;
    let second = request(router.clone(), Method::GET, "/own").await;
    assert_eq!(second.status, 503);
    assert!(second.body.contains("Overloaded"), "{}", second.body);
    // The place in which it waited is the one in which it is answered.
    loads.send(Some(true)).unwrap();
    assert_eq!(first.await.unwrap().status, 200);

    let (router, _loads) = loading(Limits::default().running(1));
    for _ in 0..2 {
        let late = request(router.clone(), Method::GET, "/own").await;
        assert_eq!(late.status, 504);
        assert!(late.body.contains("InvocationLimit"), "{}", late.body);
    }
}
