//! The wire of an AgentCore agent, in one place: header names and forwarding rules, the ping,
//! session ids, server-sent events, the two JSON dialects, error bodies, trace ids and baggage.
//!
//! Servers and clients use the same definitions. This crate does no I/O, starts no task and reads
//! no clock.
//!
//! ```
//! use agentcore_protocol::sse;
//! use bytes::BytesMut;
//!
//! let mut wire = BytesMut::new();
//! sse::encode_json(br#"{"token": "hello"}"#, &mut wire);
//! assert_eq!(&wire[..], b"data: {\"token\": \"hello\"}\n\n");
//!
//! let mut decoder = sse::Decoder::new();
//! decoder.push(&wire);
//! assert_eq!(decoder.next(), Some(sse::Event::data(r#"{"token": "hello"}"#)));
//! ```

#![forbid(unsafe_code)]

pub mod baggage;
pub mod error;
pub mod header;
pub mod json;
mod ping;
mod session;
pub mod sse;
pub mod trace;

pub use ping::{Ping, PingStatus, ReceivedPing, UnknownPingStatus};
pub use session::{InvalidServiceSessionId, InvalidSessionId, ServiceSessionId, SessionId};
