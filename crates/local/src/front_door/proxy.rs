//! One call on its way to its sandbox and back: heads cleaned, bodies passed through as they come.
//!
//! It knows calls and sandboxes, and says what went wrong as a value; which answer a caller gets for that depends on the
//! route and is decided there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use agentcore_protocol::SessionId;
use agentcore_protocol::error::StreamError;
use agentcore_protocol::{json, sse};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Request, Response, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use serde::Serialize;
use serde_json::{Map, Value};

use super::head;
use crate::error::SandboxFailure;
use crate::sandbox::client::{Answer, RequestBody, Reserved};
use crate::sandbox::hints::Setting;
use crate::sandbox::{Call, Sandbox};
use crate::sessions::{Refusal, Sessions};

/// How long the end of a process may take to be noticed after its connection broke; the kernel tells it.
const NOTICE: Duration = Duration::from_secs(2);

/// The same for a container, whose end a busy engine tells.
const NOTICE_BY_ENGINE: Duration = Duration::from_secs(6);

/// Why a call has no answer of the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The payload is larger than the service takes.
    #[error("the payload is larger than 100 MB")]
    TooLarge,
    /// The caller's payload is malformed on the wire, or ended before its end.
    #[error("the payload breaks off")]
    BrokenOff,
    /// There is no sandbox for the session.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The sandbox did not start.
    #[error(transparent)]
    NotStarted(Arc<SandboxFailure>),
    /// The sandbox ended with the call in it.
    #[error("the sandbox of this session ended: {}", .0.cause)]
    Died(Arc<SandboxFailure>),
    /// The sandbox lives, and closed the connection.
    #[error("the sandbox closed the connection without an answer")]
    NoAnswer,
}

/// Sends `request` to the sandbox of `session` and returns the answer as soon as its head is there.
pub(crate) async fn forward(
    sessions: &Arc<Sessions>,
    session: &SessionId,
    request: Request<Body>,
) -> Result<Response<Streamed>, Trouble> {
    let (mut head, body) = request.into_parts();
    let body = RequestBody::new(body);
    let too_large = body.too_large();
    if too_large.happened() {
        return Err(Trouble::TooLarge);
    }
    head::for_sandbox(&mut head.headers, session);
    head.version = Version::HTTP_11;

    let (call, connection) = connect(sessions, session).await?;
    let request = Request::from_parts(head, body);
    match connection.send(request).await {
        Ok(response) => Ok(passed_on(response, call)),
        Err(_) if too_large.happened() => Err(Trouble::TooLarge),
        // Of all that is sent only the payload can fail on this side.
        Err(error) if error.is_user() => Err(Trouble::BrokenOff),
        Err(_) => Err(Trouble::of_broken_connection(call.sandbox()).await),
    }
}

/// Opens a call to the session's sandbox and a connection to it, once it is ready; a WebSocket begins as a call too.
///
/// A sandbox that turns out to have ended after it was ready is replaced, once: nothing was sent to it yet.
pub(super) async fn connect(
    sessions: &Arc<Sessions>,
    session: &SessionId,
) -> Result<(Call, Reserved), Trouble> {
    let first = try_connect(sessions, session).await;
    match first {
        Err(Trouble::Died(_)) => try_connect(sessions, session).await,
        settled => settled,
    }
}

async fn try_connect(
    sessions: &Arc<Sessions>,
    session: &SessionId,
) -> Result<(Call, Reserved), Trouble> {
    let call = sessions.call(session)?;
    let sandbox = call.sandbox();
    sandbox.ready().await.map_err(|failure| {
        if sandbox.was_ready() {
            Trouble::Died(failure)
        } else {
            Trouble::NotStarted(failure)
        }
    })?;
    match sandbox.client().reserve().await {
        Ok(connection) => Ok((call, connection)),
        Err(_) => Err(Trouble::of_broken_connection(sandbox).await),
    }
}

pub(super) fn passed_on(response: Response<Answer>, call: Call) -> Response<Streamed> {
    let (mut head, answer) = response.into_parts();
    head::remove_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let is_events = content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
    let has_length = answer.size_hint().exact().is_some();
    let body = Streamed {
        answer,
        call,
        // A stream of known length has no room for last words.
        events: (is_events && !has_length).then(Boundary::default),
        last_words: LastWords::None,
    };
    Response::from_parts(head, body)
}

/// The body of a sandbox's answer on its way to the caller. Dropped early, it ends the call.
pub(crate) struct Streamed {
    answer: Answer,
    call: Call,
    /// For a stream of events: whether one stands open.
    events: Option<Boundary>,
    last_words: LastWords,
}

/// What is said when the sandbox ends in the middle of a stream of events.
enum LastWords {
    None,
    Sought(BoxFuture<'static, Bytes>),
    Said,
}

impl Streamed {
    /// Begins to look for the reason, if the caller can still be told: between two events, by an error event.
    fn seek_last_words(&mut self) -> bool {
        let may_speak = self.events.is_some_and(Boundary::is_between_events);
        if may_speak {
            let sandbox = Arc::clone(self.call.sandbox());
            self.last_words = LastWords::Sought(Box::pin(async move {
                let trouble = Trouble::of_broken_connection(&sandbox).await;
                let error = WithEvidence {
                    error: StreamError::new(trouble.to_string(), trouble.error_type()),
                    evidence: trouble.evidence(sandbox.setting()),
                };
                let error = json::to_spaced_vec(&error).expect("texts and numbers make JSON");
                let mut event = BytesMut::new();
                sse::encode_json(&error, &mut event);
                event.freeze()
            }));
        }
        may_speak
    }
}

impl Trouble {
    pub(super) async fn of_broken_connection(sandbox: &Sandbox) -> Self {
        let limit = if sandbox.is_container() {
            NOTICE_BY_ENGINE
        } else {
            NOTICE
        };
        let end = sandbox.end_within(limit).await;
        end.map_or(Self::NoAnswer, Self::Died)
    }

    /// The name of the trouble, for programs.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::TooLarge => "PayloadTooLarge",
            Self::BrokenOff => "PayloadIncomplete",
            Self::Refused(Refusal::Full { .. }) => "TooManySandboxes",
            Self::Refused(Refusal::Closed) => "FrontDoorEnding",
            Self::NotStarted(failure) if failure.cause.is_engine() => "EngineAway",
            Self::Refused(Refusal::Folder(_)) | Self::NotStarted(_) => "SandboxNotStarted",
            Self::Died(_) => "SandboxDied",
            Self::NoAnswer => "SandboxNoAnswer",
        }
    }
}

impl Trouble {
    /// What is known beyond the sentence: the agent's last lines, how its container ended, and what to do.
    pub(crate) fn evidence(&self, setting: Setting) -> Map<String, Value> {
        let mut evidence = Map::new();
        let (Self::NotStarted(failure) | Self::Died(failure)) = self else {
            return evidence;
        };
        // The end of a process is told in the sentence alone.
        if setting != Setting::Process || matches!(self, Self::NotStarted(_)) {
            evidence.insert("details".to_owned(), failure.log_tail.join("\n").into());
        }
        if let Some(end) = failure.container {
            evidence.insert("exit_code".to_owned(), end.exit_code.into());
            evidence.insert("oom_killed".to_owned(), end.oom_killed.into());
        }
        if failure.cause.is_engine() {
            evidence.insert("engine_away".to_owned(), true.into());
        }
        if let Some(hint) = &failure.hint {
            evidence.insert("hint".to_owned(), hint.clone().into());
        }
        evidence
    }
}

/// An error with what is known beyond it, as one object.
#[derive(Serialize)]
pub(crate) struct WithEvidence<E> {
    #[serde(flatten)]
    pub(crate) error: E,
    #[serde(flatten)]
    pub(crate) evidence: Map<String, Value>,
}

impl http_body::Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        match &mut this.last_words {
            LastWords::None => {}
            LastWords::Sought(words) => {
                let event = ready!(words.as_mut().poll(cx));
                this.last_words = LastWords::Said;
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            LastWords::Said => return Poll::Ready(None),
        }
        match ready!(Pin::new(&mut this.answer).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let (Some(boundary), Some(data)) = (&mut this.events, frame.data_ref()) {
                    boundary.passed(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) if this.seek_last_words() => self.poll_frame(cx),
            end => Poll::Ready(end),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.last_words {
            LastWords::None => self.answer.is_end_stream(),
            LastWords::Sought(_) => false,
            LastWords::Said => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

/// Where in a stream of events the last byte was.
#[derive(Clone, Copy, Debug)]
struct Boundary {
    /// The last four bytes, the newest in the lowest.
    last: u32,
}

impl Default for Boundary {
    // A stream begins as if an event had just ended.
    fn default() -> Self {
        Self {
            last: u32::from_be_bytes(*b"\n\n\n\n"),
        }
    }
}

impl Boundary {
    fn passed(&mut self, data: &[u8]) {
        for &byte in &data[data.len().saturating_sub(4)..] {
            self.last = (self.last << 8) | u32::from(byte);
        }
    }

    /// Tells whether an empty line was the last.
    fn is_between_events(self) -> bool {
        let bytes = self.last.to_be_bytes();
        bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\r") || bytes.ends_with(b"\r\n\r\n")
    }
}
