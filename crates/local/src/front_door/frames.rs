//! Where the frames of a WebSocket begin and end (RFC 6455 §5.2), read off their heads while the bytes pass.
//!
//! It looks at lengths and at the kind of a frame, never at what is in one, and changes nothing. What it is for: a word of
//! the front door's own fits between two frames only, and the service has limits on frames.

use std::time::Duration;

use tokio::time::Instant;

/// The longest head: two bytes, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;

/// The opcode of a close frame.
const CLOSE: u8 = 8;

/// What frames a caller of the managed service may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLimits {
    /// The largest payload of a frame, in bytes.
    largest: u64,
    /// So many frames within a second.
    per_second: u32,
}

impl FrameLimits {
    /// The service's own.
    pub(crate) const SERVICE: Self = Self {
        largest: 64 * 1024,
        per_second: 250,
    };
}

/// The frames of one direction.
#[derive(Debug)]
pub(crate) struct Frames {
    limits: Option<FrameLimits>,
    /// The head of a frame that has not come whole.
    head: [u8; LONGEST_HEAD],
    head_has: usize,
    payload_left: u64,
    has_closed: bool,
    /// The second that is counted, and its frames.
    second: Option<(Instant, u32)>,
}

/// A frame beyond the limits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    /// So many bytes come before it.
    pub(crate) at: usize,
    /// The code of a close frame that says so.
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Frames {
    pub(crate) fn new(limits: Option<FrameLimits>) -> Self {
        Self {
            limits,
            head: [0; LONGEST_HEAD],
            head_has: 0,
            payload_left: 0,
            has_closed: false,
            second: None,
        }
    }

    /// Notes that `bytes` pass.
    ///
    /// # Errors
    ///
    /// Fails at the first frame beyond the limits; nothing from there on may pass.
    pub(crate) fn pass(&mut self, bytes: &[u8], now: Instant) -> Result<(), Excess> {
        let (mut at, mut begins) = (0, 0);
        while at < bytes.len() {
            if self.payload_left > 0 {
                let here = (bytes.len() - at) as u64;
                let skipped = here.min(self.payload_left);
                self.payload_left -= skipped;
                // No more than there are bytes.
                at += usize::try_from(skipped).unwrap_or(usize::MAX);
                continue;
            }
            if self.head_has == 0 {
                begins = at;
            }
            self.head[self.head_has] = bytes[at];
            self.head_has += 1;
            at += 1;
            if let Some(length) = self.length() {
                let opcode = self.head[0] & 0x0f;
                self.head_has = 0;
                self.check(length, now).map_err(|(code, reason)| Excess {
                    at: begins,
                    code,
                    reason,
                })?;
                self.payload_left = length;
                self.has_closed |= opcode == CLOSE;
            }
        }
        Ok(())
    }

    /// Tells whether the last byte was the last of a frame.
    pub(crate) fn is_between(&self) -> bool {
        self.head_has == 0 && self.payload_left == 0
    }

    /// Tells whether a close frame has passed.
    pub(crate) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Returns the length of the payload, if the head is complete.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.head_has];
        let (&second, rest) = head.get(1).zip(head.get(2..))?;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (length, size) = match second & 0x7f {
            126 => {
                let bytes = *rest.first_chunk::<2>()?;
                (u64::from(u16::from_be_bytes(bytes)), 2)
            }
            127 => (u64::from_be_bytes(*rest.first_chunk::<8>()?), 8),
            short => (u64::from(short), 0),
        };
        (rest.len() >= size + mask).then_some(length)
    }

    fn check(&mut self, length: u64, now: Instant) -> Result<(), (u16, String)> {
        let Some(limits) = self.limits else {
            return Ok(());
        };
        if length > limits.largest {
            let reason = format!("a frame may have {} bytes", limits.largest);
            return Err((1009, reason));
        }
        let counted = self.second.filter(|&(since, _)| now < since + SECOND);
        let (since, count) = counted.map_or((now, 1), |(since, count)| (since, count + 1));
        self.second = Some((since, count));
        if count > limits.per_second {
            let reason = format!("{} frames may come in a second", limits.per_second);
            return Err((1008, reason));
        }
        Ok(())
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Returns a close frame as a server sends it. A reason is cut where it is longer than a frame can hold.
pub(crate) fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    /// What a control frame holds, without the code.
    const LONGEST_REASON: usize = 123;
    let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    let length = u8::try_from(2 + reason.len()).expect("125 at most");
    let mut frame = vec![0x80 | CLOSE, length];
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u8 = 0x81;
    const BINARY: u8 = 0x82;

    fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![opcode];
        match length {
            0..126 => frame.push(mask | u8::try_from(length).unwrap()),
            126..0x1_0000 => {
                frame.push(mask + 126);
                frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        // A payload that looks like close frames.
        frame.resize(frame.len() + if masked { 4 } else { 0 } + length, 0x88);
        frame
    }

    fn passes(frames: &mut Frames, bytes: &[u8]) {
        assert_eq!(frames.pass(bytes, Instant::now()), Ok(()));
    }

    #[test]
    fn frames_of_every_size_are_told_apart_however_they_are_cut() {
        for masked in [false, true] {
            let sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000];
            let stream: Vec<u8> = sizes
                .iter()
                .flat_map(|&size| frame(BINARY, masked, size))
                .collect();
            let ends: Vec<usize> = sizes
                .iter()
                .scan(0, |end, &size| {
                    *end += frame(BINARY, masked, size).len();
                    Some(*end)
                })
                .collect();
            for step in [1, 2, 3, 7, 8192, stream.len()] {
                let mut frames = Frames::new(None);
                let mut passed = 0;
                for piece in stream.chunks(step) {
                    passes(&mut frames, piece);
                    passed += piece.len();
                    assert_eq!(frames.is_between(), ends.contains(&passed), "{passed}");
                }
                assert!(!frames.has_closed());
            }
        }
    }

    #[test]
    fn a_close_frame_is_noticed() {
        let mut frames = Frames::new(None);
        passes(&mut frames, &frame(TEXT, false, 3));
        assert!(!frames.has_closed());
        passes(&mut frames, &close_frame(1000, "done"));
        assert!(frames.has_closed() && frames.is_between());
    }

    #[test]
    fn a_frame_that_is_too_large_is_stopped_where_it_begins() {
        let mut frames = Frames::new(Some(FrameLimits::SERVICE));
        let fits = frame(TEXT, true, 65_536);
        let too_large = frame(TEXT, true, 65_537);
        let excess = frames
            .pass(&[fits.clone(), too_large.clone()].concat(), Instant::now())
            .unwrap_err();
        assert_eq!((excess.at, excess.code), (fits.len(), 1009));
        passes(&mut Frames::new(None), &too_large);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_come_too_fast_are_stopped() {
        let mut frames = Frames::new(Some(FrameLimits::SERVICE));
        let many = frame(TEXT, true, 1).repeat(250);
        passes(&mut frames, &many);
        tokio::time::advance(Duration::from_secs(1)).await;
        passes(&mut frames, &many);
        let excess = frames.pass(&many, Instant::now()).unwrap_err();
        assert_eq!((excess.at, excess.code), (0, 1008));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let frame = close_frame(1011, &"ü".repeat(100));
        assert_eq!(frame[..4], [0x88, 124, 0x03, 0xf3]);
        assert_eq!(std::str::from_utf8(&frame[4..]), Ok(&*"ü".repeat(61)));
    }
}
