//! The end of a server around agents that do not end by themselves.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use tokio::task::JoinSet;

use super::*;
use crate::PingStatus;
use crate::agent::{AgentStatus, BoxFuture, Invocation, Outcome, StreamItem};
use crate::limits::Limits;
use crate::log::Captured;

/// Streams one event, then keeps the stream open for ever; or never answers at all.
struct Endless {
    answers: bool,
    entered: Notify,
    shutdowns: AtomicUsize,
}

impl Agent for Endless {
    fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
        self.entered.notify_one();
        if !self.answers {
            return Box::pin(std::future::pending());
        }
        let items = stream::iter([Ok(StreamItem::Json("1".into()))]).chain(stream::pending());
        Box::pin(std::future::ready(Outcome::Events(Box::pin(items))))
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Ready(PingStatus::Healthy)
    }

    fn shutdown(&self, _: Duration) -> BoxFuture<'static, ()> {
        self.shutdowns.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

/// Calls the agent, stops the server under the call, and returns all that came back.
async fn stop_under_a_call(answers: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let agent = Arc::new(Endless {
        answers,
        entered: Notify::new(),
        shutdowns: AtomicUsize::new(0),
    });
    let settings = ServerSettings::default().drain(Duration::from_millis(200));
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let serving = tokio::spawn(serve_agent(
        agent.clone(),
        listener.into(),
        settings,
        stopped,
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    agent.entered.notified().await;
    let mut came = Vec::new();
    while answers && !came.ends_with(b"data: 1\n\n\r\n") {
        assert_ne!(stream.read_buf(&mut came).await.unwrap(), 0);
    }
    stop.cancel();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut came));
    read.await.expect("the connection to end").unwrap();
    timeout(Duration::from_secs(20), serving)
        .await
        .expect("the server to end")
        .unwrap()
        .unwrap();
    assert_eq!(agent.shutdowns.load(Ordering::Relaxed), 1);
    assert_eq!(Arc::strong_count(&agent), 1, "nothing holds the agent");
    String::from_utf8(came).unwrap()
}

#[tokio::test]
async fn the_drain_ends_though_an_sse_client_stays() {
    let came = stop_under_a_call(true).await;
    assert!(came.contains("data: 1\n\n"), "{came}");
    let error =
        r#"data: {"error": "the server is shutting down", "error_type": "ServerShutdown", "#;
    assert!(came.contains(error), "{came}");
    assert!(
        came.ends_with("0\r\n\r\n"),
        "the stream ends in order: {came}"
    );
}

#[tokio::test]
async fn the_drain_ends_though_a_call_is_never_answered() {
    assert_eq!(stop_under_a_call(false).await, "");
}

/// A server without an end, whose places can be looked at.
struct Served {
    address: std::net::SocketAddr,
    routes: Arc<Routes>,
    agent: Arc<Endless>,
    _serving: JoinSet<()>,
}

async fn served(limits: Limits, through_a_router: bool) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let agent = Arc::new(Endless {
        answers: false,
        entered: Notify::new(),
        shutdowns: AtomicUsize::new(0),
    });
    let settings = ServerSettings::default().limits(limits);
    let routes = Arc::new(Routes::new(
        agent.clone(),
        settings,
        CancellationToken::new(),
    ));
    let front = Front {
        router: through_a_router.then(|| into_router(Arc::clone(&routes))),
        routes: Arc::clone(&routes),
    };
    let mut connections = Connections::new(front, Draining::default());
    let mut serving = JoinSet::new();
    serving.spawn(async move { connections.accept_all(&listener.into()).await });
    Served {
        address,
        routes,
        agent,
        _serving: serving,
    }
}

/// Waits until what is looked at is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looks = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let patience = Duration::from_secs(20);
    timeout(patience, looks)
        .await
        .unwrap_or_else(|_| panic!("waited too long until {what}"));
}

/// Begins an invocation, and sends so much of the body that it announces.
async fn begin(address: std::net::SocketAddr, announced: usize, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: {announced}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'1'; sent]).await.unwrap();
    stream
}

#[tokio::test]
async fn who_leaves_while_waiting_has_left_the_queue() {
    for through_a_router in [false, true] {
        let limits = Limits::default().running(1).queued(1);
        let served = served(limits, through_a_router).await;
        let gate = &served.routes.gate;
        let running = begin(served.address, 0, 0).await;
        until("one runs", || gate.running() == 1).await;
        for (announced, sent) in [(0, 0), (10, 10), (1_000_000, 0), (1_000_000, 60_000)] {
            for resets in [false, true] {
                // Elsewhere nobody sees it before its turn.
                if sent < announced && !cfg!(target_os = "linux") {
                    continue;
                }
                let waiting = begin(served.address, announced, sent).await;
                until("one waits", || gate.waiting() == 1).await;
                if resets {
                    waiting.set_zero_linger().unwrap();
                }
                drop(waiting);
                let what = format!("none of {announced} {sent} {resets} {through_a_router} waits");
                until(&what, || gate.waiting() == 0).await;
            }
        }
        assert_eq!(gate.running(), 1);
        drop(running);
        until("none runs", || gate.running() == 0).await;
    }
}

#[tokio::test]
async fn who_waits_is_asked_for_its_body_only_when_its_turn_comes() {
    let served = served(Limits::default().running(1).queued(1), false).await;
    let gate = &served.routes.gate;
    let running = begin(served.address, 0, 0).await;
    until("one runs", || gate.running() == 1).await;
    served.agent.entered.notified().await;

    let mut waiting = TcpStream::connect(served.address).await.unwrap();
    let head = b"POST /invocations HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    waiting.write_all(head).await.unwrap();
    until("one waits", || gate.waiting() == 1).await;
    let mut came = [0; 64];
    assert!(
        waiting.try_read(&mut came).is_err(),
        "nothing was asked for"
    );

    drop(running);
    let asked = timeout(Duration::from_secs(20), waiting.read(&mut came));
    let count = asked.await.expect("to be asked").unwrap();
    assert_eq!(&came[..count], b"HTTP/1.1 100 Continue\r\n\r\n");
    waiting.write_all(b"1").await.unwrap();
    served.agent.entered.notified().await;
}

#[tokio::test]
async fn the_drain_waits_for_what_became_of_connections_and_tells_what_it_cuts() {
    let captured = Captured::start();
    let served = served(Limits::default().running(1), false).await;
    let Served {
        routes, address, ..
    } = &served;
    let _running = begin(*address, 0, 0).await;
    until("one runs", || routes.gate.running() == 1).await;
    let mut waiting = begin(*address, 0, 0).await;
    until("one waits", || routes.gate.waiting() == 1).await;

    let front = Front {
        routes: Arc::clone(routes),
        router: None,
    };
    let mut upgraded = Connections::new(front, Draining::default());
    let cut = routes.cut.clone();
    routes.upgraded.spawn(async move { cut.cancelled().await });
    drain(&mut upgraded, routes, Duration::from_millis(50)).await;
    assert_eq!(routes.upgraded.len(), 0);

    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = timeout(Duration::from_secs(20), waiting.read_buf(&mut answer));
        assert_ne!(read.await.expect("an answer").unwrap(), 0);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    let body = r#"{"error":"the server is shutting down","error_type":"ServerShutdown"}"#;
    assert!(answer.ends_with(body), "{answer}");

    drop(served);
    let told = |text: &str| captured.lines().iter().any(|line| line.contains(text));
    assert!(
        told(
            "ending what is still open (connections: 1, invocations: 1, waiting: 1, WebSockets: 1)"
        ),
        "{:?}",
        captured.lines()
    );
    until("the invocation is dropped", || {
        told(r#""WARNING", "message": "Invocation cut by the end of the server"#)
    })
    .await;
}
