//! The open connections of a server: each is served to its end, which the drain and the limits of an answer may bring.
//!
//! What a request is answered is not decided here.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncRead;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::FLUSH;
use super::accept::{Stream, accept};
use super::socket::{Half, Peer, Socket};
use crate::address::Listener;
use crate::body::{AnswerBody, Lasting};
use crate::log::LOGGER;
use crate::routes::Routes;

/// What requests come to: the routes, or a router with more than these.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) routes: Arc<Routes>,
    pub(super) router: Option<Router>,
}

impl Front {
    async fn answer(self, mut request: Request<Incoming>, peer: Peer) -> Response<AnswerBody> {
        match self.router {
            None => self.routes.answer(request, &peer).await,
            Some(router) => {
                request.extensions_mut().insert(peer);
                match router.oneshot(request.map(Body::new)).await {
                    Ok(response) => response.map(AnswerBody::Other),
                    Err(never) => match never {},
                }
            }
        }
    }
}

/// The open connections of one server; dropping it ends them.
pub(super) struct Connections {
    open: JoinSet<()>,
    front: Front,
    draining: CancellationToken,
}

impl Connections {
    /// Creates the set; its connections end with the request at hand when `draining` is cancelled.
    pub(super) fn new(front: Front, draining: CancellationToken) -> Self {
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
async fn connection<R, W>(socket: Socket<R, W>, front: Front, draining: CancellationToken)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: Half,
{
    let head_time = front.routes.settings.limits.head_time;
    let (peer, answer) = (socket.peer(), CurrentAnswer::default());
    let begun = answer.clone();
    let service = service_fn(move |request| {
        let (front, peer, begun) = (front.clone(), peer.clone(), begun.clone());
        async move {
            let mut response = front.answer(request, peer).await;
            begun.set(response.extensions_mut().remove());
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let mut overdue = Overdue {
        answer,
        alarm: None,
    };
    let mut drains = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            () = draining.cancelled(), if !drains => {
                drains = true;
                connection.as_mut().graceful_shutdown();
            }
            () = poll_fn(|task| overdue.poll(task)) => {
                tracing::warn!(target: LOGGER, "Closing a connection whose caller does not read its answer");
                return;
            }
        }
    };
    if let Err(error) = ended {
        // Callers who hang up and probes that speak something else are not worth a line in anyone's log.
        tracing::debug!(target: LOGGER, "Connection ended: {error}");
    }
}

/// The answer that a connection sends at the moment, if it is one that lasts.
#[derive(Clone, Default)]
struct CurrentAnswer(Arc<Mutex<Option<Lasting>>>);

impl CurrentAnswer {
    fn set(&self, lasting: Option<Lasting>) {
        if let Some(lasting) = lasting {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(lasting);
        }
    }

    fn take(&self) -> Option<Lasting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Notices an answer that is beyond its limit and cannot end, because its body is not asked for anything while its caller
/// does not read.
struct Overdue {
    answer: CurrentAnswer,
    alarm: Option<(Lasting, Pin<Box<Sleep>>)>,
}

impl Overdue {
    /// Completes when the answer at hand is overdue; called after each step of the connection.
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(lasting) = self.answer.take() {
            // The end that the body makes itself has some time to reach its caller.
            let at = lasting.deadline.checked_add(FLUSH);
            self.alarm = at.map(|at| (lasting, Box::pin(sleep_until(at))));
        }
        let Some((lasting, alarm)) = &mut self.alarm else {
            return Poll::Pending;
        };
        if lasting.goes_on() {
            ready!(alarm.as_mut().poll(task));
            // It may have ended in the meantime, without a step of this task.
            if lasting.goes_on() {
                return Poll::Ready(());
            }
        }
        self.alarm = None;
        Poll::Pending
    }
}
