//! Where a sandbox listens, and how a connection to it is made.
//!
//! A Unix socket for a process, a port of the loopback interface for a container. What is said on the connection is not
//! its matter.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::cut::Cuttable;

/// Where a sandbox listens.
#[derive(Debug)]
pub(crate) enum Place {
    /// A Unix socket.
    Socket(PathBuf),
    /// A port of a container.
    Published(Published),
}

/// A port of a container, and where it is on this machine.
#[derive(Debug)]
pub(crate) struct Published {
    inside: u16,
    /// Known once the container runs.
    outside: OnceLock<SocketAddr>,
    cut: CancellationToken,
}

/// Bytes to and from a sandbox.
pub(crate) type Stream = Either<UnixStream, Cuttable>;

impl Place {
    /// The port `inside` of a container that is still to be started.
    pub(crate) fn port(inside: u16) -> Self {
        Self::Published(Published {
            inside,
            outside: OnceLock::new(),
            cut: CancellationToken::new(),
        })
    }

    /// Says where on this machine a container's port is.
    pub(crate) fn publish(&self, address: SocketAddr) {
        if let Self::Published(port) = self {
            let _ = port.outside.set(address);
        }
    }

    /// Cuts all connections to a container, for good. Those to a process end with it.
    pub(crate) fn cut_off(&self) {
        if let Self::Published(port) = self {
            port.cut.cancel();
        }
    }

    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Socket(path) => connect_to_socket(path).await.map(Either::Left),
            Self::Published(port) => {
                let address = port.outside.get().ok_or(io::ErrorKind::NotConnected)?;
                let stream = TcpStream::connect(address).await?;
                // A request's head and body, and small items of a stream, must not wait for each other.
                stream.set_nodelay(true)?;
                Ok(Either::Right(Cuttable::new(stream, port.cut.clone())))
            }
        }
    }

    /// What a connection that is refused means, as a clause.
    pub(crate) fn refused(&self) -> String {
        match self {
            Self::Socket(_) => "nothing listens on the socket in `AGENTCORE_LISTEN`".to_owned(),
            Self::Published(Published { inside, .. }) => {
                format!("nothing answers on port {inside} of the container")
            }
        }
    }

    /// What a connection means that is taken and then closed without an answer, as a clause.
    pub(crate) fn closed(&self) -> String {
        match self {
            Self::Socket(_) => "the connection of `/ping` is closed without an answer".to_owned(),
            // The engine's proxy takes every connection, whether somebody listens inside or not.
            Self::Published(_) => self.refused(),
        }
    }
}

/// Connects, and waits where the listener's queue is full.
async fn connect_to_socket(path: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut pause = Duration::from_millis(1);
    loop {
        match UnixStream::connect(path).await {
            // Linux does not queue such a caller, it sends it away.
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
            {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}
