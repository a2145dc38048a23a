//! What several tests need: a call without a socket, a server on a real port, and things that tell when they are dropped.

use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::thread::available_parallelism;
use std::time::Duration;

use agentcore_runtime::{
    Agent, App, Body, BoxFuture, Router, ServerSettings, Threads, serve_agent,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// Far more than anything here takes: a test that hits it has found something that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An answer that was read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Sends one request to a router, without a socket.
pub(crate) async fn send(router: Router, request: Request<Body>) -> Answer {
    let (head, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// Sends a request without a body.
pub(crate) async fn request(router: Router, method: Method, path: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "agent.test:8080")
        .body(Body::empty())
        .unwrap();
    send(router, request).await
}

/// Invokes an app once and returns status and body.
pub(crate) async fn invoke(app: App, payload: &str) -> (u16, String) {
    let answer = send(app.router(), invocation(payload)).await;
    (answer.status.as_u16(), answer.body)
}

/// Returns a request that invokes an agent.
pub(crate) fn invocation(payload: &str) -> Request<Body> {
    Request::post("/invocations")
        .body(Body::from(payload.to_owned()))
        .unwrap()
}

/// The same as it goes over a connection.
pub(crate) fn raw_invocation(payload: &str) -> String {
    let length = payload.len();
    format!("POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{payload}")
}

/// Apps that answer what they are told, one on each kind of threads.
pub(crate) fn echoes() -> [App; 3] {
    [
        App::new(async |payload: Value| payload),
        App::new(async |payload: Value| payload).threads(Threads::Shared),
        App::new(|payload: Value| payload),
    ]
}

/// Blocks as many threads as run an agent's asynchronous code.
#[derive(Clone)]
pub(crate) struct Blockade {
    pub(crate) threads: usize,
    entered: Arc<Semaphore>,
    release: Arc<Barrier>,
}

impl Blockade {
    pub(crate) fn new() -> Self {
        let threads = available_parallelism().map_or(2, |threads| threads.get().max(2));
        Self {
            threads,
            entered: Arc::new(Semaphore::new(0)),
            release: Arc::new(Barrier::new(threads + 1)),
        }
    }

    /// Blocks this thread until the blockade is lifted.
    pub(crate) fn block(&self) {
        self.entered.add_permits(1);
        self.release.wait();
    }

    /// Waits until every thread is blocked.
    pub(crate) async fn is_complete(&self) {
        let all = self.threads.try_into().unwrap();
        let entered = self.entered.acquire_many(all);
        let _all = expect("every thread to be blocked", entered).await.unwrap();
    }

    /// Lets all go on.
    pub(crate) fn lift(self) {
        tokio::task::spawn_blocking(move || self.release.wait());
    }
}

/// A server on a port of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start(app: App) -> Self {
        Self::of(|listener, stopped| tokio::spawn(app.serve(listener, stopped))).await
    }

    /// The same around any agent.
    pub(crate) async fn around(agent: Arc<impl Agent>, settings: ServerSettings) -> Self {
        Self::of(|listener, stopped| {
            tokio::spawn(serve_agent(agent, listener.into(), settings, stopped))
        })
        .await
    }

    async fn of(
        serve: impl FnOnce(TcpListener, BoxFuture<'static, ()>) -> JoinHandle<std::io::Result<()>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = Box::pin(async {
            let _ = stopped.await;
        });
        let serving = serve(listener, stopped);
        Self {
            address,
            stop,
            serving,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends the server at once, by dropping it.
    pub(crate) fn abort(self) {
        self.serving.abort();
    }

    /// Tells the server to end and returns the task that does it.
    pub(crate) fn stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.serving
    }
}

/// Reads from a connection until what came ends in `end`.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(end) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer));
        let count = read.await.unwrap().unwrap();
        assert_ne!(count, 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

/// Tells when it is dropped.
pub(crate) struct Dropped(pub(crate) Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Waits for `event`, and fails the test if it does not come.
pub(crate) async fn expect<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// What a test hears of a handler that waits, and how it lets it go on.
#[derive(Clone, Default)]
pub(crate) struct Held {
    pub(crate) entered: Arc<Notify>,
    pub(crate) go_on: Arc<Notify>,
    pub(crate) finished: Arc<Notify>,
}

/// An app whose handler waits until the test lets it go on, and then answers `"finished"`.
pub(crate) fn held() -> (App, Held) {
    let held = Held::default();
    let signals = held.clone();
    let app = App::new(move |_: Value| {
        let Held {
            entered,
            go_on,
            finished,
        } = signals.clone();
        async move {
            entered.notify_one();
            go_on.notified().await;
            finished.notify_one();
            "finished"
        }
    });
    (app, held)
}

/// An app that never answers, and says when its work has begun and when it was dropped.
pub(crate) fn endless() -> (App, Arc<Notify>, Arc<Notify>) {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (entering, dropping) = (Arc::clone(&entered), Arc::clone(&dropped));
    let app = App::new(move |_: Value| {
        let (entering, guard) = (Arc::clone(&entering), Dropped(Arc::clone(&dropping)));
        async move {
            let _guard = guard;
            entering.notify_one();
            std::future::pending::<()>().await;
        }
    });
    (app, entered, dropped)
}
