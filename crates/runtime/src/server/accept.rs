//! Accepts connections, however long the listener cannot.
//!
//! What is done with a connection is in `connection.rs`.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::sleep;

use crate::address::Listener;
use crate::log::LOGGER;

/// How long to leave a listener alone that cannot accept, as when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection of either kind.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => Ok(Stream::Tcp(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// Accepts one connection, however long the listener cannot.
pub(super) async fn accept<T, F>(try_accept: impl Fn() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let mut complained = false;
    loop {
        match try_accept().await {
            Ok(stream) => return stream,
            // The caller went away between knocking and coming in.
            Err(error) if is_callers_fault(&error) => {}
            Err(error) => {
                if !complained {
                    tracing::error!(target: LOGGER, "Cannot accept connections: {error}");
                }
                complained = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_callers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_cannot_accept_is_tried_again() {
        let too_many_open_files = 24;
        let tries = Cell::new(0);
        let connection = accept(|| {
            tries.set(tries.get() + 1);
            let result = match tries.get() {
                1 => Err(io::ErrorKind::ConnectionAborted.into()),
                2 | 3 => Err(io::Error::from_raw_os_error(too_many_open_files)),
                _ => Ok("connection"),
            };
            std::future::ready(result)
        });
        let began = tokio::time::Instant::now();
        assert_eq!(connection.await, "connection");
        assert_eq!(tries.get(), 4);
        assert_eq!(
            began.elapsed(),
            2 * ACCEPT_PAUSE,
            "only the listener's own errors wait"
        );
    }
}
