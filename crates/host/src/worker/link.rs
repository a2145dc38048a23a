//! One connection to a worker: whole frames in, bytes out.
//!
//! Reading may be given up at any point and taken up again later; nothing that arrived is lost.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::net::UnixStream;

use crate::wire::frame::{self, Frame, FrameError};
use crate::wire::from_worker::Said;

/// What is read at a time, at least: most answers arrive in one piece.
const CHUNK: usize = 16 * 1024;

/// A buffer that a large frame has made larger than this is let go when it is empty.
const KEEP: usize = 256 * 1024;

/// How many pieces one gathering write takes.
const PIECES: usize = 8;

/// A connection. The stream is shared, so that it can be shut from outside when the worker has died.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Arc<UnixStream>,
    buffer: BytesMut,
    /// The stretch of time in which the pool has lent it.
    pub(super) lent_in: u64,
}

/// Why a connection gives no more frames.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection was closed")]
    Closed,
    #[error("the connection failed: {0}")]
    Io(io::Error),
    #[error("the worker broke the protocol: {0}")]
    Garbage(#[from] FrameError),
    #[error("the worker broke the protocol: a message on the wrong connection")]
    Misplaced,
}

impl Link {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream: Arc::new(stream),
            buffer: BytesMut::new(),
            lent_in: 0,
        }
    }

    pub(crate) fn stream(&self) -> &Arc<UnixStream> {
        &self.stream
    }

    /// Waits for the next message, with the number of its call.
    pub(crate) async fn receive(&mut self) -> Result<(u32, Said), Broken> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Said::parse(frame)?);
            }
            self.fill().await?;
        }
    }

    fn buffered(&mut self) -> Result<Option<Frame>, FrameError> {
        frame::decode(&mut self.buffer)
    }

    async fn fill(&mut self) -> Result<(), Broken> {
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP {
            self.buffer = BytesMut::new();
        }
        // Doubling at most: the length that a frame states is a promise, not yet memory.
        let wanted = frame::missing(&self.buffer).min(self.buffer.len().max(CHUNK));
        self.buffer.reserve(wanted.max(CHUNK));
        loop {
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return Err(Broken::Closed),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.readable().await.map_err(Broken::Io)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(Broken::Closed);
                }
                Err(error) => return Err(Broken::Io(error)),
            }
        }
    }
}

/// Writes what is left of `data`, which remembers how far it came when this is given up.
pub(crate) async fn write<B: Buf>(stream: &UnixStream, data: &mut B) -> io::Result<()> {
    while data.has_remaining() {
        let mut pieces = [io::IoSlice::new(&[]); PIECES];
        let count = data.chunks_vectored(&mut pieces);
        match stream.try_write_vectored(&pieces[..count]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => data.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends a connection for both sides, also where a forked child of the worker still holds its end.
pub(crate) fn shut(stream: &UnixStream) {
    // Fails only if the other side was faster.
    let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Both);
}
