//! The protocol on a connection: messages in both directions at once, in one task, without waiting in either.
//!
//! Frames are tungstenite's business; this module decides what is read and written when.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite as ts;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::message::{CloseReason, Message};
use super::pulse::{Traffic, Vitals};
use super::socket::Command;

/// The longest message that is read, in bytes; the reference's limit.
const LONGEST_MESSAGE: usize = 16 * 1024 * 1024;
/// Each connection has a buffer of this size for each direction, so that ten thousand silent ones stay cheap.
const BUFFER: usize = 8 * 1024;

/// One connection that speaks WebSocket.
pub(super) struct Wire<S> {
    ws: WebSocketStream<Counted<S>>,
    /// Taken from the handler's line, but not by the connection yet.
    unsent: Option<ts::Message>,
    out: Out,
    /// The handler's line is empty for ever, and [`Event::Drained`] was told.
    is_drained: bool,
    ping: Ping,
    /// Takes turns, so that a client that never stops sending is answered nevertheless.
    writes_first: bool,
}

/// What the connection has taken for the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Out {
    /// All of it is written.
    Flushed,
    Unflushed,
    /// Writing failed; what the client sent before it left is still read.
    Broken,
}

/// Where the last ping is.
enum Ping {
    Due,
    /// On its way into the socket.
    Going,
    Written(Instant),
}

/// What happened on a connection.
pub(super) enum Event {
    /// The client sent something.
    Message(Message),
    /// The client closed the connection.
    Closed(CloseReason),
    /// The client broke the protocol or a limit, and is told this.
    Failed(CloseReason),
    /// The connection is gone.
    Lost,
    /// The handler wants to close.
    CloseAsked(CloseReason),
    /// All that the handler sent is written, and no more will come; told once.
    Drained,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) async fn new(io: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let io = Counted {
            io,
            traffic: Traffic::default(),
        };
        Self {
            ws: WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await,
            unsent: None,
            out: Out::Flushed,
            is_drained: false,
            ping: Ping::Written(Instant::now()),
            writes_first: false,
        }
    }

    /// Writes what the handler sends, and reads what the client does if the pump `reads`, until something happens.
    pub(super) fn poll_event(
        &mut self,
        task: &mut TaskContext<'_>,
        outgoing: &mut mpsc::Receiver<Command>,
        reads: bool,
    ) -> Poll<Event> {
        self.writes_first = !self.writes_first;
        if self.writes_first
            && let Poll::Ready(event) = self.poll_write(task, outgoing, reads)
        {
            return Poll::Ready(event);
        }
        if reads && let Poll::Ready(event) = self.poll_read(task) {
            return Poll::Ready(event);
        }
        if self.writes_first {
            return Poll::Pending;
        }
        self.poll_write(task, outgoing, reads)
    }

    /// Returns whether [`Event::Drained`] was told.
    pub(super) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Sends a ping as soon as the connection takes it; one that waits already is enough.
    pub(super) fn ping(&mut self) {
        self.ping = Ping::Due;
    }

    /// Returns how the connection does; `reads` is the pump's to know.
    pub(super) fn vitals(&self, reads: bool) -> Vitals {
        let pinged = match self.ping {
            Ping::Due | Ping::Going => None,
            Ping::Written(at) => Some(at),
        };
        Vitals {
            traffic: self.ws.get_ref().traffic,
            pinged,
            reads,
        }
    }

    /// Writes what is left, such as the answer to the client's close frame.
    pub(super) async fn flush(&mut self) {
        // The connection ends next, whether that worked or not.
        let _ = SinkExt::flush(&mut self.ws).await;
    }

    /// Sends a close frame and waits for the client's, passing over what it sends before that.
    pub(super) async fn close(&mut self, reason: CloseReason) {
        let mut frame = Some(close_frame(reason));
        std::future::poll_fn(|task| {
            if frame.is_some() {
                match self.ws.poll_ready_unpin(task) {
                    Poll::Ready(Ok(())) => {
                        // A failure shows when it is flushed or read.
                        let _ = self.ws.start_send_unpin(ts::Message::Close(frame.take()));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            if frame.is_none()
                && let Poll::Ready(Err(_)) = self.ws.poll_flush_unpin(task)
            {
                return Poll::Ready(());
            }
            loop {
                match ready!(self.ws.poll_next_unpin(task)) {
                    Some(Ok(ts::Message::Close(_)) | Err(_)) | None => return Poll::Ready(()),
                    Some(Ok(_)) => {}
                }
            }
        })
        .await;
        self.flush().await;
    }

    /// Sends a close frame to a client that cannot be understood any more, and waits until it hangs up.
    ///
    /// A connection that is dropped while the client still sends is reset, and the frame would be lost.
    pub(super) async fn fail(&mut self, reason: CloseReason) {
        if self.ws.close(Some(close_frame(reason))).await.is_err() {
            return;
        }
        let io = &mut self.ws.get_mut().io;
        if io.shutdown().await.is_err() {
            return;
        }
        let mut rest = vec![0; BUFFER];
        while let Ok(1..) = io.read(&mut rest).await {}
    }

    fn poll_read(&mut self, task: &mut TaskContext<'_>) -> Poll<Event> {
        loop {
            let event = match ready!(self.ws.poll_next_unpin(task)) {
                Some(Ok(ts::Message::Text(text))) => {
                    Event::Message(Message::Text(text.as_str().to_owned()))
                }
                Some(Ok(ts::Message::Binary(bytes))) => Event::Message(Message::Binary(bytes)),
                Some(Ok(ts::Message::Close(frame))) => Event::Closed(close_reason(frame)),
                Some(Ok(ts::Message::Ping(_))) => {
                    // Its pong is in the connection's hands and may wait there.
                    if self.out == Out::Flushed {
                        self.out = Out::Unflushed;
                    }
                    continue;
                }
                Some(Ok(ts::Message::Pong(_) | ts::Message::Frame(_))) => continue,
                Some(Err(error)) => fault(&error).map_or(Event::Lost, Event::Failed),
                None => Event::Lost,
            };
            return Poll::Ready(event);
        }
    }

    fn poll_write(
        &mut self,
        task: &mut TaskContext<'_>,
        outgoing: &mut mpsc::Receiver<Command>,
        reads: bool,
    ) -> Poll<Event> {
        if self.out != Out::Broken {
            match ready!(self.try_poll_write(task, outgoing)) {
                Ok(event) => return Poll::Ready(event),
                Err(_) => self.out = Out::Broken,
            }
        }
        // A client that closed and left in one go has sent its reason before it: reading finds it, or the end.
        if reads {
            Poll::Pending
        } else {
            Poll::Ready(Event::Lost)
        }
    }

    fn try_poll_write(
        &mut self,
        task: &mut TaskContext<'_>,
        outgoing: &mut mpsc::Receiver<Command>,
    ) -> Poll<Result<Event, ts::Error>> {
        let mut is_last = false;
        loop {
            if self.unsent.is_none() && matches!(self.ping, Ping::Due) {
                self.ping = Ping::Going;
                self.unsent = Some(ts::Message::Ping(bytes::Bytes::new()));
            }
            if self.unsent.is_none() {
                match outgoing.poll_recv(task) {
                    Poll::Ready(Some(Command::Send(message))) => {
                        self.unsent = Some(into_ts(message));
                    }
                    Poll::Ready(Some(Command::Close(reason))) => {
                        return Poll::Ready(Ok(Event::CloseAsked(reason)));
                    }
                    Poll::Ready(None) => is_last = true,
                    Poll::Pending => {}
                }
            }
            if self.unsent.is_none() {
                break;
            }
            ready!(self.ws.poll_ready_unpin(task))?;
            if let Some(message) = self.unsent.take() {
                self.ws.start_send_unpin(message)?;
                self.out = Out::Unflushed;
            }
        }
        if self.out == Out::Unflushed {
            ready!(self.ws.poll_flush_unpin(task))?;
            self.out = Out::Flushed;
            if matches!(self.ping, Ping::Going) {
                self.ping = Ping::Written(Instant::now());
            }
        }
        if is_last && !self.is_drained {
            self.is_drained = true;
            return Poll::Ready(Ok(Event::Drained));
        }
        Poll::Pending
    }
}

/// Counts what goes through a connection.
struct Counted<S> {
    io: S,
    traffic: Traffic,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(task, buffer);
        this.traffic.read += (buffer.filled().len() - before) as u64;
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(task, bytes))?;
        this.traffic.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(task)
    }
}

/// Returns what a client that made `error` is told; `None` if the connection failed and not the client.
fn fault(error: &ts::Error) -> Option<CloseReason> {
    match error {
        ts::Error::Capacity(_) => Some(CloseReason::new(
            1009,
            format!("a message may have {LONGEST_MESSAGE} bytes"),
        )),
        ts::Error::Utf8(_) => Some(CloseReason::new(1007, "a text has to be UTF-8")),
        ts::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        ts::Error::Protocol(_) => Some(CloseReason::new(1002, "")),
        _ => None,
    }
}

fn into_ts(message: Message) -> ts::Message {
    match message {
        Message::Text(text) => ts::Message::Text(text.into()),
        Message::Binary(bytes) => ts::Message::Binary(bytes),
    }
}

fn close_frame(CloseReason { code, reason }: CloseReason) -> CloseFrame {
    CloseFrame {
        code: code.into(),
        reason: reason.into(),
    }
}

fn close_reason(frame: Option<CloseFrame>) -> CloseReason {
    match frame {
        Some(frame) => CloseReason::new(frame.code.into(), frame.reason.as_str()),
        None => CloseReason::new(1005, ""),
    }
}
