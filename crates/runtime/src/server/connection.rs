//! The open connections of a server: each is served to its end, which the drain and the limits of an answer may bring.
//!
//! What a request is answered is not decided here.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, UpgradeableConnection};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::FLUSH;
use super::accept::{Stream, accept};
use super::clock::Clock;
use super::draining::Draining;
use super::socket::{Half, Peer, Socket};
use super::steps::{Stepper, Steps};
use crate::address::Listener;
use crate::body::AnswerBody;
use crate::limits::after;
use crate::log::LOGGER;
use crate::routes::{Asked, Routes};

/// What stands for no limit where a moment has to be named: a year.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// What requests come to: the routes, or a router with more than these.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) routes: Arc<Routes>,
    pub(super) router: Option<Router>,
}

/// One connection, as its requests see it.
struct Line {
    front: Front,
    peer: Peer,
    clock: Clock,
}

impl Line {
    /// Answers a request.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send {
        // Before anything is awaited, because the request itself is large.
        let asked = match &self.front.router {
            None => {
                let agent = &self.front.routes.agent;
                Ok(Asked::of(request, agent.wants()))
            }
            Some(router) => {
                let mut request = request.map(Body::new);
                // Not the connection's clock and steps: layers may wait for the answer in other tasks.
                request.extensions_mut().insert(self.peer.apart());
                Err(Box::pin(router.clone().oneshot(request)))
            }
        };
        async move {
            let response = match asked {
                Ok(asked) => self.front.routes.answer(asked, &self.peer).await,
                Err(routed) => routed.await?.map(AnswerBody::Other),
            };
            let limit = self.front.routes.settings.limits.stream;
            // The end that a body makes itself has some time to reach its caller.
            self.clock.sends_until(after(limit.saturating_add(FLUSH)));
            Ok(response)
        }
    }
}

/// The open connections of one server; dropping it ends them.
pub(super) struct Connections {
    open: JoinSet<()>,
    front: Front,
    draining: Draining,
}

impl Connections {
    /// Creates the set; its connections end with the request at hand when `draining` begins.
    pub(super) fn new(front: Front, draining: Draining) -> Self {
        Self {
            open: JoinSet::new(),
            front,
            draining,
        }
    }

    /// Accepts for ever.
    pub(super) async fn accept_all(&mut self, listener: &Listener) {
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
                let socket = Socket::new(stream.into_split());
                self.open.spawn(connection(socket, front, draining));
            }
            Stream::Unix(stream) => {
                let socket = Socket::new(stream.into_split());
                self.open.spawn(connection(socket, front, draining));
            }
        }
    }

    /// Waits until all have ended, those that became WebSockets too.
    pub(super) async fn finish(&mut self) {
        while self.open.join_next().await.is_some() {}
        let upgraded = &self.front.routes.upgraded;
        upgraded.close();
        upgraded.wait().await;
    }

    /// Ends what is left, at once.
    pub(super) async fn shutdown(&mut self) {
        self.open.shutdown().await;
    }

    /// Returns how many are open, those that became WebSockets among them.
    pub(super) fn count(&self) -> usize {
        self.open.len() + self.front.routes.upgraded.len()
    }
}

/// Serves one connection to its end; when the server drains, that is the end of the request at hand.
async fn connection<R, W>(socket: Socket<R, W>, front: Front, draining: Draining)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: Half,
{
    let head_time = front.routes.settings.limits.head_time;
    let clock = Clock::new();
    let (mut alarm, mut draining) = (clock.alarm(), draining.begun());
    let steps = Arc::new_cyclic(|steps: &Weak<Steps<_>>| {
        let stepper = Stepper::of(steps.clone());
        let peer = Peer::new(&socket, clock.clone(), stepper);
        let line = Arc::new(Line {
            front,
            peer,
            clock: clock.clone(),
        });
        let service = service_fn(move |request| Arc::clone(&line).answer(request));
        let connection = http1::Builder::new()
            .timer(clock.clone())
            .header_read_timeout(head_time.min(LONGEST))
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        Steps::new(connection, clock)
    });
    let ended = poll_fn(|task| {
        loop {
            if let Poll::Ready(ended) = steps.poll(task) {
                return Poll::Ready(Some(ended));
            }
            if draining.poll(task).is_ready() {
                steps.between(UpgradeableConnection::graceful_shutdown);
                continue;
            }
            return alarm.poll(task).map(|()| None);
        }
    });
    match ended.await {
        Some(None | Some(Ok(()))) => {}
        // Callers who hang up and probes that speak something else are not worth a line in anyone's log.
        Some(Some(Err(error))) => tracing::debug!(target: LOGGER, "Connection ended: {error}"),
        None => {
            tracing::warn!(target: LOGGER, "Closing a connection whose caller does not read its answer");
        }
    }
}
