//! The server around an agent: accepts connections, and ends in an orderly way within a bounded time.
//!
//! The listener and the end are given; this module binds nothing, reads no environment and handles no signal.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::address::Listener;
use crate::agent::Agent;
use crate::body::AnswerBody;
use crate::log::{self, LOGGER};
use crate::middleware::{self, Edits};
use crate::routes::Routes;
use crate::settings::ServerSettings;

/// How long to leave a listener alone that cannot accept, as when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long what was ended at the deadline may take to reach its caller.
const FLUSH: Duration = Duration::from_millis(500);

/// Serves `agent` on `listener` until `shutdown` completes, then lets open requests finish for as long as the settings say
/// ([`ServerSettings::drain`]).
///
/// From the end of `shutdown` on nothing is accepted, and idle connections close. What is still open at the deadline is
/// ended: a stream by an error event, a WebSocket by a close frame, a plain request by closing its connection. Dropping the
/// future ends everything at once.
///
/// # Errors
///
/// Fails only if the runtime around it cannot serve; a connection that fails, or a moment in which none can be
/// accepted, does not end the server.
pub async fn serve_agent<A: Agent>(
    agent: Arc<A>,
    listener: Listener,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve(agent, Edits::default(), listener, settings, shutdown).await
}

/// Returns the routes around `agent` as an axum router, to add routes and layers to, or to call in a test.
///
/// ```
/// use std::sync::Arc;
/// use agentcore_runtime::{Agent, Router, ServerSettings};
///
/// fn with_version(agent: Arc<dyn Agent>) -> Router {
///     agentcore_runtime::router(agent, ServerSettings::default())
///         .route("/version", axum::routing::get(|| async { "1.2" }))
/// }
/// ```
pub fn router(agent: Arc<dyn Agent>, settings: ServerSettings) -> Router {
    into_router(Arc::new(Routes::new(
        agent,
        settings,
        CancellationToken::new(),
    )))
}

/// The same, with an app's own routes and layers.
pub(crate) fn edited_router<A: Agent>(
    agent: Arc<A>,
    settings: ServerSettings,
    edits: Edits,
) -> Router {
    edits.apply(router(agent, settings))
}

fn into_router(routes: Arc<Routes>) -> Router {
    middleware::router_of(tower::service_fn(move |request| {
        let routes = Arc::clone(&routes);
        async move { Ok::<_, Infallible>(routes.answer(request).await) }
    }))
}

/// Serves as [`serve_agent`] does, with an app's own routes and layers.
pub(crate) async fn serve<A: Agent>(
    agent: Arc<A>,
    edits: Edits,
    listener: Listener,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
    let grace = settings.drain;
    let routes = Arc::new(Routes::new(agent.clone(), settings, cut.clone()));
    let mut connections = Connections {
        open: JoinSet::new(),
        front: Front {
            router: (!edits.is_empty()).then(|| edits.apply(into_router(Arc::clone(&routes)))),
            routes,
        },
        draining: draining.clone(),
    };
    tokio::select! {
        () = connections.accept_all(&listener) => {}
        () = shutdown => {}
    }
    drop(listener);
    draining.cancel();
    let stopped = timeout(grace + FLUSH, agent.shutdown(grace));
    let drained = async {
        if timeout(grace, connections.finish()).await.is_err() {
            tracing::warn!(
                target: LOGGER,
                "Shutdown takes longer than {grace:?}, ending what is still open (connections: {})",
                connections.count()
            );
            cut.cancel();
            let _ = timeout(FLUSH, connections.finish()).await;
        }
    };
    let _ = tokio::join!(drained, stopped);
    connections.open.shutdown().await;
    log::flush();
    Ok(())
}

/// What requests come to: the routes, or a router with more than these.
#[derive(Clone)]
struct Front {
    routes: Arc<Routes>,
    router: Option<Router>,
}

impl Front {
    async fn answer(self, request: Request<Incoming>) -> Response<AnswerBody> {
        match self.router {
            None => self.routes.answer(request).await,
            Some(router) => match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response.map(AnswerBody::Other),
                Err(never) => match never {},
            },
        }
    }
}

/// The open connections of one server; dropping it ends them.
struct Connections {
    open: JoinSet<()>,
    front: Front,
    draining: CancellationToken,
}

impl Connections {
    /// Accepts for ever.
    async fn accept_all(&mut self, listener: &Listener) {
        loop {
            tokio::select! {
                stream = accept(|| listener.accept()) => self.open(stream),
                // Takes finished connections out of the set, which would otherwise only grow.
                Some(_) = self.open.join_next() => {}
            }
        }
    }

    fn open(&mut self, stream: Stream) {
        let (front, draining) = (self.front.clone(), self.draining.clone());
        match stream {
            Stream::Tcp(stream) => {
                // Answers are small and complete, so waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                self.open.spawn(connection(stream, front, draining));
            }
            Stream::Unix(stream) => {
                self.open.spawn(connection(stream, front, draining));
            }
        }
    }

    async fn finish(&mut self) {
        while self.open.join_next().await.is_some() {}
        let upgraded = &self.front.routes.upgraded;
        upgraded.close();
        upgraded.wait().await;
    }

    fn count(&self) -> usize {
        self.open.len() + self.front.routes.upgraded.len()
    }
}

/// Serves one connection to its end; when the server drains, that is the end of the request at hand.
async fn connection<S>(stream: S, front: Front, draining: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head_time = front.routes.settings.limits.head_time;
    let service = service_fn(move |request| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = draining.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Callers who hang up and probes that speak something else are not worth a line in anyone's log.
        tracing::debug!(target: LOGGER, "Connection ended: {error}");
    }
}

/// A connection of either kind.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Ok(Stream::Tcp(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// Accepts one connection, however long the listener cannot.
async fn accept<T, F>(try_accept: impl Fn() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let mut complained = false;
    loop {
        match try_accept().await {
            Ok(stream) => return stream,
            // The caller went away between knocking and coming in.
            Err(error) if is_callers_fault(&error) => {}
            Err(error) => {
                if !complained {
                    tracing::error!(target: LOGGER, "Cannot accept connections: {error}");
                }
                complained = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_callers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{StreamExt, stream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Notify;

    use super::*;
    use crate::PingStatus;
    use crate::agent::{AgentStatus, BoxFuture, Invocation, Outcome, StreamItem};

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

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_cannot_accept_is_tried_again() {
        let too_many_open_files = 24;
        let tries = Cell::new(0);
        let connection = accept(|| {
            tries.set(tries.get() + 1);
            let result = match tries.get() {
                1 => Err(io::ErrorKind::ConnectionAborted.into()),
                2 | 3 => Err(io::Error::from_raw_os_error(too_many_open_files)),
                _ => Ok("connection"),
            };
            std::future::ready(result)
        });
        let began = tokio::time::Instant::now();
        assert_eq!(connection.await, "connection");
        assert_eq!(tries.get(), 4);
        assert_eq!(
            began.elapsed(),
            2 * ACCEPT_PAUSE,
            "only the listener's own errors wait"
        );
    }
}
