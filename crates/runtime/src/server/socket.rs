//! The two halves of a socket, as a connection reads and writes them, and as a request may watch them.
//!
//! A request whose body nobody reads yet has no other way to learn that its caller has gone: hyper stops reading a connection until
//! somebody wants what comes next.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio::time::{Instant, timeout_at};

use super::clock::Clock;
use super::steps::Stepper;
use crate::agent::BoxFuture;

/// A socket that somebody can watch while somebody else reads and writes it.
pub(super) struct Socket<R, W> {
    read: R,
    /// Shared for looks only: nobody else writes.
    write: Arc<W>,
}

/// The half that is written and watched: reading is the half that `hyper` does most, so tokio's own code does it.
pub(super) trait Half: Send + Sync + 'static {
    fn poll_ready(&self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>>;
    fn try_write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;
    fn shutdown(&self) -> io::Result<()>;
    /// Returns the address of the other side; `None` if it has none.
    fn address(&self) -> Option<SocketAddr>;
    /// Waits until the other side has closed the connection, or its sending side.
    fn left(&self) -> BoxFuture<'_, ()>;
}

/// The caller at the other end of a connection; nobody in particular by default.
///
/// It keeps nothing open.
#[derive(Clone, Default)]
pub(crate) struct Peer(Option<Known>);

#[derive(Clone)]
struct Known {
    half: Weak<dyn Half>,
    address: Option<SocketAddr>,
    /// Its deadlines and its steps.
    connection: Option<(Clock, Stepper)>,
}

impl Peer {
    /// Describes the caller at the other end of `socket`, whose connection has deadlines and takes steps.
    pub(super) fn new<R, W: Half>(socket: &Socket<R, W>, clock: Clock, stepper: Stepper) -> Self {
        let half: Weak<W> = Arc::downgrade(&socket.write);
        Self(Some(Known {
            half,
            address: socket.write.address(),
            connection: Some((clock, stepper)),
        }))
    }

    /// Waits until the caller has closed the connection, or its sending side; for ever where that cannot be seen.
    pub(crate) async fn left(&self) {
        match self.0.as_ref().and_then(|known| known.half.upgrade()) {
            Some(half) => half.left().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for the caller's answer until `deadline`; `None` if it did not come by then.
    pub(crate) async fn answer_by<F: Future>(
        &self,
        deadline: Instant,
        answer: F,
    ) -> Option<F::Output> {
        match self.connection() {
            Some((clock, _)) => clock.answer_by(deadline, answer).await,
            None => timeout_at(deadline, answer).await.ok(),
        }
    }

    /// Returns where the caller is; `None` if that cannot be said.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.0.as_ref()?.address
    }

    /// Describes the same caller for whoever waits apart from its connection.
    pub(super) fn apart(&self) -> Self {
        let known = self.0.as_ref();
        Self(known.map(|known| Known {
            half: known.half.clone(),
            address: known.address,
            connection: None,
        }))
    }

    /// Returns what brings the connection on that waits for an answer.
    pub(crate) fn stepper(&self) -> Stepper {
        let connection = self.connection();
        connection.map_or_else(Stepper::default, |(_, stepper)| stepper.clone())
    }

    fn connection(&self) -> Option<&(Clock, Stepper)> {
        self.0.as_ref()?.connection.as_ref()
    }
}

impl<R, W: Half> Socket<R, W> {
    pub(super) fn new((read, write): (R, W)) -> Self {
        let write = Arc::new(write);
        Self { read, write }
    }
}

impl<R: AsyncRead + Unpin, W: Half> AsyncRead for Socket<R, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(task, buffer)
    }
}

impl<R: Unpin, W: Half> AsyncWrite for Socket<R, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(task, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.write.poll_ready(task))?;
            match self.write.try_write(buffers) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.write.shutdown())
    }
}

/// Both kinds of socket have the same methods and no trait for them.
macro_rules! half {
    ($half:ty, $stream:ty, $blocking:ty, $address:expr) => {
        impl Half for $half {
            fn poll_ready(&self, task: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
                let stream: &$stream = self.as_ref();
                stream.poll_write_ready(task)
            }

            fn try_write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.try_write_vectored(buffers)
            }

            fn shutdown(&self) -> io::Result<()> {
                // By way of a copy of the descriptor, because tokio's own way wants the half for itself.
                let stream: &$stream = self.as_ref();
                let copy = stream.as_fd().try_clone_to_owned()?;
                <$blocking>::from(copy).shutdown(Shutdown::Write)
            }

            fn address(&self) -> Option<SocketAddr> {
                $address(self)
            }

            #[cfg(any(target_os = "linux", target_os = "android"))]
            fn left(&self) -> BoxFuture<'_, ()> {
                Box::pin(async {
                    // The interest in urgent data, because it is woken by the end and not by ordinary data, which waits here unread.
                    match self.ready(tokio::io::Interest::PRIORITY).await {
                        Ok(ready) if ready.is_read_closed() => {}
                        _ => std::future::pending().await,
                    }
                })
            }

            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            fn left(&self) -> BoxFuture<'_, ()> {
                Box::pin(std::future::pending())
            }
        }
    };
}

half!(
    tcp::OwnedWriteHalf,
    TcpStream,
    std::net::TcpStream,
    |half: &tcp::OwnedWriteHalf| half.peer_addr().ok()
);
half!(
    unix::OwnedWriteHalf,
    UnixStream,
    std::os::unix::net::UnixStream,
    |_| None
);
