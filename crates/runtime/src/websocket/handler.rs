//! Functions that handle WebSockets, and how an [`App`] takes one.
//!
//! The traits are implemented for functions and are not meant to be implemented elsewhere; their parameter only tells the
//! shapes apart and is always inferred.

use std::sync::Arc;

use super::handshake::Handshake;
use super::socket::WebSocket;
use crate::agent::BoxFuture;
use crate::app::App;
use crate::context::Context;
use crate::failure::Failure;
use crate::isolate::Isolate;
use crate::reply::IntoFailure;

/// A handler in the one form that the server knows; the function's own type is gone.
type AnyHandler =
    dyn Fn(WebSocket, Context) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

/// What an app does with WebSockets.
#[derive(Clone, Default)]
pub(crate) struct WebSockets {
    handler: Option<Arc<AnyHandler>>,
    protocols: Arc<[String]>,
}

impl WebSockets {
    /// Accepts a connection and handles it on the threads that `begin` returns; a failure of that refuses it.
    ///
    /// Returns `None` if there is no handler. Dropping the future ends the work.
    pub(crate) fn answer<'a>(
        &self,
        mut handshake: Handshake,
        begin: impl FnOnce(&mut Handshake) -> Result<&'a Isolate, Failure>,
    ) -> Option<BoxFuture<'static, Result<(), Failure>>> {
        let handler = self.handler.clone()?;
        let threads = match begin(&mut handshake) {
            Ok(threads) => threads,
            Err(failure) => {
                handshake.fail(failure);
                return Some(Box::pin(std::future::ready(Ok(()))));
            }
        };
        let protocols = Arc::clone(&self.protocols);
        let work = threads.run_while_wanted(handshake.hold.clone(), async move {
            let context = handshake.context().clone();
            let offered = handshake.protocols().to_vec();
            let chosen = offered.iter().find(|offer| protocols.contains(offer));
            match handshake.accept(chosen.map(String::as_str)).await {
                Ok(socket) => handler(socket, context).await,
                // The client left before it was there.
                Err(_) => Ok(()),
            }
        });
        Some(Box::pin(async move { work.await.flatten() }))
    }
}

/// A function that handles a WebSocket.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a WebSocket handler",
    note = "write an `async fn` of `(WebSocket, Context)` that returns `()` or a `Result<(), E>`",
    note = "the error implements `std::error::Error`, or it is a boxed error or a `String`"
)]
pub trait WebSocketHandler<M>: Send + Sync + 'static {
    /// Begins to handle one connection.
    fn handle(&self, socket: WebSocket, context: Context) -> Handling;
}

/// A connection that is being handled.
pub struct Handling(BoxFuture<'static, Result<(), Failure>>);

impl<F, W, M> WebSocketHandler<M> for F
where
    F: Fn(WebSocket, Context) -> W + Send + Sync + 'static,
    W: Future<Output: IntoEnd<M>> + Send + 'static,
{
    fn handle(&self, socket: WebSocket, context: Context) -> Handling {
        let work = self(socket, context);
        Handling(Box::pin(async move { work.await.into_end() }))
    }
}

/// What a WebSocket handler may return: nothing, or a `Result` of nothing.
#[diagnostic::on_unimplemented(
    message = "a WebSocket handler cannot return `{Self}`",
    note = "it returns `()` or a `Result<(), E>`, whose error implements `std::error::Error`, or is a boxed error or a `String`"
)]
pub trait IntoEnd<M> {
    /// Turns the value into the failure that it stands for, if it does.
    fn into_end(self) -> Result<(), Failure>;
}

impl IntoEnd<()> for () {
    fn into_end(self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<E: IntoFailure<M>, M> IntoEnd<(M,)> for Result<(), E> {
    fn into_end(self) -> Result<(), Failure> {
        self.map_err(E::into_failure)
    }
}

impl App {
    /// Handles WebSocket connections on `/ws`.
    ///
    /// The handler is an `async fn` of `(WebSocket, Context)` that returns `()` or a `Result<(), E>`; it runs on the agent's threads.
    /// When it returns the connection is closed: with 1000, or with 1011 if it returned an error or panicked, which the log
    /// explains and the client does not learn. When the client closes or vanishes, [`WebSocket::recv`] returns `None` and the
    /// handler goes on to its end. It is cancelled only when the server ends (1001) or the connection was open for longer
    /// than [`Limits::stream`](crate::Limits::stream) (1008).
    ///
    /// A message may have 16 MiB (1009), compression is not offered, and every origin is served: a handler that browsers must not
    /// reach from foreign pages looks at the `Origin` in [`Context::headers`].
    ///
    /// ```
    /// use agentcore_runtime::{App, Context, WebSocket, WebSocketError};
    /// use serde_json::{Value, json};
    ///
    /// async fn chat(mut socket: WebSocket, context: Context) -> Result<(), WebSocketError> {
    ///     while let Some(message) = socket.recv().await {
    ///         let prompt: Value = message.json()?;
    ///         socket.send_json(&json!({ "said": prompt, "by": context.session_id().map(|id| id.as_str()) })).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let app = App::new(async |payload: Value| payload).websocket(chat);
    /// # drop(app);
    /// ```
    pub fn websocket<M>(mut self, handler: impl WebSocketHandler<M>) -> Self {
        self.websocket.handler = Some(Arc::new(move |socket, context| {
            handler.handle(socket, context).0
        }));
        self
    }

    /// Names the protocols (`Sec-WebSocket-Protocol`) that the handler speaks: the first one of the client's that is among them is
    /// agreed on, and [`WebSocket::protocol`] says which.
    ///
    /// A client that offers others only is accepted without one, and most hang up then.
    pub fn websocket_protocols<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.websocket.protocols = names.into_iter().map(Into::into).collect();
        self
    }
}
