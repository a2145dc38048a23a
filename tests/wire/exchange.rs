//! One request over a connection of its own, byte for byte, and what came back.
//!
//! No HTTP client: what one would tidy up is what the contract is about. Every read has a limit that is only reached
//! when something is broken.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// Where a server listens.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// How a body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Framing {
    /// By `content-length`.
    Length,
    /// By `transfer-encoding: chunked`.
    Chunked,
    /// There can be no body.
    None,
}

/// What came back, with nothing interpreted but where its parts end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case, values as they came.
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) body: Vec<u8>,
    /// The chunks of a chunked body.
    pub(super) chunks: Vec<Vec<u8>>,
}

impl Answer {
    /// The values of a header, in order.
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(it, _)| it == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection with what was read of it and not yet used.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Connection {
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match place {
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(LIMIT))?;
                Box::new(stream)
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(LIMIT))?;
                Box::new(stream)
            }
        };
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads the head of an answer; interim answers before it are passed over.
    pub(super) fn head(&mut self, method: &str) -> io::Result<Answer> {
        loop {
            let head = self.take_until(b"\r\n\r\n")?;
            let answer = parse_head(&head, method)?;
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    /// Reads an interim answer, as `100 Continue` is one.
    pub(super) fn interim(&mut self) -> io::Result<u16> {
        let head = self.take_until(b"\r\n\r\n")?;
        Ok(parse_head(&head, "POST")?.status)
    }

    /// Reads the body until it ends, or until it is as long as `enough`.
    pub(super) fn body(&mut self, answer: &mut Answer, enough: Option<usize>) -> io::Result<()> {
        match answer.framing {
            Framing::None => Ok(()),
            Framing::Length => {
                let told = answer.values("content-length").concat();
                let length: usize = told.parse().map_err(io::Error::other)?;
                answer.body = self.take(length)?;
                Ok(())
            }
            Framing::Chunked => loop {
                if enough.is_some_and(|enough| answer.body.len() >= enough) {
                    return Ok(());
                }
                let line = self.take_until(b"\r\n")?;
                let digits = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
                let size = usize::from_str_radix(&digits, 16)
                    .map_err(|_| io::Error::other(format!("`{digits}` is no size of a chunk")))?;
                let chunk = self.take(size + 2)?;
                if !chunk.ends_with(b"\r\n") {
                    return Err(io::Error::other("a chunk is longer than it says"));
                }
                if size == 0 {
                    return Ok(());
                }
                answer.body.extend_from_slice(&chunk[..size]);
                answer.chunks.push(chunk[..size].to_vec());
            },
        }
    }

    /// Reads what comes until the other side closes.
    pub(super) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = std::mem::take(&mut self.unread);
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => Ok(rest),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::Error::other("the connection was not closed"))
            }
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn take_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let found = self.unread.windows(end.len()).position(|it| it == end);
            match found {
                Some(at) => return self.take(at + end.len()),
                None => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(io::Error::other(format!(
                "the connection was closed after `{}`",
                self.unread.escape_ascii()
            ))),
            Ok(length) => {
                self.unread.extend_from_slice(&bytes[..length]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::other(
                format!("nothing came for {} s", LIMIT.as_secs()),
            )),
            Err(error) => Err(error),
        }
    }
}

fn parse_head(head: &[u8], method: &str) -> io::Result<Answer> {
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let first = lines.next().unwrap_or_default();
    let bad = || io::Error::other(format!("`{first}` is no status line"));
    let status = first.strip_prefix("HTTP/1.1 ").ok_or_else(bad)?;
    let status: u16 = status
        .get(..3)
        .and_then(|it| it.parse().ok())
        .ok_or_else(bad)?;
    let headers: Vec<(String, String)> = lines
        .map(|line| match line.split_once(':') {
            Some((name, value)) => Ok((name.to_lowercase(), value.trim_start().to_owned())),
            None => Err(io::Error::other(format!("`{line}` is no header"))),
        })
        .collect::<io::Result<_>>()?;
    let count = |name: &str| headers.iter().filter(|(it, _)| it == name).count();
    let never = method == "HEAD" || status < 200 || status == 204 || status == 304;
    let framing = match (count("content-length"), count("transfer-encoding")) {
        _ if never => Framing::None,
        (1, 0) => Framing::Length,
        (0, 1) => Framing::Chunked,
        (lengths, encodings) => {
            return Err(io::Error::other(format!(
                "{lengths} `content-length` and {encodings} `transfer-encoding`: where does the body end?"
            )));
        }
    };
    Ok(Answer {
        status,
        headers,
        framing,
        body: Vec::new(),
        chunks: Vec::new(),
    })
}
