//! Reads the body of a request: whole, up to a length, and not for ever.
//!
//! What the bytes mean is the agent's business.

use std::error::Error;
use std::io::ErrorKind;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout};

use crate::failure::Failure;
use crate::limits::{Limits, limit_reached, seconds};
use crate::server::Peer;

/// How long a caller whose request is refused may go on sending before it gets the answer.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);

type AnyError = Box<dyn Error + Send + Sync>;

/// The body of a request, from a connection or from a test.
pub(crate) trait RequestBody:
    http_body::Body<Data = Bytes, Error: Into<AnyError>> + Unpin
{
}

impl<B> RequestBody for B where B: http_body::Body<Data = Bytes, Error: Into<AnyError>> + Unpin {}

/// Why a request was not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// For a reason that the caller is told.
    Refused(Failure),
    /// The same, and the connection closes, because nothing can follow on it.
    Closed(Failure),
    /// There is nobody left to be told anything.
    Gone,
}

/// A body that is to be read.
pub(super) struct Reading<B> {
    pub(super) body: B,
    /// The caller sends it only when it is asked for, by reading.
    pub(super) waits: bool,
    /// When the whole invocation has to be answered.
    pub(super) deadline: Option<Instant>,
}

/// Reads a body whole, from `now` on.
pub(super) async fn read<B: RequestBody>(
    mut reading: Reading<B>,
    limits: &Limits,
    now: Instant,
    peer: &Peer,
) -> Result<Bytes, Unread> {
    let limit = limits.body;
    let may_fit = reading.body.size_hint().lower() <= limit as u64;
    if may_fit && let Some(whole) = gather(&mut reading, limits, now, peer).await? {
        return Ok(whole);
    }
    if !reading.waits || may_fit {
        Box::pin(discard(reading.body)).await;
    }
    let failure = Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large");
    let details = format!("the limit is {limit} bytes");
    Err(Unread::Refused(failure.with_details(details)))
}

/// Lets a caller finish sending: the answer to one who is still at it is lost when the connection is reset.
pub(super) async fn discard<B: RequestBody>(body: B) {
    let all = async {
        let mut body = pin!(body);
        while let Some(Ok(_)) = body.frame().await {}
    };
    let _ = timeout(DISCARD_LIMIT, all).await;
}

/// Reads a body to its end; `None` if it is longer than may be.
async fn gather<B: RequestBody>(
    reading: &mut Reading<B>,
    limits: &Limits,
    mut now: Instant,
    peer: &Peer,
) -> Result<Option<Bytes>, Unread> {
    let due = Due {
        limits,
        whole: now.checked_add(limits.body_time),
        invocation: reading.deadline,
    };
    let body = &mut reading.body;
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while !body.is_end_stream() {
        let frame = match due.next(now) {
            None => body.frame().await,
            Some(at) => match peer.answer_by(at, body.frame()).await {
                Some(frame) => frame,
                None => return Err(due.missed(at)),
            },
        };
        let frame = frame.transpose().map_err(|error| broken(&*error.into()))?;
        let Some(frame) = frame else {
            break;
        };
        // Trailers say nothing about a payload.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + more.len() + data.len() > limits.body {
            return Ok(None);
        }
        if first.is_empty() && more.is_empty() {
            // Most bodies are one piece, which is not copied.
            first = data;
        } else {
            more.extend_from_slice(&std::mem::take(&mut first));
            more.extend_from_slice(&data);
        }
        if !body.is_end_stream() {
            now = Instant::now();
        }
    }
    Ok(Some(if more.is_empty() {
        first
    } else {
        more.freeze()
    }))
}

/// When the pieces of a body are due.
struct Due<'a> {
    limits: &'a Limits,
    whole: Option<Instant>,
    invocation: Option<Instant>,
}

impl Due<'_> {
    /// Returns when the next piece is due that is awaited from `now` on.
    fn next(&self, now: Instant) -> Option<Instant> {
        let next = now.checked_add(self.limits.body_pause);
        [next, self.whole, self.invocation]
            .into_iter()
            .flatten()
            .min()
    }

    /// Says which limit a caller has missed whose next piece was due `at`.
    fn missed(&self, at: Instant) -> Unread {
        if self.invocation == Some(at) {
            return Unread::Closed(limit_reached(self.limits.invocation));
        }
        let details = if self.whole == Some(at) {
            format!("it was not whole after {}", seconds(self.limits.body_time))
        } else {
            format!("nothing came for {}", seconds(self.limits.body_pause))
        };
        let failure = Failure::new(StatusCode::REQUEST_TIMEOUT, "Request body too slow");
        Unread::Closed(failure.with_details(details))
    }
}

/// Tells a caller who has gone from one who sends what is no body.
fn broken(error: &(dyn Error + 'static)) -> Unread {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    let is_gone = causes.any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        let by_hyper = cause.downcast_ref::<hyper::Error>();
        by_hyper.is_some_and(|error| error.is_incomplete_message() || error.is_closed())
            || io.is_some_and(|error| is_loss(error.kind()))
    });
    if is_gone {
        return Unread::Gone;
    }
    let failure = Failure::new(StatusCode::BAD_REQUEST, "Malformed request body");
    Unread::Closed(failure.with_details(error.to_string()))
}

fn is_loss(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    fn limit(bytes: usize) -> Limits {
        Limits::default().body(bytes)
    }

    async fn read(body: Body, limits: &Limits) -> Result<Bytes, Unread> {
        let reading = Reading {
            body,
            waits: false,
            deadline: None,
        };
        super::read(reading, limits, Instant::now(), &Peer::default()).await
    }

    /// A body whose pieces come after so many seconds each.
    fn slow(pieces: &'static [(u64, &'static str)]) -> Body {
        let pieces = stream::unfold(pieces.iter(), async |mut rest| {
            let (pause, piece) = rest.next()?;
            sleep(Duration::from_secs(*pause)).await;
            Some((Ok::<_, std::io::Error>(*piece), rest))
        });
        Body::from_stream(pieces)
    }

    fn failing(error: std::io::Error) -> Body {
        Body::from_stream(stream::iter([Ok("1"), Err(error)]))
    }

    fn refusal(read: Result<Bytes, Unread>) -> Failure {
        match read {
            Err(Unread::Refused(failure) | Unread::Closed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_whole() {
        let body = read(Body::from("12345"), &limit(5)).await;
        assert_eq!(body.unwrap(), "12345");
        let pieces = slow(&[(0, "1"), (0, ""), (0, "23"), (0, "45")]);
        assert_eq!(read(pieces, &limit(5)).await.unwrap(), "12345");
        assert_eq!(read(Body::empty(), &limit(0)).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_longer_body_is_refused_whether_announced_or_not() {
        for body in [Body::from("123456"), slow(&[(0, "123"), (0, "456")])] {
            let refusal = refusal(read(body, &limit(5)).await);
            assert_eq!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(
                refusal.body(),
                r#"{"error":"Request body too large","details":"the limit is 5 bytes"}"#.as_bytes()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_never_stops_sending_is_answered_in_the_end() {
        let endless = Body::from_stream(stream::unfold((), |()| async {
            sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, std::io::Error>("123"), ()))
        }));
        let refusal = refusal(read(endless, &limit(5)).await);
        assert_eq!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_pause_and_may_take_its_time_but_not_for_ever() {
        let times = |pause, whole| {
            let (pause, whole) = (Duration::from_secs(pause), Duration::from_secs(whole));
            Limits::default().body_time(pause, whole)
        };
        let pieces = || slow(&[(5, "1"), (5, "2"), (5, "3")]);
        let body = read(pieces(), &times(6, 16)).await;
        assert_eq!(body.unwrap(), "123");

        for (limits, details) in [
            (times(4, 16), "nothing came for 4 s"),
            (times(6, 14), "it was not whole after 14 s"),
        ] {
            let refusal = refusal(read(pieces(), &limits).await);
            assert_eq!(refusal.status(), StatusCode::REQUEST_TIMEOUT);
            let body = format!(r#"{{"error":"Request body too slow","details":"{details}"}}"#);
            assert_eq!(refusal.body(), body.as_bytes());
        }
        let patient = Limits::default().body_time(Duration::MAX, Duration::MAX);
        assert_eq!(read(pieces(), &patient).await.unwrap(), "123");
    }

    #[tokio::test]
    async fn a_caller_who_is_gone_is_told_nothing_and_one_who_errs_is() {
        let gone = failing(ErrorKind::UnexpectedEof.into());
        let unread = read(gone, &limit(5)).await;
        assert!(matches!(unread, Err(Unread::Gone)), "{unread:?}");

        let malformed = failing(std::io::Error::new(ErrorKind::InvalidInput, "a bad chunk"));
        let refusal = refusal(read(malformed, &limit(5)).await);
        assert_eq!(refusal.status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            refusal.body(),
            r#"{"error":"Malformed request body","details":"a bad chunk"}"#.as_bytes()
        );
    }
}
