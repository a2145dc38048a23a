//! What a worker sends to the server. A payload that does not parse is an error here and ends the connection there.

use agentcore_protocol::PingStatus;
use agentcore_runtime::Message;
use bytes::{Buf, Bytes};
use serde::Deserialize;

use super::frame::{Frame, FrameError};

/// The version of the protocol that this crate speaks.
pub(crate) const VERSION: u32 = 2;

const HELLO: u8 = 64;
const READY: u8 = 65;
const LOAD_FAILED: u8 = 66;
const STATUS: u8 = 67;
const RESULT: u8 = 70;
const ERROR: u8 = 71;
const STREAM: u8 = 72;
const ITEM: u8 = 73;
const ITEMS: u8 = 74;
const END: u8 = 75;
const RESPONSE: u8 = 76;
const HEAD: u8 = 77;
const CHUNK: u8 = 78;
const MOVED: u8 = 79;
const ACCEPT: u8 = 80;
const MESSAGE: u8 = 81;
const CLOSE: u8 = 82;
const TAKEN: u8 = 83;
const ALIVE: u8 = 84;

/// A frame of a worker, understood.
#[derive(Debug)]
pub(crate) enum Said {
    Hello(Hello),
    Ready(Ready),
    LoadFailed(LoadFailed),
    Status(Status),
    Call(Reply),
    /// The event loop makes progress.
    Alive,
}

/// What a worker says about one call.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The body of a 200 answer. Ends the call.
    Result(Bytes),
    /// The answer is an error, or the stream ends in one. Ends the call.
    Error(CallError),
    /// The answer is a stream of events.
    Stream,
    /// One or more events.
    Items(Items),
    /// The stream ended well. Ends the call.
    End,
    /// A ready-made HTTP answer. Ends the call.
    Response(ResponseHead, Bytes),
    /// An HTTP answer whose body follows.
    Head(ResponseHead),
    /// A piece of the body.
    Chunk(Bytes),
    /// What is left of the call comes on the loop connection.
    Moved,
    /// The connection that was asked for is a WebSocket.
    Accept(Accepted),
    /// A message to the client of the WebSocket.
    Message(Message),
    /// The WebSocket is to be closed. Ends the call.
    Close(Close),
    /// So many messages of the client have been taken.
    Taken(u32),
}

/// The first frame of a connection.
#[derive(Debug, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    pub(crate) token: String,
    pub(crate) role: Role,
    /// The call in which the connection was cut that this one replaces.
    #[serde(default)]
    pub(crate) after: Option<u32>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Control,
    Thread,
    Loop,
}

/// The agent has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Ready {
    pub(crate) dispatch: Dispatch,
    /// How many calls the worker runs at once on thread connections, at most.
    pub(crate) max_threads: usize,
    /// The name of the entrypoint function; `None` if the agent registered none.
    #[serde(default)]
    pub(crate) entrypoint: Option<String>,
    /// Whether the agent has a ping handler of its own, which has to be asked; every other change is pushed.
    #[serde(default = "yes")]
    pub(crate) ping: bool,
    /// Whether the agent takes WebSocket connections on `/ws`.
    #[serde(default)]
    pub(crate) websocket: bool,
    /// Whether the agent answers every request itself but those for its status.
    #[serde(default)]
    pub(crate) asgi: bool,
}

/// Which connections calls go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dispatch {
    Thread,
    Loop,
}

/// The agent's file could not be run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct LoadFailed {
    pub(crate) error: String,
    #[serde(default)]
    pub(crate) error_type: Option<String>,
}

/// How a call failed, in the agent's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct CallError {
    pub(crate) status: u16,
    pub(crate) error: serde_json::Value,
    #[serde(default)]
    pub(crate) error_type: Option<String>,
    #[serde(default)]
    pub(crate) details: Option<String>,
}

/// How a WebSocket begins.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Accepted {
    /// One of the protocols that the client offers.
    #[serde(default)]
    pub(crate) subprotocol: Option<String>,
    /// What the agent adds to the answer to the handshake.
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
}

/// How a WebSocket is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

/// Status and headers of a ready-made answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
}

/// How the agent is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Status {
    #[serde(rename = "status")]
    pub(crate) ping: PingStatus,
    #[serde(default)]
    pub(crate) source: Source,
    /// The number of the question that this answers; `None` if nobody asked.
    #[serde(default)]
    pub(crate) asked: Option<u32>,
}

impl Status {
    pub(crate) fn is_busy(self) -> bool {
        self.ping == PingStatus::HealthyBusy
    }
}

/// Who decided about a status, the strongest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// `force_ping_status`.
    Forced,
    /// The agent's own ping handler.
    Custom,
    /// Whether tasks run.
    #[default]
    Automatic,
}

/// Events of a stream: JSON texts of one line each. Iterating takes them off without copying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Items {
    One(Option<Bytes>),
    /// `u32 n · n bytes`, `left` times; checked when the frame was read.
    Packed {
        bytes: Bytes,
        left: usize,
    },
}

impl Said {
    /// Reads a frame.
    pub(crate) fn parse(frame: Frame) -> Result<(u32, Self), FrameError> {
        let Frame {
            kind,
            call,
            payload,
        } = frame;
        let message = match kind {
            HELLO => Self::Hello(json(kind, &payload)?),
            READY => Self::Ready(json(kind, &payload)?),
            LOAD_FAILED => Self::LoadFailed(json(kind, &payload)?),
            STATUS => Self::Status(json(kind, &payload)?),
            RESULT => Self::Call(Reply::Result(payload)),
            ERROR => Self::Call(Reply::Error(json(kind, &payload)?)),
            STREAM => Self::Call(Reply::Stream),
            ITEM => Self::Call(Reply::Items(Items::One(Some(payload)))),
            ITEMS => Self::Call(Reply::Items(
                Items::packed(payload).ok_or(FrameError::Payload(kind))?,
            )),
            END => Self::Call(Reply::End),
            RESPONSE => {
                let (head, body) = response(payload).ok_or(FrameError::Payload(kind))?;
                Self::Call(Reply::Response(head, body))
            }
            ALIVE => Self::Alive,
            HEAD => Self::Call(Reply::Head(json(kind, &payload)?)),
            CHUNK => Self::Call(Reply::Chunk(payload)),
            MOVED => Self::Call(Reply::Moved),
            ACCEPT => Self::Call(Reply::Accept(json(kind, &payload)?)),
            MESSAGE => Self::Call(Reply::Message(
                message(payload).ok_or(FrameError::Payload(kind))?,
            )),
            CLOSE => Self::Call(Reply::Close(
                close(&payload).ok_or(FrameError::Payload(kind))?,
            )),
            TAKEN => {
                let count = payload.first_chunk().filter(|_| payload.len() == 4);
                let count = count.ok_or(FrameError::Payload(kind))?;
                Self::Call(Reply::Taken(u32::from_be_bytes(*count)))
            }
            _ => return Err(FrameError::Kind(kind)),
        };
        Ok((call, message))
    }
}

impl Reply {
    /// Whether nothing follows it.
    pub(crate) fn ends_the_call(&self) -> bool {
        match self {
            Self::Result(_) | Self::Error(_) | Self::End | Self::Response(..) | Self::Close(_) => {
                true
            }
            Self::Stream
            | Self::Items(_)
            | Self::Head(_)
            | Self::Chunk(_)
            | Self::Moved
            | Self::Accept(_)
            | Self::Message(_)
            | Self::Taken(_) => false,
        }
    }

    /// How much of the credit it takes.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Items(items) => items.left(),
            Self::Chunk(_) | Self::Message(_) => 1,
            _ => 0,
        }
    }
}

impl Items {
    fn packed(bytes: Bytes) -> Option<Self> {
        let mut left = 0;
        let mut rest = &bytes[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest = after.get(length..)?;
            left += 1;
        }
        rest.is_empty().then_some(Self::Packed { bytes, left })
    }

    /// How many events are left.
    pub(crate) fn left(&self) -> usize {
        match self {
            Self::One(item) => usize::from(item.is_some()),
            Self::Packed { left, .. } => *left,
        }
    }
}

impl Iterator for Items {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::One(item) => item.take(),
            Self::Packed { bytes, left } => {
                *left = left.checked_sub(1)?;
                take_sized(bytes)
            }
        }
    }
}

/// A worker that says nothing about it is asked.
fn yes() -> bool {
    true
}

fn json<'a, T: Deserialize<'a>>(kind: u8, payload: &'a [u8]) -> Result<T, FrameError> {
    serde_json::from_slice(payload).map_err(|_| FrameError::Payload(kind))
}

fn response(mut payload: Bytes) -> Option<(ResponseHead, Bytes)> {
    let head = take_sized(&mut payload)?;
    let head = serde_json::from_slice(&head).ok()?;
    Some((head, payload))
}

fn message(mut payload: Bytes) -> Option<Message> {
    let kind = payload.first().copied()?;
    payload.advance(1);
    match kind {
        0 => Some(Message::Text(String::from_utf8(payload.into()).ok()?)),
        1 => Some(Message::Binary(payload)),
        _ => None,
    }
}

fn close(payload: &[u8]) -> Option<Close> {
    let (code, reason) = payload.split_first_chunk()?;
    Some(Close {
        code: u16::from_be_bytes(*code),
        reason: std::str::from_utf8(reason).ok()?.to_owned(),
    })
}

/// Takes `u32 n · n bytes` off the front; `None` if there is less.
fn take_sized(bytes: &mut Bytes) -> Option<Bytes> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    if bytes.len() - 4 < length {
        return None;
    }
    bytes.advance(4);
    Some(bytes.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(kind: u8, payload: &[u8]) -> Result<Said, FrameError> {
        let frame = Frame {
            kind,
            call: 1,
            payload: Bytes::copy_from_slice(payload),
        };
        Said::parse(frame).map(|(_, message)| message)
    }

    #[test]
    fn a_batch_is_taken_apart() {
        let payload = b"\0\0\0\x03\"a\"\0\0\0\0\0\0\0\x01\x37";
        let Said::Call(Reply::Items(items)) = parse(ITEMS, payload).unwrap() else {
            panic!("not items");
        };
        assert_eq!(items.left(), 3);
        let items: Vec<_> = items.collect();
        assert_eq!(items, ["\"a\"", "", "7"]);
    }

    #[test]
    fn a_batch_cut_short_is_refused() {
        for payload in [&b"\0\0\0"[..], b"\0\0\0\x02a", b"\0\0\0\x01a\0"] {
            assert_eq!(
                parse(ITEMS, payload).unwrap_err(),
                FrameError::Payload(ITEMS)
            );
        }
    }

    #[test]
    fn a_ready_made_answer_has_head_and_body() {
        let head = br#"{"status":404,"headers":[["x-a","1"]]}"#;
        let mut payload = u32::try_from(head.len()).unwrap().to_be_bytes().to_vec();
        payload.extend_from_slice(head);
        payload.extend_from_slice(b"gone");
        let Said::Call(Reply::Response(head, body)) = parse(RESPONSE, &payload).unwrap() else {
            panic!("not a response");
        };
        assert_eq!((head.status, &body[..]), (404, &b"gone"[..]));
        assert_eq!(head.headers, [("x-a".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn unknown_keys_are_no_error_but_unknown_kinds_are() {
        let hello = br#"{"version":2,"token":"t","role":"thread","pid":3,"later":true}"#;
        assert!(matches!(
            parse(HELLO, hello),
            Ok(Said::Hello(Hello {
                role: Role::Thread,
                ..
            }))
        ));
        assert_eq!(parse(63, b"").unwrap_err(), FrameError::Kind(63));
        assert_eq!(parse(1, b"").unwrap_err(), FrameError::Kind(1));
        assert_eq!(
            parse(STATUS, br#"{"status":"Fine"}"#).unwrap_err(),
            FrameError::Payload(STATUS)
        );
    }

    proptest! {
        #[test]
        fn no_payload_panics(kind in 60_u8..90, payload in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(Said::Call(Reply::Items(items))) = parse(kind, &payload) {
                prop_assert_eq!(items.left(), items.count());
            }
        }
    }
}
