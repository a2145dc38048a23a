//! What the fuzz target for frames calls; compiled for fuzzing only, and no part of the crate's interface.

use bytes::BytesMut;

use crate::wire::frame;
use crate::wire::from_worker::{Reply, Said};

/// Reads `bytes` as what a worker sends, arriving in pieces of up to `piece` bytes, and says what was understood.
///
/// The text is the same however the bytes are cut, and each event that a batch announces is there.
pub fn read_frames(bytes: &[u8], piece: usize) -> String {
    let mut buffer = BytesMut::new();
    let mut understood = String::new();
    for part in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(part);
        loop {
            let frame = match frame::decode(&mut buffer) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return format!("{understood}{error}"),
            };
            let said = match Said::parse(frame) {
                Ok((call, said)) => {
                    check(&said);
                    format!("{call}: {said:?}\n")
                }
                Err(error) => return format!("{understood}{error}"),
            };
            understood.push_str(&said);
        }
        assert!(frame::missing(&buffer) > 0, "a whole frame was left");
    }
    understood
}

fn check(said: &Said) {
    let Said::Call(reply) = said else { return };
    if let Reply::Items(items) = reply {
        assert_eq!(items.clone().count(), items.left());
        assert_eq!(reply.cost(), items.left());
    }
}
