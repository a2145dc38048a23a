//! Requests as bytes: what a table says of one, and what goes over the connection.
//!
//! A request has only the headers that its row names, and those without which it would be none: where it goes, how long
//! its body is, and whether the connection is kept.

use serde::Deserialize;

use super::expect::bytes_of_hex;

/// The host that requests name, so that answers which repeat it are the same everywhere.
const HOST: &str = "agent.example:8080";

/// A body, and for one that is sent in chunks, their borders.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Body {
    Text(String),
    Hex { hex: String },
    Repeated { repeat: String, times: usize },
    Parts(Vec<Body>),
}

/// How a body is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sent {
    #[default]
    WithLength,
    Chunked,
    /// With a length, and only after `100 Continue`.
    WhenAskedFor,
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Body {
    /// The bytes, part by part.
    pub(super) fn parts(&self) -> Result<Vec<Vec<u8>>, String> {
        match self {
            Self::Parts(parts) => parts.iter().map(Self::bytes).collect(),
            whole => Ok(vec![whole.bytes()?]),
        }
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Hex { hex } => bytes_of_hex(hex),
            Self::Repeated { repeat, times } => Ok(repeat.repeat(*times).into_bytes()),
            Self::Parts(_) => Ok(self.parts()?.concat()),
        }
    }
}

/// The head of a request for one method and target, as it is sent.
pub(super) fn head(request: &str, lines: &[String], length: Length, keep_alive: bool) -> Vec<u8> {
    let named = |name: &str| {
        let mut names = lines.iter().filter_map(|line| line.split(':').next());
        names.any(|it| it.eq_ignore_ascii_case(name))
    };
    let mut head = format!("{request} HTTP/1.1\r\n");
    let mut add = |line: &str| {
        head.push_str(line);
        head.push_str("\r\n");
    };
    if !named("host") {
        add(&format!("Host: {HOST}"));
    }
    for line in lines {
        add(line);
    }
    match length {
        _ if named("content-length") => {}
        Length::Nobody => {}
        Length::Known(length) => add(&format!("Content-Length: {length}")),
        Length::Chunked => add("Transfer-Encoding: chunked"),
    }
    if !keep_alive && !named("connection") {
        add("Connection: close");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// How long a request says that its body is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// There is none, as with GET.
    Nobody,
    Known(usize),
    Chunked,
}

/// The parts of a body as the chunks of a request.
pub(super) fn chunked(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
