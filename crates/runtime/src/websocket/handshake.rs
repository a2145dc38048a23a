//! The decision about a connection: an agent accepts it or refuses it, and the server does what it says.

use std::fmt;

use http::StatusCode;
use tokio::sync::oneshot;

use super::message::WebSocketError;
use super::socket::{FarEnd, WebSocket, pair};
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
    offered: Vec<String>,
    decision: oneshot::Sender<Decision>,
}

/// What becomes of a handshake.
pub(super) enum Decision {
    /// The connection is wanted.
    Accept(Acceptance),
    /// Answered by a status and nothing else.
    Refuse(StatusCode),
    /// Answered as a failed invocation is.
    Fail(Failure),
}

/// The server's part of a connection that was accepted.
pub(super) struct Acceptance {
    /// One of the protocols that were offered.
    pub(super) protocol: Option<String>,
    pub(super) far: FarEnd,
    /// Told when the connection speaks WebSocket; dropped if it never does.
    pub(super) opened: oneshot::Sender<()>,
}

impl Handshake {
    pub(super) fn new(
        context: Context,
        offered: Vec<String>,
        hold: Hold,
    ) -> (Self, oneshot::Receiver<Decision>) {
        let (decision, decided) = oneshot::channel();
        let handshake = Self {
            context,
            hold,
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

    /// Accepts the connection, with one of the protocols that were offered or with none, and waits until it is open.
    ///
    /// A client that offered protocols and gets none may hang up.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::ProtocolNotOffered`], which refuses the connection, and [`WebSocketError::Closed`] if
    /// the client has gone meanwhile or the server ends.
    pub async fn accept(self, protocol: Option<&str>) -> Result<WebSocket, WebSocketError> {
        if protocol.is_some_and(|name| !self.offered.iter().any(|offer| offer == name)) {
            return Err(WebSocketError::ProtocolNotOffered);
        }
        let protocol = protocol.map(ToOwned::to_owned);
        let (near, far) = pair(protocol.clone());
        let (opened, opening) = oneshot::channel();
        let acceptance = Acceptance {
            protocol,
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
        // Nobody hears it if the client has gone.
        let _ = self.decision.send(Decision::Refuse(status));
    }

    /// Refuses the connection with the answer that a failed invocation gets.
    pub fn fail(self, failure: Failure) {
        let _ = self.decision.send(Decision::Fail(failure));
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            context,
            hold,
            offered,
            decision: _,
        } = self;
        f.debug_struct("Handshake")
            .field("context", context)
            .field("hold", hold)
            .field("protocols", &offered.len())
            .finish()
    }
}
