//! A connection as its handler sees it, and the queues between it and the server's threads.
//!
//! Both queues are bounded: what came in by bytes, because the client decides how much that is, and what goes out by messages. A
//! handler that does not read so stops the client, and a client that does not read stops the handler.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};

use futures_core::Stream;
use futures_util::{Sink, SinkExt};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce, mpsc};
use tokio_util::sync::PollSender;

use super::message::{CloseReason, Message, WebSocketError};

/// How many bytes may wait for a handler; one message may be longer than that, if it waits alone.
const ROOM: u32 = 1024 * 1024;
/// What a message takes of that beside its own bytes, so that a million empty ones are not free.
const OVERHEAD: u32 = 128;
/// How many messages of a handler may wait for the client.
const WRITE_AHEAD: usize = 32;

/// An open WebSocket connection.
///
/// Messages are taken by [`recv`](Self::recv) and sent by [`send`](Self::send); it is a [`Stream`] and a `Sink` too, so
/// `StreamExt::split` makes two halves of it. The server answers pings and closes the connection when the handler
/// ends: with 1000 if that went well, with 1011 if it failed; and it does so even if the handler gave the connection to
/// a task that goes on. To close it earlier, or with a code of its own, a handler calls [`close`](Self::close).
pub struct WebSocket {
    incoming: mpsc::UnboundedReceiver<Queued>,
    outgoing: PollSender<Command>,
    ended: Arc<SetOnce<CloseReason>>,
    protocol: Option<String>,
}

/// A message that waits for the handler.
struct Queued {
    message: Message,
    _room: OwnedSemaphorePermit,
}

/// What a handler wants to be written.
pub(super) enum Command {
    Send(Message),
    Close(CloseReason),
}

/// The server's end of the queues.
pub(super) struct FarEnd {
    pub(super) inbox: Inbox,
    pub(super) outgoing: mpsc::Receiver<Command>,
}

/// Where messages for the handler go.
pub(super) struct Inbox {
    sender: Option<mpsc::UnboundedSender<Queued>>,
    room: Arc<Semaphore>,
    ended: Arc<SetOnce<CloseReason>>,
}

/// Creates both ends.
pub(super) fn pair(protocol: Option<String>) -> (WebSocket, FarEnd) {
    let (sender, incoming) = mpsc::unbounded_channel();
    let (commands, outgoing) = mpsc::channel(WRITE_AHEAD);
    let ended = Arc::new(SetOnce::new());
    let near = WebSocket {
        incoming,
        outgoing: PollSender::new(commands),
        ended: Arc::clone(&ended),
        protocol,
    };
    let inbox = Inbox {
        sender: Some(sender),
        room: Arc::new(Semaphore::new(ROOM as usize)),
        ended,
    };
    (near, FarEnd { inbox, outgoing })
}

impl WebSocket {
    /// Returns the next message; `None` once the connection has ended, which [`close_reason`](Self::close_reason) then explains.
    ///
    /// What came before the end is returned first. Cancel-safe: no message is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Message> {
        self.incoming.recv().await.map(|queued| queued.message)
    }

    /// Sends a text or bytes.
    ///
    /// The future ends when the message is in line to be written; some 32 may be, so one that waits means that the client reads too
    /// slowly.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::Closed`] if the connection has ended or was closed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        self.feed(message.into()).await
    }

    /// Sends a text, as [`send`](Self::send) does.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), WebSocketError> {
        self.send(text.into()).await
    }

    /// Sends a value as a text that is JSON without spaces, as [`send`](Self::send) does.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::Unwritable`] if the value is no JSON, and as [`send`](Self::send).
    pub async fn send_json(
        &mut self,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), WebSocketError> {
        let text = serde_json::to_string(value)
            .map_err(|error| WebSocketError::Unwritable(error.to_string()))?;
        self.send(text).await
    }

    /// Closes the connection after what was sent so far, with a code and a reason for the client.
    ///
    /// Nothing can be sent after that, and nothing more is received. The future does not wait for the client.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::InvalidCloseCode`] and [`WebSocketError::CloseReasonTooLong`], after which the connection is still open, and
    /// [`WebSocketError::Closed`] if it has ended already.
    pub async fn close(
        &mut self,
        code: u16,
        reason: impl Into<String>,
    ) -> Result<(), WebSocketError> {
        let reason = CloseReason::new(code, reason).sendable()?;
        self.command(Command::Close(reason)).await?;
        self.outgoing.close();
        Ok(())
    }

    /// Returns how the connection ended; `None` as long as it is open.
    pub fn close_reason(&self) -> Option<&CloseReason> {
        self.ended.get()
    }

    /// Waits until the connection has ended. What came before that and was not received yet still can be.
    ///
    /// For a handler that does something else than to receive. A client that has sent more than may wait here is not read any
    /// more: that it leaves is seen when something is received, or when it does not take a ping.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + use<> {
        let ended = Arc::clone(&self.ended);
        async move { ended.wait().await.clone() }
    }

    /// Returns the protocol that was agreed on, if one was.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    async fn command(&mut self, command: Command) -> Result<(), WebSocketError> {
        let sent = self.outgoing.feed(command).await;
        sent.map_err(|_| WebSocketError::Closed)
    }
}

impl Stream for WebSocket {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Message>> {
        let queued = self.get_mut().incoming.poll_recv(task);
        queued.map(|queued| queued.map(|queued| queued.message))
    }
}

/// Closing the sink closes the connection with 1000. Flushing does nothing: what is in line is written at once.
impl Sink<Message> for WebSocket {
    type Error = WebSocketError;

    fn poll_ready(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        let ready = self.get_mut().outgoing.poll_reserve(task);
        ready.map_err(|_| WebSocketError::Closed)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), WebSocketError> {
        let sent = self.get_mut().outgoing.send_item(Command::Send(message));
        sent.map_err(|_| WebSocketError::Closed)
    }

    fn poll_flush(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Result<(), WebSocketError>> {
        let outgoing = &mut self.get_mut().outgoing;
        // An error means that it is closed, which is what is wanted.
        if ready!(outgoing.poll_reserve(task)).is_ok() {
            let _ = outgoing.send_item(Command::Close(CloseReason::new(1000, "")));
            outgoing.close();
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("protocol", &self.protocol)
            .field("close_reason", &self.close_reason())
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// Hands `message` over if there is room for it at once; without a handler that could read it, it is gone.
    pub(super) fn offer(&self, message: Message) -> Option<Message> {
        match Arc::clone(&self.room).try_acquire_many_owned(share(&message)) {
            Ok(room) => {
                self.put(message, room);
                None
            }
            Err(_) => Some(message),
        }
    }

    /// Waits until there is room for `message` and takes it; dropping the future before that takes nothing.
    pub(super) async fn wait(&self, message: &mut Option<Message>) {
        let share = message.as_ref().map_or(0, share);
        let room = Arc::clone(&self.room).acquire_many_owned(share).await;
        if let (Ok(room), Some(message)) = (room, message.take()) {
            self.put(message, room);
        }
    }

    fn put(&self, message: Message, room: OwnedSemaphorePermit) {
        let queued = Queued {
            message,
            _room: room,
        };
        if let Some(sender) = &self.sender {
            let _ = sender.send(queued);
        }
    }

    /// Says that nothing more will come, and why.
    pub(super) fn end(&mut self, reason: CloseReason) {
        let _ = self.ended.set(reason); // The first reason is the true one.
        self.sender = None;
    }
}

/// How much of the room a message takes.
fn share(message: &Message) -> u32 {
    let length = u32::try_from(message.as_bytes().len()).unwrap_or(ROOM);
    length.saturating_add(OVERHEAD).min(ROOM)
}
