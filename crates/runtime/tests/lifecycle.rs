//! Servers on real sockets: headers of the wire, blocked agents, shutdown, and Unix sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentcore_runtime::{
    Address, Agent, AgentStatus, App, BoxFuture, Invocation, Limits, Outcome, PingStatus,
    ServerSettings, Threads,
};
use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::support::{
    Blockade, Held, PATIENCE, Server, endless, expect, held, raw_invocation, read_until,
};

fn echo() -> App {
    App::new(async |payload: Value| payload)
}

#[tokio::test]
async fn answers_carry_a_date_and_no_server() {
    let server = Server::start(echo()).await;
    let client = reqwest::Client::new();
    for (method, path) in [
        ("GET", "/ping"),
        ("HEAD", "/ping"),
        ("POST", "/invocations"),
    ] {
        let method = method.parse().unwrap();
        let request = client.request(method, server.url(path)).body("1");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.headers().contains_key("date"));
        assert!(answer.headers().contains_key("content-length"));
        assert!(!answer.headers().contains_key("server"));
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_answered_413() {
    let server = Server::start(echo()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // Announced and not sent: the caller waits for a permission that it does not get.
    let head = "POST /invocations HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 100000001\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let text = read_until(&mut stream, "}").await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    assert!(
        text.contains("content-type: application/json\r\n"),
        "{text}"
    );
    assert!(text.ends_with(
        r#"{"error":"Request body too large","details":"the limit is 100000000 bytes"}"#
    ));
}

/// Blocks as many agent threads as there can be, and asserts that the server answers all the same.
async fn ping_answers_while_blocked(app: App, blockade: Blockade) {
    let server = Server::start(app).await;
    let client = reqwest::Client::new();
    let calls: Vec<_> = (0..blockade.threads)
        .map(|_| tokio::spawn(client.post(server.url("/invocations")).body("1").send()))
        .collect();
    blockade.is_complete().await;
    for _ in 0..20 {
        let ping = expect("a ping", reqwest::get(server.url("/ping"))).await;
        assert_eq!(ping.unwrap().status(), 200);
    }
    blockade.lift();
    for call in future::join_all(calls).await {
        assert_eq!(call.unwrap().unwrap().status(), 200);
    }
}

#[tokio::test]
async fn blocked_async_handlers_do_not_delay_ping() {
    let blockade = Blockade::new();
    let blocks = blockade.clone();
    let app = App::new(move |_: Value| {
        let blocks = blocks.clone();
        async move { blocks.block() }
    });
    ping_answers_while_blocked(app, blockade).await;
}

#[tokio::test]
async fn blocked_sync_handlers_do_not_delay_ping() {
    let blockade = Blockade::new();
    let blocks = blockade.clone();
    let app = App::new(move |_: Value| blocks.block());
    ping_answers_while_blocked(app, blockade).await;
}

#[tokio::test]
async fn shutdown_lets_a_plain_request_finish_and_accepts_no_other() {
    let (app, Held { entered, go_on, .. }) = held();
    let server = Server::start(app).await;
    let address = server.address;
    let mut idle = TcpStream::connect(address).await.unwrap();
    let call = reqwest::Client::new().post(server.url("/invocations"));
    let call = tokio::spawn(call.body("1").send());
    expect("the handler to begin", entered.notified()).await;

    let serving = server.stop();
    let mut rest = Vec::new();
    let closed = expect("the idle connection to close", idle.read_to_end(&mut rest)).await;
    assert_eq!(closed.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());

    go_on.notify_one();
    let answer = expect("the answer", call).await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "\"finished\"");
    expect("the server to end", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_waits_for_a_handler_whose_caller_has_left() {
    let (
        app,
        Held {
            entered,
            go_on,
            finished,
        },
    ) = held();
    let server = Server::start(app).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1")
        .await
        .unwrap();
    expect("the handler to begin", entered.notified()).await;
    drop(stream);

    let serving = server.stop();
    go_on.notify_one();
    expect("the server to end", serving).await.unwrap().unwrap();
    expect("the handler to have finished", finished.notified()).await;
}

#[tokio::test]
async fn a_server_ends_within_asynchronous_code_whatever_runs_on_its_threads() {
    let app = App::streaming(|_: Value| stream::iter([1]).chain(stream::pending()));
    let server = Server::start(app).await;
    let call = reqwest::Client::new().post(server.url("/invocations"));
    let mut answer = call.body("1").send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    let serving = server.stop();
    serving.abort();
    let ended = expect("the server to be gone", serving).await;
    assert!(ended.unwrap_err().is_cancelled());
    let rest = tokio::time::timeout(PATIENCE, answer.chunk())
        .await
        .unwrap();
    assert!(
        rest.is_err(),
        "cut off, so that half an answer does not look whole"
    );
}

#[tokio::test]
async fn a_unix_socket_serves_as_a_port_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let listener = Address::Unix(path.clone()).bind().await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(echo().serve(listener, async {
        let _ = stopped.await;
    }));

    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = "POST /invocations HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n{\"a\": 1}"), "{text}");

    stop.send(()).unwrap();
    expect("the server to end", serving).await.unwrap().unwrap();
}

const INVOKE: &[u8] = b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1";

#[tokio::test]
async fn who_waits_for_a_place_gets_it_while_the_server_drains() {
    let (app, Held { entered, go_on, .. }) = held();
    let app = app.limits(Limits::default().running(1).queued(1));
    let server = Server::start(app).await;
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let url = server.url("/invocations");
        calls.spawn(async {
            let answer = reqwest::Client::new().post(url).body("1").send();
            answer.await.unwrap().status()
        });
    }
    // The one who is refused shows that another waits.
    assert_eq!(calls.join_next().await.unwrap().unwrap(), 503);
    let serving = server.stop();
    for _ in 0..2 {
        expect("a handler to begin", entered.notified()).await;
        go_on.notify_one();
        assert_eq!(calls.join_next().await.unwrap().unwrap(), 200);
    }
    expect("the server to end", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_drain_ends_though_callers_stay_and_do_not_read() {
    let app = App::streaming(|_: Value| stream::repeat_with(|| "x".repeat(1024)));
    let server = Server::start(app.drain(Duration::from_millis(200))).await;
    let mut callers = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(INVOKE).await.unwrap();
        // The status line and no more.
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).await.unwrap();
        callers.push(stream);
    }
    let serving = server.stop();
    expect("the server to end", serving).await.unwrap().unwrap();
    for mut stream in callers {
        let mut rest = Vec::new();
        // A reset or an end: what counts is that nothing holds the connection any more.
        let _ = expect("the end", stream.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn the_agent_learns_of_the_end_first_and_of_the_drain_last() {
    let ended = Arc::new(Mutex::new(Vec::new()));
    let agent = Arc::new(Ordered {
        ended: Arc::clone(&ended),
        go_on: Arc::new(Notify::new()),
        entered: Notify::new(),
    });
    let server = Server::around(agent.clone(), ServerSettings::default()).await;
    let call = reqwest::Client::new().post(server.url("/invocations"));
    let call = tokio::spawn(call.body("1").send());
    expect("the call to begin", agent.entered.notified()).await;
    let serving = server.stop();
    expect("the shutdown to begin", agent.entered.notified()).await;
    agent.go_on.notify_one();
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    expect("the server to end", serving).await.unwrap().unwrap();
    assert_eq!(*ended.lock().unwrap(), ["shutdown", "answer", "drained"]);
}

/// Notes in which order things end.
struct Ordered {
    ended: Arc<Mutex<Vec<&'static str>>>,
    go_on: Arc<Notify>,
    entered: Notify,
}

impl Agent for Ordered {
    fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
        self.entered.notify_one();
        let (ended, go_on) = (Arc::clone(&self.ended), Arc::clone(&self.go_on));
        Box::pin(async move {
            go_on.notified().await;
            ended.lock().unwrap().push("answer");
            Outcome::Json("1".into())
        })
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Ready(PingStatus::Healthy)
    }

    fn shutdown(&self, _: Duration) -> BoxFuture<'static, ()> {
        self.ended.lock().unwrap().push("shutdown");
        self.entered.notify_one();
        Box::pin(std::future::ready(()))
    }

    fn drained(&self) -> BoxFuture<'static, ()> {
        self.ended.lock().unwrap().push("drained");
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn an_agent_whose_shutdown_never_ends_cannot_hold_the_server() {
    struct Stuck;
    impl Agent for Stuck {
        fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
            Box::pin(std::future::pending())
        }

        fn status(&self) -> AgentStatus {
            AgentStatus::Ready(PingStatus::Healthy)
        }

        fn shutdown(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        fn drained(&self) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }
    let agent = Arc::new(Stuck);
    let settings = ServerSettings::default().drain(Duration::from_millis(100));
    let server = Server::around(agent.clone(), settings).await;
    expect("the server to end", server.stop())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(Arc::strong_count(&agent), 1, "nothing holds the agent");
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_is_dropped() {
    for threads in [Threads::Own, Threads::Shared] {
        let (app, entered, dropped) = endless();
        let server = Server::start(app.threads(threads)).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = raw_invocation("1");
        stream.write_all(request.as_bytes()).await.unwrap();
        expect("the handler to begin", entered.notified()).await;
        // It runs on, because it is to be finished.
        drop(stream);
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.abort();
        expect("the work to be dropped", dropped.notified()).await;
    }
}
