//! One connection to the agent, driven by hand, so that it can be left at any byte.
//!
//! It reads what the agent's server may send and nothing more of HTTP: a head, a body of a length or in chunks.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    read: BytesMut,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    length: Option<usize>,
}

#[cfg(test)]
impl Head {
    /// A head with that status and content type.
    pub(crate) fn of(status: u16, content_type: &str) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            length: None,
        }
    }
}

impl Client {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: BytesMut::new(),
        })
    }

    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Leaves, by a reset or by an end.
    pub(crate) fn leave(self, reset: bool) -> Result<(), Failure> {
        if reset {
            self.stream.set_zero_linger()?;
        }
        Ok(())
    }

    /// Returns the bare connection, for a protocol of its own.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Reads the head of an answer.
    pub(crate) async fn head(&mut self) -> Result<Head, Failure> {
        let mut head = Head {
            status: 0,
            content_type: String::new(),
            length: None,
        };
        let first = self.line().await?;
        head.status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|it| it.get(..3)?.parse().ok())
            .ok_or_else(|| format!("an answer begins with {first:?}"))?;
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some(("content-length", value)) => head.length = Some(value.parse()?),
                Some(("content-type", value)) => value.clone_into(&mut head.content_type),
                Some(_) => {}
                None if line.is_empty() => return Ok(head),
                None => return Err(format!("a head has the line {line:?}").into()),
            }
        }
    }

    /// Reads a whole body.
    pub(crate) async fn body(&mut self, head: &Head) -> Result<Bytes, Failure> {
        if let Some(length) = head.length {
            return self.take(length).await;
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Reads the next chunk of a body that has no length; `None` is its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let line = self.line().await?;
        let length = usize::from_str_radix(&line, 16)
            .map_err(|_| format!("a chunk begins with {line:?}"))?;
        let chunk = self.take(length).await?;
        match self.line().await? {
            line if line.is_empty() => Ok(Some(chunk).filter(|_| length > 0)),
            line => Err(format!("a chunk ends with {line:?}").into()),
        }
    }

    /// Reads to the end of a line, which is not part of it.
    async fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = memchr(b'\n', &self.read) {
                let line = self.read.split_to(end);
                self.read.advance(1);
                let line = line.strip_suffix(b"\r").unwrap_or(&line);
                return Ok(str::from_utf8(line)?.to_owned());
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Bytes, Failure> {
        while self.read.len() < length {
            self.more().await?;
        }
        Ok(self.read.split_to(length).freeze())
    }

    async fn more(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err("the agent closed the connection within an answer".into()),
            _ => Ok(()),
        }
    }
}
