//! Frames: `u32 length · u8 kind · u32 call · payload`, big endian, the length counting what follows it.
//!
//! Splits bytes into frames and builds frames from parts; what a payload means is decided by the modules beside it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The largest length a frame may state. An event or an answer beyond it has to be sent in parts.
pub(crate) const MAX_LENGTH: usize = 128 * 1024 * 1024;

/// The bytes before the payload: length, kind, call.
pub(crate) const HEAD: usize = 9;

/// What the length counts besides the payload: kind and call.
const COUNTED: usize = 5;

/// The largest payload that fits into one frame.
pub(crate) const MAX_PAYLOAD: usize = MAX_LENGTH - COUNTED;

/// One frame, its payload shared with the buffer that it was read into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    /// Which call it belongs to; 0 where that means nothing.
    pub(crate) call: u32,
    pub(crate) payload: Bytes,
}

/// Why bytes are not a frame of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame states a length of {0} bytes")]
    Length(u32),
    #[error("a frame is of the unknown kind {0}")]
    Kind(u8),
    #[error("the payload of a frame of kind {0} cannot be read")]
    Payload(u8),
}

/// Takes the first frame off `buffer`, if all of it has arrived.
///
/// # Errors
///
/// Fails as soon as the length is known to be impossible, before its bytes are waited for.
pub(crate) fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(length) = stated_length(buffer)? else {
        return Ok(None);
    };
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    buffer.advance(4);
    let kind = buffer.get_u8();
    let call = buffer.get_u32();
    let payload = buffer.split_to(length - COUNTED).freeze();
    Ok(Some(Frame {
        kind,
        call,
        payload,
    }))
}

/// How many bytes are missing, at least, until `buffer` holds a whole frame.
pub(crate) fn missing(buffer: &BytesMut) -> usize {
    let wanted = match stated_length(buffer) {
        Ok(Some(length)) => 4 + length,
        Ok(None) | Err(_) => HEAD,
    };
    wanted.saturating_sub(buffer.len())
}

/// Appends the head of a frame whose payload will have `payload` bytes.
///
/// The payload has to fit: callers that send what others gave them compare it with [`MAX_PAYLOAD`] first.
pub(crate) fn put_head(kind: u8, call: u32, payload: usize, out: &mut BytesMut) {
    let length =
        u32::try_from(payload + COUNTED).expect("a payload that was compared with MAX_PAYLOAD");
    out.put_u32(length);
    out.put_u8(kind);
    out.put_u32(call);
}

fn stated_length(buffer: &BytesMut) -> Result<Option<usize>, FrameError> {
    let Some(length) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    match usize::try_from(length) {
        Ok(fits) if (COUNTED..=MAX_LENGTH).contains(&fits) => Ok(Some(fits)),
        _ => Err(FrameError::Length(length)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(frames: &[Frame]) -> BytesMut {
        let mut out = BytesMut::new();
        for Frame {
            kind,
            call,
            payload,
        } in frames
        {
            put_head(*kind, *call, payload.len(), &mut out);
            out.put_slice(payload);
        }
        out
    }

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let payload = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(any::<u8>(), 300..700),
        ];
        let frame = (any::<u8>(), any::<u32>(), payload).prop_map(|(kind, call, payload)| Frame {
            kind,
            call,
            payload: payload.into(),
        });
        prop::collection::vec(frame, 0..12)
    }

    proptest! {
        #[test]
        fn frames_survive_any_split(sent in frames(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
            let bytes = encoded(&sent);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();

            let mut buffer = BytesMut::new();
            let mut received = Vec::new();
            for pair in cuts.windows(2) {
                buffer.extend_from_slice(&bytes[pair[0]..pair[1]]);
                while let Some(frame) = decode(&mut buffer).unwrap() {
                    received.push(frame);
                }
                prop_assert!(missing(&buffer) > 0, "a whole frame was left in the buffer");
            }
            prop_assert_eq!(received, sent);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            while let Ok(Some(_)) = decode(&mut buffer) {}
        }
    }

    #[test]
    fn an_impossible_length_is_refused_before_its_bytes_arrive() {
        for length in [0_u32, 4, 128 * 1024 * 1024 + 1, u32::MAX] {
            let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
            assert_eq!(decode(&mut buffer), Err(FrameError::Length(length)));
        }
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        for length in [5_u32, 128 * 1024 * 1024] {
            let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
            assert_eq!(decode(&mut buffer), Ok(None));
            assert_eq!(missing(&buffer), usize::try_from(length).unwrap());
        }
    }
}
