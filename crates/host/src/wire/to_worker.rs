//! What the server sends to a worker, and how an invocation is laid out.

use std::net::SocketAddr;

use agentcore_protocol::SessionId;
use agentcore_runtime::{Context, Message};
use bytes::{BufMut, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri};
use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};

use super::frame::{HEAD, MAX_PAYLOAD, put_head};

const INVOKE: u8 = 1;
const CANCEL: u8 = 2;
const CREDIT: u8 = 3;
const GROW: u8 = 4;
const REFRESH: u8 = 5;
const STOP: u8 = 6;
const REQUEST: u8 = 7;
const OPEN: u8 = 8;
const MESSAGE: u8 = 9;
const DISCONNECT: u8 = 10;
const PROBE: u8 = 11;

/// When so many bytes are under way to a WebSocket's handler, its client is not read any more.
pub(crate) const ENOUGH_UNTAKEN: usize = 4 * 1024 * 1024;

/// What each message counts beside its own bytes: about what it costs a worker to keep one.
pub(crate) const MESSAGE_OVERHEAD: usize = 512;

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CallKind {
    /// The answer of the entrypoint.
    Invocation = INVOKE,
    /// The answer of the agent's own routes and middleware.
    Request = REQUEST,
    /// A WebSocket.
    WebSocket = OPEN,
}

/// Why a call is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Why {
    /// The caller is gone.
    Left = 0,
    /// The limit of time is reached.
    Limit = 1,
}

/// The invocation is larger than a frame can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// What a worker is told about a request besides its body.
pub(crate) struct Meta<'a> {
    pub(crate) method: &'a Method,
    pub(crate) request_id: &'a str,
    pub(crate) session_id: Option<&'a SessionId>,
    pub(crate) headers: &'a HeaderMap,
    /// Path and query; the usual path alone is not told.
    pub(crate) target: &'a Uri,
    /// Where the request comes from; nothing is told of a Unix-domain socket.
    pub(crate) client: Option<SocketAddr>,
}

impl<'a> Meta<'a> {
    /// Says of a request what its context knows.
    pub(crate) fn of(context: &'a Context) -> Self {
        Self {
            method: context.method(),
            request_id: context.request_id(),
            session_id: context.session_id(),
            headers: context.headers(),
            target: context.uri(),
            client: context.client(),
        }
    }
}

/// The path of an invocation, which goes without saying.
const INVOCATIONS: &str = "/invocations";

/// The frame that begins a call: everything before the body, and the body as it came.
///
/// They stay apart, so that one gathering write sends both without a copy of the body.
#[derive(Debug, Clone)]
pub(crate) struct Invoke {
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

impl Invoke {
    /// Lays out the frame of call `call`.
    pub(crate) fn new(
        kind: CallKind,
        call: u32,
        meta: &Meta<'_>,
        body: Bytes,
    ) -> Result<Self, TooLarge> {
        let mut out = BytesMut::with_capacity(1024);
        out.put_bytes(0, HEAD + 4);
        serde_json::to_writer((&mut out).writer(), meta).expect("text and lists of text are JSON");
        let meta_length = out.len() - HEAD - 4;
        let payload = 4 + meta_length + body.len();
        if payload > MAX_PAYLOAD {
            return Err(TooLarge);
        }
        let mut head = BytesMut::with_capacity(HEAD + 4);
        put_head(kind as u8, call, payload, &mut head);
        head.put_u32(u32::try_from(meta_length).map_err(|_| TooLarge)?);
        out[..HEAD + 4].copy_from_slice(&head);
        Ok(Self {
            head: out.freeze(),
            body,
        })
    }
}

/// Nobody waits for `call` any more.
pub(crate) fn cancel(call: u32, why: Why, out: &mut BytesMut) {
    put_head(CANCEL, call, 1, out);
    out.put_u8(why as u8);
}

/// The worker may send `more` more items for `call`.
pub(crate) fn credit(call: u32, more: u32, out: &mut BytesMut) {
    put_head(CREDIT, call, 4, out);
    out.put_u32(more);
}

/// The client of a WebSocket has sent a message.
pub(crate) fn message(call: u32, message: &Message, out: &mut BytesMut) {
    let bytes = message.as_bytes();
    put_head(MESSAGE, call, 1 + bytes.len(), out);
    out.put_u8(u8::from(message.as_text().is_none()));
    out.put_slice(bytes);
}

/// Whoever reads the loop connection is asked for a sign of life.
pub(crate) fn probe(out: &mut BytesMut) {
    put_head(PROBE, 0, 0, out);
}

/// The client of a WebSocket has closed it.
pub(crate) fn disconnect(call: u32, code: u16, reason: &str, out: &mut BytesMut) {
    put_head(DISCONNECT, call, 2 + reason.len(), out);
    out.put_u16(code);
    out.put_slice(reason.as_bytes());
}

/// The worker is asked to open `more` more thread connections.
pub(crate) fn grow(more: u32, out: &mut BytesMut) {
    put_head(GROW, 0, 4, out);
    out.put_u32(more);
}

/// The worker is asked for its status; the answer names `number`.
pub(crate) fn refresh(number: u32, out: &mut BytesMut) {
    put_head(REFRESH, 0, 4, out);
    out.put_u32(number);
}

/// The worker is to finish what runs, within `grace_ms`, and to end.
pub(crate) fn stop(grace_ms: u32, out: &mut BytesMut) {
    put_head(STOP, 0, 4, out);
    out.put_u32(grace_ms);
}

impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            method,
            request_id,
            session_id,
            headers,
            target,
            client,
        } = self;
        let method = Some(*method).filter(|method| **method != Method::POST);
        let target = target.path_and_query().map(PathAndQuery::as_str);
        let unusual = target.filter(|target| *target != INVOCATIONS);
        let optional = [method.is_some(), unusual.is_some(), client.is_some()];
        let fields = 3 + optional.into_iter().filter(|is| *is).count();
        let mut meta = serializer.serialize_struct("Meta", fields)?;
        meta.serialize_field("request_id", request_id)?;
        meta.serialize_field("session_id", &session_id.map(SessionId::as_str))?;
        meta.serialize_field("headers", &Headers(headers))?;
        if let Some(method) = method {
            meta.serialize_field("method", method.as_str())?;
        }
        if let Some(target) = unusual {
            meta.serialize_field("target", target)?;
        }
        if let Some(client) = client {
            meta.serialize_field("client", &(client.ip(), client.port()))?;
        }
        meta.end()
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pairs = serializer.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0 {
            if let Ok(text) = value.to_str() {
                pairs.serialize_element(&(name.as_str(), text))?;
            } else {
                // A header is bytes; the contract reads them as latin-1, where a byte is a character.
                let text: String = value.as_bytes().iter().copied().map(char::from).collect();
                pairs.serialize_element(&(name.as_str(), text))?;
            }
        }
        pairs.end()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::wire::frame::decode;

    #[test]
    fn an_invocation_carries_meta_and_body() {
        let mut headers = HeaderMap::new();
        headers.insert("X-One", HeaderValue::from_static("a"));
        headers.append("x-one", HeaderValue::from_static("b"));
        headers.insert("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        let session: SessionId = "conversation-123".parse().unwrap();
        let meta = Meta {
            method: &Method::POST,
            request_id: "r1",
            session_id: Some(&session),
            headers: &headers,
            target: &Uri::from_static("/invocations?a=1"),
            client: Some(([127, 0, 0, 1], 4242).into()),
        };
        let invoke = Invoke::new(
            CallKind::Invocation,
            7,
            &meta,
            Bytes::from_static(b"{\"prompt\": \"hi\"}"),
        )
        .unwrap();

        let mut buffer = BytesMut::from(&[invoke.head, invoke.body].concat()[..]);
        let frame = decode(&mut buffer).unwrap().unwrap();
        assert!(buffer.is_empty());
        assert_eq!((frame.kind, frame.call), (INVOKE, 7));
        let length = u32::from_be_bytes(*frame.payload.first_chunk().unwrap()) as usize;
        let meta: serde_json::Value =
            serde_json::from_slice(&frame.payload[4..4 + length]).unwrap();
        let expected = json!({
            "request_id": "r1",
            "session_id": "conversation-123",
            "headers": [["x-one", "a"], ["x-one", "b"], ["x-latin", "café"]],
            "target": "/invocations?a=1",
            "client": ["127.0.0.1", 4242],
        });
        assert_eq!(meta, expected);
        assert_eq!(&frame.payload[4 + length..], b"{\"prompt\": \"hi\"}");
    }

    #[test]
    fn a_body_beyond_the_frame_is_refused() {
        let headers = HeaderMap::new();
        let meta = Meta {
            method: &Method::POST,
            request_id: "r",
            session_id: None,
            headers: &headers,
            target: &Uri::from_static("/invocations"),
            client: None,
        };
        let body = Bytes::from(vec![0; MAX_PAYLOAD - 10]);
        assert_eq!(
            Invoke::new(CallKind::Invocation, 1, &meta, body).unwrap_err(),
            TooLarge
        );
    }

    #[test]
    fn numbers_are_big_endian() {
        let mut out = BytesMut::new();
        credit(3, 258, &mut out);
        stop(5000, &mut out);
        cancel(9, Why::Limit, &mut out);
        let credit = decode(&mut out).unwrap().unwrap();
        assert_eq!(
            (credit.kind, credit.call, &credit.payload[..]),
            (CREDIT, 3, &[0, 0, 1, 2][..])
        );
        let stop = decode(&mut out).unwrap().unwrap();
        assert_eq!(
            (stop.kind, stop.call, &stop.payload[..]),
            (STOP, 0, &[0, 0, 0x13, 0x88][..])
        );
        let cancel = decode(&mut out).unwrap().unwrap();
        assert_eq!(
            (cancel.kind, cancel.call, &cancel.payload[..]),
            (CANCEL, 9, &[1][..])
        );
    }
}
