//! Limits over real connections: places, time, and callers who send slowly or not at all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::{
    Agent, AgentStatus, App, Body, BoxFuture, CallerLeaves, Failure, Invocation, Limits, Outcome,
    PingStatus, ServerSettings, StatusCode, Threads,
};
use futures_util::{StreamExt, stream};
use http::{Method, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::{
    Dropped, Held, Server, echoes, endless, expect, held, invocation, raw_invocation, read_until,
    request, send,
};

/// Short enough to be waited for. What a test expects to happen before it waits for nothing.
const SHORT: Duration = Duration::from_millis(300);

const LIMIT_REACHED: &str = concat!(
    r#"{"error":"the invocation took longer than its limit","#,
    r#""error_type":"InvocationLimit","details":"the limit is 0.3 s"}"#
);

/// Status, `Retry-After` and body of an answer.
type Told = (u16, Option<String>, String);

fn ok(body: &str) -> Told {
    (200, None, body.to_owned())
}

fn overloaded(numbers: &str) -> Told {
    let body = format!(
        r#"{{"error":"Too many invocations","error_type":"Overloaded","details":"{numbers}"}}"#
    );
    (503, Some("1".to_owned()), body)
}

/// Invokes the agent.
async fn call(address: SocketAddr) -> Told {
    let url = format!("http://{address}/invocations");
    let answer = reqwest::Client::new().post(url).body("1").send();
    let answer = expect("an answer", answer).await.unwrap();
    let status = answer.status().as_u16();
    let retry = answer.headers().get("retry-after");
    let retry = retry.map(|value| value.to_str().unwrap().to_owned());
    (status, retry, answer.text().await.unwrap())
}

async fn connect(server: &Server, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Reads all that comes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    expect("the connection to close", stream.read_to_string(&mut text))
        .await
        .unwrap();
    text
}

#[tokio::test]
async fn beyond_the_queue_the_answer_is_503_and_ping_answers_all_the_while() {
    let (app, Held { entered, go_on, .. }) = held();
    let app = app.limits(Limits::default().running(1).queued(1));
    let server = Server::start(app).await;
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        calls.spawn(call(server.address));
    }
    // One runs and one waits, so the first to be answered is the third.
    let refused = calls.join_next().await.unwrap().unwrap();
    assert_eq!(refused, overloaded("1 run and 1 wait"));
    for _ in 0..2 {
        expect("a handler to begin", entered.notified()).await;
        let ping = expect("a ping", reqwest::get(server.url("/ping"))).await;
        assert_eq!(ping.unwrap().status(), 200);
        go_on.notify_one();
        let answered = calls.join_next().await.unwrap().unwrap();
        assert_eq!(answered, ok("\"finished\""));
    }
}

#[tokio::test]
async fn a_stream_keeps_its_place_until_it_ends_or_its_caller_leaves() {
    let app = App::streaming(|payload: Value| {
        let ends = payload == 1;
        stream::iter([1])
            .chain(stream::once(async move {
                if !ends {
                    std::future::pending::<()>().await;
                }
                2
            }))
            .boxed()
    });
    let server = Server::start(app.limits(Limits::default().running(1).queued(1))).await;
    let invoke = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n";
    let mut first = connect(&server, &format!("{invoke}0")).await;
    read_until(&mut first, "data: 1\n\n\r\n").await;

    // One of these waits, and the other is refused; both are read, because which is theirs to find out.
    let whole = async || {
        let close = invoke.replacen("host", "connection: close\r\nhost", 1);
        rest(&mut connect(&server, &format!("{close}1")).await).await
    };
    let (mut second, mut third) = (Box::pin(whole()), Box::pin(whole()));
    let (refused, waiting) = tokio::select! {
        refused = &mut second => (refused, third),
        refused = &mut third => (refused, second),
    };
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    drop(first);
    let answer = waiting.await;
    assert!(answer.contains("data: 2\n\n"), "{answer}");
    assert_eq!(call(server.address).await, ok("data: 1\n\ndata: 2\n\n"));
}

#[tokio::test]
async fn every_503_says_when_to_come_again() {
    type Make = fn() -> Outcome;
    struct Unavailable(Make);
    impl Agent for Unavailable {
        fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
            Box::pin(std::future::ready((self.0)()))
        }

        fn status(&self) -> AgentStatus {
            AgentStatus::Starting
        }
    }
    fn response(retry_after: Option<&str>) -> Outcome {
        let mut response = Response::builder().status(503);
        if let Some(seconds) = retry_after {
            response = response.header("retry-after", seconds);
        }
        Outcome::Response(response.body(Body::empty()).unwrap())
    }
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let around = |outcome| {
        agentcore_runtime::router(Arc::new(Unavailable(outcome)), ServerSettings::default())
    };
    let rows: [(Make, &str); 3] = [
        (
            || Outcome::Failed(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "full")),
            "1",
        ),
        (|| response(None), "1"),
        (|| response(Some("17")), "17"),
    ];
    for (outcome, retry_after) in rows {
        let answer = send(around(outcome), invocation("1")).await;
        assert_eq!(answer.status, unavailable);
        assert_eq!(answer.header("retry-after"), Some(retry_after));
    }
    let ping = request(around(|| response(None)), Method::GET, "/ping").await;
    assert_eq!(
        (ping.status, ping.header("retry-after")),
        (unavailable, Some("1"))
    );
}

#[tokio::test]
async fn ping_is_busy_while_invoking_if_the_app_wants_that() {
    for wants in [false, true] {
        let (app, Held { entered, go_on, .. }) = held();
        let health = app.health().clone();
        let server = Server::start(app.busy_while_invoking(wants)).await;
        let status = async || {
            let ping = reqwest::get(server.url("/ping")).await.unwrap();
            let ping: Value = serde_json::from_str(&ping.text().await.unwrap()).unwrap();
            ping["status"].as_str().unwrap().to_owned()
        };
        assert_eq!(status().await, "Healthy");
        let calling = tokio::spawn(call(server.address));
        expect("the handler to begin", entered.notified()).await;
        assert_eq!(
            status().await,
            if wants { "HealthyBusy" } else { "Healthy" }
        );
        health.force_ping_status(PingStatus::Healthy);
        assert_eq!(status().await, "Healthy", "because it is forced");
        health.clear_forced_ping_status();
        go_on.notify_one();
        assert_eq!(calling.await.unwrap(), ok("\"finished\""));
        assert_eq!(status().await, "Healthy");
    }
}

#[tokio::test]
async fn an_invocation_ends_at_its_limit_whether_it_runs_or_waits() {
    let (app, ..) = endless();
    let limits = Limits::default().running(1).invocation(SHORT);
    let server = Server::start(app.limits(limits)).await;
    let calls = tokio::join!(call(server.address), call(server.address));
    let told = (504, None, LIMIT_REACHED.to_owned());
    assert_eq!(calls.0, told);
    assert_eq!(calls.1, told);
}

#[tokio::test]
async fn the_work_ends_at_the_limit_whether_or_not_its_caller_has_left() {
    let everywhere = [Threads::Own, Threads::Shared];
    for (threads, leaves) in everywhere
        .into_iter()
        .flat_map(|it| [(it, false), (it, true)])
    {
        let (app, entered, dropped) = endless();
        let app = app
            .threads(threads)
            .when_caller_leaves(CallerLeaves::Finish);
        let server = Server::start(app.limits(Limits::default().invocation(SHORT))).await;
        let invoke = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1";
        // On a machine that stands still the limit may come before the handler begins.
        let stream = loop {
            let mut stream = connect(&server, invoke).await;
            tokio::select! {
                biased;
                () = entered.notified() => break stream,
                read = stream.read_u8() => assert_eq!(read.unwrap(), b'H'),
            }
        };
        let stays = (!leaves).then_some(stream);
        expect("the handler to be dropped", dropped.notified()).await;
        drop(stays);
    }
}

#[tokio::test]
async fn a_plain_function_runs_on_beyond_its_limit_and_keeps_its_place() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    let app = App::new(move |_: Value| {
        let waits = released.lock().unwrap().take();
        if let Some(released) = waits {
            let _ = released.recv();
        }
    });
    let limits = Limits::default().running(1).queued(1).invocation(SHORT);
    let server = Server::start(app.limits(limits)).await;
    let told = (504, None, LIMIT_REACHED.to_owned());
    assert_eq!(call(server.address).await, told);
    // The place is still taken: this one waits for it in vain.
    assert_eq!(call(server.address).await, told);
    drop(release);
    // Until the function has noticed, others may wait in vain too.
    while call(server.address).await != ok("null") {}
}

#[tokio::test]
async fn work_that_goes_on_for_nobody_keeps_its_place() {
    for threads in [Threads::Own, Threads::Shared] {
        let (app, held) = held();
        let limits = Limits::default().running(1).queued(0);
        let server = Server::start(app.threads(threads).limits(limits)).await;
        let invoke = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1";
        let stream = connect(&server, invoke).await;
        expect("the handler to begin", held.entered.notified()).await;
        drop(stream);
        for _ in 0..5 {
            assert_eq!(call(server.address).await, overloaded("1 run and 0 wait"));
        }
        held.go_on.notify_one();
        expect("the handler to finish", held.finished.notified()).await;
        held.go_on.notify_one();
        while call(server.address).await != ok("\"finished\"") {}
    }
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408_and_the_connection_closes() {
    let slow = |pause, whole| Limits::default().body_time(pause, whole);
    let long = Duration::from_hours(1);
    for (limits, details) in [
        (slow(SHORT, long), "nothing came for 0.3 s"),
        (slow(long, SHORT), "it was not whole after 0.3 s"),
    ] {
        let (app, ..) = endless();
        let server = Server::start(app.limits(limits)).await;
        let head = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
        let mut stream = connect(&server, head).await;
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(
            answer.contains("content-type: application/json\r\n"),
            "{answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        let body = format!(r#"{{"error":"Request body too slow","details":"{details}"}}"#);
        assert!(answer.ends_with(&body), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_and_a_connection_that_rests_are_closed() {
    let (app, ..) = endless();
    let server = Server::start(app.limits(Limits::default().head_time(SHORT))).await;
    let mut silent = connect(&server, "").await;
    assert_eq!(rest(&mut silent).await, "");

    // On a machine that stands still even the first head may come too late.
    let answer = loop {
        let mut idle = connect(&server, "GET /ping HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = rest(&mut idle).await;
        if !answer.is_empty() {
            break answer;
        }
    };
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    // One byte after the other, each soon after the last: the time is for the whole head.
    let (mut read, mut write) = connect(&server, "POST /invocations HTTP/1.1\r\n")
        .await
        .into_split();
    let dribble = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let mut text = Vec::new();
    let closed = async { expect("the connection to close", read.read_to_end(&mut text)).await };
    tokio::select! {
        _ = closed => {}
        () = dribble => {}
    }
    assert_eq!(text, b"");
}

#[tokio::test]
async fn a_body_above_the_limit_of_the_settings_is_answered_413() {
    let app = App::new(async |payload: Value| payload);
    let server = Server::start(app.limits(Limits::default().body(3))).await;
    let post = "POST /invocations HTTP/1.1\r\nhost: a\r\n";
    for (request, answer) in [
        (format!("{post}content-length: 3\r\n\r\n123"), "123"),
        (
            format!("{post}content-length: 4\r\n\r\n1234"),
            "the limit is 3 bytes\"}",
        ),
        (
            format!("{post}transfer-encoding: chunked\r\n\r\n2\r\n12\r\n2\r\n34\r\n0\r\n\r\n"),
            "the limit is 3 bytes\"}",
        ),
    ] {
        let mut stream = connect(&server, &request).await;
        read_until(&mut stream, answer).await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_within_its_body_gets_nothing() {
    let (app, ..) = endless();
    let server = Server::start(app).await;
    let head = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{";
    let mut stream = connect(&server, head).await;
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

/// Answers with a ready-made response whose body begins and never ends.
struct Unending(Arc<Notify>);

impl Agent for Unending {
    fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
        let guard = Dropped(Arc::clone(&self.0));
        let parts = stream::iter(["begun"])
            .chain(stream::pending())
            .map(move |part| {
                let _kept = &guard;
                Ok::<_, std::io::Error>(part)
            });
        let response = Response::new(Body::from_stream(parts));
        Box::pin(std::future::ready(Outcome::Response(response)))
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Ready(PingStatus::Healthy)
    }
}

#[tokio::test]
async fn a_ready_made_answer_beyond_the_limit_of_streams_ends_with_its_connection() {
    let dropped = Arc::new(Notify::new());
    let limits = Limits::default().running(1).stream(SHORT);
    let settings = ServerSettings::default().limits(limits);
    let agent = Arc::new(Unending(Arc::clone(&dropped)));
    let server = Server::around(agent, settings).await;
    let invoke = "POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    for _ in 0..2 {
        let mut stream = connect(&server, invoke).await;
        let answer = rest(&mut stream).await;
        expect("the body to be dropped", dropped.notified()).await;
        // Nothing at all came if the limit was there before the head.
        if !answer.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            let is_cut = answer.ends_with("5\r\nbegun\r\n");
            assert!(is_cut, "without an end: {answer}");
        }
    }
}

#[tokio::test]
async fn a_server_without_limits_of_time_serves_all_the_same() {
    let limits = Limits::default()
        .invocation(Duration::MAX)
        .stream(Duration::MAX)
        .head_time(Duration::MAX)
        .body_time(Duration::MAX, Duration::MAX);
    for app in echoes() {
        let server = Server::start(app.limits(limits.clone())).await;
        for _ in 0..2 {
            assert_eq!(call(server.address).await, ok("1"));
        }
    }
}

#[tokio::test]
async fn work_that_never_waits_for_anything_but_its_turn_ends_at_its_limit() {
    for threads in [Threads::Own, Threads::Shared] {
        let dropped = Arc::new(Notify::new());
        let dropping = Arc::clone(&dropped);
        let app = App::new(move |_: Value| {
            let guard = Dropped(Arc::clone(&dropping));
            async move {
                // Until nobody else has the notification, which is never: the guard does.
                while Arc::strong_count(&guard.0) > 1 {
                    tokio::task::consume_budget().await;
                }
            }
        });
        let limits = Limits::default().running(1).invocation(SHORT);
        let server = Server::start(app.threads(threads).limits(limits)).await;
        let told = (504, None, LIMIT_REACHED.to_owned());
        assert_eq!(call(server.address).await, told);
        expect("the work to be dropped", dropped.notified()).await;
    }
}

#[tokio::test]
async fn a_connection_that_rests_after_a_long_invocation_is_closed() {
    let app = App::new(async |payload: Value| {
        tokio::time::sleep(2 * SHORT).await;
        payload
    });
    let server = Server::start(app.limits(Limits::default().head_time(SHORT))).await;
    let mut stream = connect(&server, &raw_invocation("1")).await;
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("\r\n\r\n1"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_is_not_read_ends_with_the_limit_of_streams() {
    // More than the buffers of both sockets hold.
    let app = App::new(async |_: Value| "x".repeat(30_000_000));
    let server = Server::start(app.limits(Limits::default().stream(SHORT))).await;
    let mut stream = connect(&server, &raw_invocation("1")).await;
    stream.readable().await.unwrap();
    tokio::time::sleep(3 * SHORT).await;
    let mut answer = Vec::new();
    // Reset or ended, but not whole.
    let _ = expect("the end", stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert!(answer.len() < 30_000_000, "{}", answer.len());
}
