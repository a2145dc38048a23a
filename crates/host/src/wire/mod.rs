//! The worker protocol on the wire: frames, and the messages inside them (`docs/worker-protocol.md`).
//!
//! Nothing here reads or writes a socket, and nothing knows what a call is about.

pub(crate) mod frame;
pub(crate) mod from_worker;
pub(crate) mod to_worker;
