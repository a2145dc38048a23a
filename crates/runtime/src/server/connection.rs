//! The open connections of a server: each is served to its end, which the drain and the limits of an answer may bring.
//!
//! What a request is answered is not decided here.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::FLUSH;
use super::accept::{Stream, accept};
use super::clock::{Alarm, Clock};
use super::draining::Draining;
use super::socket::{Half, Peer, Socket};
use crate::address::Listener;
use crate::body::{AnswerBody, Lasting};
use crate::log::LOGGER;
use crate::routes::{Asked, Routes};

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
    answer: CurrentAnswer,
}

impl Line {
    /// Answers a request.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send {
        // Before anything is awaited, because the request itself is large.
        let asked = match &self.front.router {
            None => Ok(Asked::of(request)),
            Some(router) => {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(self.peer.clone());
                Err(Box::pin(router.clone().oneshot(request)))
            }
        };
        async move {
            let mut response = match asked {
                Ok(asked) => self.front.routes.answer(asked, &self.peer).await,
                Err(routed) => routed.await?.map(AnswerBody::Other),
            };
            self.answer.set(response.extensions_mut().remove());
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
    let (clock, answer) = (Clock::new(), CurrentAnswer::default());
    let mut overdue = Overdue::new(clock.alarm(), answer.clone());
    let peer = Peer::new(&socket, clock.clone());
    let line = Arc::new(Line {
        front,
        peer,
        answer,
    });
    let service = service_fn(move |request| Arc::clone(&line).answer(request));
    let connection = http1::Builder::new()
        .timer(clock)
        .header_read_timeout(head_time)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let (mut connection, mut draining) = (pin!(connection), draining.begun());
    let ended = poll_fn(|task| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(task) {
                return Poll::Ready(Some(ended));
            }
            if draining.poll(task).is_ready() {
                connection.as_mut().graceful_shutdown();
                continue;
            }
            return overdue.poll(task).map(|()| None);
        }
    });
    match ended.await {
        Some(Ok(())) => {}
        // Callers who hang up and probes that speak something else are not worth a line in anyone's log.
        Some(Err(error)) => tracing::debug!(target: LOGGER, "Connection ended: {error}"),
        None => {
            tracing::warn!(target: LOGGER, "Closing a connection whose caller does not read its answer");
        }
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
    lasting: Option<Lasting>,
    alarm: Alarm,
}

impl Overdue {
    fn new(alarm: Alarm, answer: CurrentAnswer) -> Self {
        Self {
            answer,
            lasting: None,
            alarm,
        }
    }

    /// Completes when the answer at hand is overdue; called after each step of the connection.
    fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        if let Some(lasting) = self.answer.take() {
            self.lasting = Some(lasting);
        }
        loop {
            // It may end without a step of this task.
            self.lasting.take_if(|lasting| !lasting.goes_on());
            // The end that the body makes itself has some time to reach its caller.
            let lasting = self.lasting.as_ref();
            let due = lasting.and_then(|lasting| lasting.deadline.checked_add(FLUSH));
            ready!(self.alarm.poll(task, due));
            if self.lasting.as_ref().is_some_and(Lasting::goes_on) {
                return Poll::Ready(());
            }
        }
    }
}
