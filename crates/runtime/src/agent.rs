//! The seam between the server and what answers: a raw request in, an outcome out, and a status that never waits.
//!
//! Routes, ping, streams, drain and logs exist once, around [`Agent`]; an `App` of Rust functions implements it, and so
//! does a worker process that holds an agent in another language. Nothing here knows HTTP routes or JSON payloads.

use std::pin::Pin;
use std::time::Duration;

pub use axum::body::Body;
use bytes::Bytes;
pub use futures_core::future::BoxFuture;
use futures_core::stream::Stream;
use tokio::time::Instant;

use crate::context::Context;
use crate::failure::Failure;
use crate::limits::Hold;
use crate::server::Stepper;
use crate::websocket::Handshake;
use crate::{PingStatus, sse};

/// Something that answers invocations.
pub trait Agent: Send + Sync + 'static {
    /// Answers one invocation. Dropping the future cancels it as far as the agent can be cancelled.
    ///
    /// The future is polled on the threads that answer `/ping`, so it must not block.
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome>;

    /// Answers a WebSocket connection on `/ws`; `None` if the agent has no handler for them, which answers 404.
    ///
    /// The future ends when the agent is done with the connection: `Ok` closes it with 1000, an error with 1011. Dropping it
    /// cancels the work as [`Agent::invoke`] does. The default returns `None`.
    fn websocket(&self, handshake: Handshake) -> Option<BoxFuture<'static, Result<(), Failure>>> {
        drop(handshake);
        None
    }

    /// Returns the status now. Must return at once: `/ping` calls it.
    fn status(&self) -> AgentStatus;

    /// Begins to bring the status up to date, if that takes more than a look; called before each ping's [`Agent::status`].
    ///
    /// The future must end soon, whatever the agent does: the ping waits for it. The default returns `None`.
    fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }

    /// Says which requests the agent wants. Must return at once: each request asks it.
    ///
    /// `GET` and `HEAD` of `/ping` are the server's in any case: they answer whatever the agent does. The default is
    /// [`Wants::Invocations`].
    fn wants(&self) -> Wants {
        Wants::Invocations
    }

    /// Says whether the agent writes the line in the log about an invocation that went well, so that the server does not.
    ///
    /// Failures are the server's to log unless they are marked ([`Failure::already_logged`]). The default is `false`.
    fn writes_its_own_log(&self) -> bool {
        false
    }

    /// Called once, when the server begins to shut down, beside the drain.
    ///
    /// What the agent still does after `grace` it cuts, and logs what that was, before the future ends; half a second later
    /// the server waits no longer. The default does nothing.
    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        let _ = grace;
        Box::pin(std::future::ready(()))
    }

    /// Called once, when [`Agent::shutdown`] and the drain have ended: nothing is asked any more, and the agent is dropped next.
    ///
    /// For what open requests needed to their end. The server waits for what the grace has left, and half a second more.
    /// The default does nothing.
    fn drained(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Which requests an agent wants.
pub enum Wants {
    /// `POST /invocations`, and WebSockets on `/ws`. What everything else is told is the server's business.
    Invocations,
    /// Every request: those of any method and any path come to [`Agent::invoke`], which finds these in the context, and
    /// WebSockets of any path to [`Agent::websocket`].
    EveryRequest,
    /// Nobody knows yet, because the agent still loads. What is no invocation waits for the answer, which is `true` if the agent
    /// wants every request, and has a place and a limit of time meanwhile as an invocation has.
    NotKnownYet(BoxFuture<'static, bool>),
}

/// One request to an agent, with nothing interpreted but the headers of the contract.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Invocation {
    /// The request's body, whole, as it came.
    pub body: Bytes,
    /// Session, request id and headers.
    pub context: Context,
    /// When the answer has to begin at the latest: the server answers the caller itself then, and drops the future.
    pub deadline: Option<Instant>,
    /// The invocation's place among those that run; whoever goes on after the caller has left keeps it.
    pub hold: Hold,
    /// Where the answer goes: whoever makes it on other threads than the server's may bring it there.
    pub(crate) stepper: Stepper,
}

impl Invocation {
    /// Creates an invocation that has no deadline and takes nobody's place.
    pub fn new(body: impl Into<Bytes>, context: Context) -> Self {
        Self {
            body: body.into(),
            context,
            deadline: None,
            hold: Hold::default(),
            stepper: Stepper::default(),
        }
    }
}

/// How an invocation ended, or began to stream.
pub enum Outcome {
    /// One JSON text: a 200 with `content-type: application/json`.
    Json(Bytes),
    /// A stream of server-sent events: a 200 with `content-type: text/event-stream; charset=utf-8`.
    Events(EventStream),
    /// A ready-made answer, passed through as it is.
    Response(http::Response<Body>),
    /// An error answer.
    Failed(Failure),
}

/// The events of an answer. A failure becomes an error event and is the last one.
///
/// The server takes items only as fast as the connection takes what they become, and drops the stream the moment the
/// caller goes away.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StreamItem, Failure>> + Send>>;

/// One item of an [`EventStream`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// One JSON text, sent as `data: <text>`.
    Json(Bytes),
    /// An event with its own name, id or retry time.
    Event(sse::Event),
}

/// Whether an agent is ready, and if so, whether it has work in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStatus {
    /// Not loaded yet: `/ping` answers 503, and invocations wait in [`Agent::invoke`].
    Starting,
    /// Loaded.
    Ready(PingStatus),
    /// Loaded, and the author has decided about the status: no setting of the server changes it
    /// ([`ServerSettings::busy_while_invoking`](crate::ServerSettings::busy_while_invoking)).
    Decided(PingStatus),
}
