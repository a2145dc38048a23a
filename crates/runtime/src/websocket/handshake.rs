//! The decision about a connection: an agent accepts it or refuses it, and the server does what it says.

use std::fmt;

use http::{HeaderMap, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::message::WebSocketError;
use super::socket::{FarEnd, WebSocket, pair};
use crate::agent::Body;
use crate::context::Context;
use crate::failure::Failure;
use crate::limits::Hold;

/// A WebSocket connection that waits for an agent's decision.
///
/// Dropped without one, or by an agent whose future ends before it, it is refused with 403, as in the reference SDK.
pub struct Handshake {
    pub(crate) context: Context,
    /// The connection's place among those that are open.
    pub(crate) hold: Hold,
    deadline: Option<Instant>,
    offered: Vec<String>,
    decision: oneshot::Sender<Decision>,
}

/// What becomes of a handshake.
pub(super) enum Decision {
    /// The connection is wanted.
    Accept(Acceptance),
    Refuse(Refusal),
}

/// How a handshake is answered that is refused.
pub(super) enum Refusal {
    /// By a status and nothing else.
    Status(StatusCode),
    /// By an answer that the agent has made.
    Answer(Response<Body>),
    /// As a failed invocation is.
    Failure(Failure),
}

/// The server's part of a connection that was accepted.
pub(super) struct Acceptance {
    /// One of the protocols that were offered.
    pub(super) protocol: Option<String>,
    /// What the agent adds to the answer.
    pub(super) headers: HeaderMap,
    pub(super) far: FarEnd,
    /// Told when the connection speaks WebSocket; dropped if it never does.
    pub(super) opened: oneshot::Sender<()>,
}

impl Decision {
    /// The answer of an agent that says nothing.
    pub(super) const FORBIDDEN: Self = Self::Refuse(Refusal::Status(StatusCode::FORBIDDEN));
}

impl Handshake {
    pub(super) fn new(
        context: Context,
        offered: Vec<String>,
        hold: Hold,
        deadline: Option<Instant>,
    ) -> (Self, oneshot::Receiver<Decision>) {
        let (decision, decided) = oneshot::channel();
        let handshake = Self {
            context,
            hold,
            deadline,
            offered,
            decision,
        };
        (handshake, decided)
    }

    /// Returns the session, request id, headers and address of the request that asked for the connection.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Returns the protocols that the client offers, the one it likes best first (`Sec-WebSocket-Protocol`).
    ///
    /// Callers of the service may hide a bearer token among them, so they are not for a log.
    pub fn protocols(&self) -> &[String] {
        &self.offered
    }

    /// Returns when the agent has to have decided; `None` if it may take as long as it likes. At that moment the server answers the
    /// client itself, and drops the future of [`Agent::websocket`](crate::Agent::websocket).
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Accepts the connection, with one of the protocols that were offered or with none, and waits until it is open.
    ///
    /// A client that offered protocols and gets none may hang up.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::ProtocolNotOffered`], which refuses the connection, and [`WebSocketError::Closed`] if
    /// the client has gone meanwhile or the server ends.
    pub async fn accept(self, protocol: Option<&str>) -> Result<WebSocket, WebSocketError> {
        self.accept_with(protocol, HeaderMap::new()).await
    }

    /// Accepts the connection as [`accept`](Self::accept) does, with headers for the answer.
    ///
    /// Those of the handshake itself (`Connection`, `Upgrade`, `Sec-WebSocket-…`) and those about a body are the server's and
    /// left out.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub async fn accept_with(
        self,
        protocol: Option<&str>,
        headers: HeaderMap,
    ) -> Result<WebSocket, WebSocketError> {
        if protocol.is_some_and(|name| !self.offered.iter().any(|offer| offer == name)) {
            return Err(WebSocketError::ProtocolNotOffered);
        }
        let protocol = protocol.map(ToOwned::to_owned);
        let (near, far) = pair(protocol.clone());
        let (opened, opening) = oneshot::channel();
        let acceptance = Acceptance {
            protocol,
            headers,
            far,
            opened,
        };
        let decided = self.decision.send(Decision::Accept(acceptance));
        decided.map_err(|_| WebSocketError::Closed)?;
        opening.await.map_err(|_| WebSocketError::Closed)?;
        Ok(near)
    }

    /// Refuses the connection with a status and an empty body; a status below 300 counts as 403.
    pub fn refuse(self, status: StatusCode) {
        let is_refusal = status.as_u16() >= 300;
        let status = if is_refusal {
            status
        } else {
            StatusCode::FORBIDDEN
        };
        self.decide(Refusal::Status(status));
    }

    /// Refuses the connection with an answer of the agent's own, passed through as it is; a status below 200, which is none,
    /// counts as 403.
    ///
    /// Its body may go on when the future of [`Agent::websocket`](crate::Agent::websocket) has ended.
    pub fn refuse_with(self, mut response: Response<Body>) {
        if response.status().is_informational() {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        self.decide(Refusal::Answer(response));
    }

    /// Refuses the connection with the answer that a failed invocation gets.
    pub fn fail(self, failure: Failure) {
        self.decide(Refusal::Failure(failure));
    }

    fn decide(self, refusal: Refusal) {
        // Nobody hears it if the client has gone.
        let _ = self.decision.send(Decision::Refuse(refusal));
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            context,
            hold,
            deadline,
            offered,
            decision: _,
        } = self;
        f.debug_struct("Handshake")
            .field("context", context)
            .field("hold", hold)
            .field("deadline", deadline)
            .field("protocols", &offered.len())
            .finish()
    }
}
