//! WebSockets on `/ws`: the handshake, the connection as an agent sees it, and the functions that handle one.
//!
//! Frames are read and written on the server's threads (`pump.rs`), the handler runs on the agent's (`handler.rs`), and
//! between them are bounded queues (`socket.rs`). Compression (`permessage-deflate`) is never negotiated, and the `Origin`
//! of a browser is not looked at, as in the reference SDK: what must not be called from foreign pages checks it itself.

mod connection;
mod handler;
mod handshake;
mod message;
mod pulse;
mod pump;
mod socket;
mod upgrade;
mod wire;

pub(crate) use self::connection::answer;
pub use self::handler::WebSocketHandler;
pub(crate) use self::handler::WebSockets;
pub use self::handshake::Handshake;
pub use self::message::{CloseReason, Message, WebSocketError};
pub use self::socket::WebSocket;
pub(crate) use self::upgrade::is_asked_for;

#[cfg(test)]
mod tests;
