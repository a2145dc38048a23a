//! WebSockets on `/ws`: the handshake, the connection as an agent sees it, and the functions that handle one.
//!
//! Frames are read and written on the server's threads, the handler runs on the agent's.

use std::sync::Arc;

use crate::agent::BoxFuture;
use crate::context::Context;
use crate::failure::Failure;
use crate::isolate::Isolate;

/// A WebSocket connection that waits to be accepted.
#[derive(Debug)]
pub struct Handshake {
    context: Context,
}

impl Handshake {
    /// Returns the session, request id and headers of the request that asked for the connection.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

/// A WebSocket handler in the one form that the server knows.
pub(crate) type AnyWebSocketHandler =
    Arc<dyn Fn(Handshake, &Isolate) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;
