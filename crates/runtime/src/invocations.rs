//! `POST /invocations`: reads the request, asks the agent, and turns its outcome into an answer.
//!
//! The payload stays bytes: what it means is the agent's business. Each invocation leaves one line in the log, with the
//! words of the reference SDK, and never a payload, a result or a header.

use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::SessionId;
use crate::agent::{Agent, Invocation, Outcome};
use crate::body::{AnswerBody, EventBody};
use crate::context::Context;
use crate::debug_actions;
use crate::failure::Failure;
use crate::log::{INVOCATION, LOGGER};
use crate::payload::{INVALID_ENCODING, INVALID_JSON};
use crate::routes::{JSON, json};

/// The service's payload quota in bytes: 100 MB, as the front door has it.
const BODY_LIMIT: usize = 100_000_000;
/// How long a caller whose body is refused may go on sending before it gets the answer.
const DISCARD_LIMIT: Duration = Duration::from_secs(5);
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// The body of a request, from a connection or from a test.
pub(crate) trait RequestBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin
{
}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin
{
}

/// Answers one invocation; streams that are still open when `cut` is cancelled end then.
pub(crate) async fn answer<B: RequestBody>(
    agent: &dyn Agent,
    request: Request<B>,
    cut: &CancellationToken,
) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    let waits = head.headers.contains_key(EXPECT);
    let context = Context::from_parts(head);
    let span = tracing::error_span!(
        target: LOGGER,
        INVOCATION,
        request_id = context.request_id(),
        session_id = context.session_id().map(SessionId::as_str),
    );
    let record = Record::begin(span.clone());
    let outcome = match read(body, BODY_LIMIT, waits).await {
        Ok(body) => ask(agent, Invocation::new(body, context), &span).await,
        Err(refusal) => Outcome::Failed(refusal),
    };
    record.end(&outcome, agent.writes_its_own_log());
    respond(outcome, cut, span)
}

/// Asks the agent; one that panics has failed, and nothing else with it.
async fn ask(agent: &dyn Agent, invocation: Invocation, span: &Span) -> Outcome {
    // Within the future, so that an agent that panics before it returns one is caught too.
    AssertUnwindSafe(async { agent.invoke(invocation).await })
        .catch_unwind()
        .instrument(span.clone())
        .await
        .unwrap_or_else(|panic| Outcome::Failed(Failure::from_panic(&*panic)))
}

fn respond(outcome: Outcome, cut: &CancellationToken, span: Span) -> Response<AnswerBody> {
    match outcome {
        Outcome::Json(body) => {
            let mut response = Response::new(AnswerBody::full(body));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
        }
        Outcome::Events(stream) => {
            let events = EventBody::new(stream, cut.clone(), span);
            let mut response = Response::new(AnswerBody::Events(Box::new(events)));
            response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
            response
        }
        Outcome::Response(response) => response.map(AnswerBody::Other),
        Outcome::Failed(failure) => json(failure.status(), failure.body()),
    }
}

/// Reads a body whole, up to `limit` bytes; a caller who `waits` sends it only when it is asked for, by reading.
async fn read<B: RequestBody>(mut body: B, limit: usize, waits: bool) -> Result<Bytes, Failure> {
    let announced = body.size_hint().lower();
    let is_sending = !waits || announced <= limit as u64;
    if announced <= limit as u64 {
        match Limited::new(&mut body, limit).collect().await {
            Ok(whole) => return Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {}
            Err(error) => {
                let failure = Failure::new(StatusCode::BAD_REQUEST, "Incomplete request body");
                return Err(failure.with_details(error.to_string()));
            }
        }
    }
    // An answer to a caller who is still sending is lost when the connection is reset, so let it finish.
    if is_sending {
        let _ = tokio::time::timeout(DISCARD_LIMIT, discard(body)).await;
    }
    let failure = Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large");
    Err(failure.with_details(format!("the limit is {limit} bytes")))
}

async fn discard<B: RequestBody>(body: B) {
    let mut body = pin!(body);
    while let Some(Ok(_)) = body.frame().await {}
}

/// The line in the log about one invocation, written when it ends, or when its caller goes away before that.
struct Record {
    span: Span,
    started: Instant,
    ended: bool,
}

impl Record {
    fn begin(span: Span) -> Self {
        Self {
            span,
            started: Instant::now(),
            ended: false,
        }
    }

    fn end(mut self, outcome: &Outcome, agent_logs: bool) {
        self.ended = true;
        let took = Took(self.started.elapsed());
        match outcome {
            Outcome::Failed(failure) if failure.is_logged() => {}
            Outcome::Failed(failure) => log_failure(failure, took, &self.span),
            Outcome::Json(_) | Outcome::Events(_) | Outcome::Response(_) if agent_logs => {}
            Outcome::Events(_) => tracing::info!(
                target: LOGGER, parent: &self.span,
                "Returning streaming response (generator) ({took})"
            ),
            Outcome::Response(response) if debug_actions::is_answer(response) => {
                tracing::info!(target: LOGGER, parent: &self.span, "Debug action completed ({took})");
            }
            Outcome::Response(response) if response.status().as_u16() >= 400 => tracing::warn!(
                target: LOGGER, parent: &self.span,
                "Invocation returned HTTP {} ({took})",
                response.status().as_u16()
            ),
            Outcome::Json(_) | Outcome::Response(_) => tracing::info!(
                target: LOGGER, parent: &self.span,
                "Invocation completed successfully ({took})"
            ),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            let took = Took(self.started.elapsed());
            tracing::info!(target: LOGGER, parent: &self.span, "Client disconnected ({took})");
        }
    }
}

/// A duration as the log has it, `0.123s`, without the price of a float's digits.
#[derive(Clone, Copy)]
struct Took(Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = (self.0 + Duration::from_micros(500)).as_millis();
        write!(f, "{}.{:03}s", millis / 1000, millis % 1000)
    }
}

fn log_failure(failure: &Failure, took: Took, span: &Span) {
    let status = failure.status().as_u16();
    match failure.to_string() {
        // These details are positions; those of other failures may quote the payload.
        error if error == INVALID_JSON || error == INVALID_ENCODING => tracing::warn!(
            target: LOGGER, parent: span,
            "{error} in request ({took}): {}",
            failure.details().unwrap_or_default()
        ),
        error if status == 500 => tracing::error!(
            target: LOGGER, parent: span,
            errorType = failure.error_type(),
            errorMessage = error,
            cause = failure.cause(),
            "Invocation failed ({took})"
        ),
        error if status > 500 => {
            tracing::error!(target: LOGGER, parent: span, "HTTP {status} ({took}): {error}");
        }
        error => tracing::warn!(target: LOGGER, parent: span, "HTTP {status} ({took}): {error}"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;

    use super::*;
    use crate::PingStatus;
    use crate::agent::{AgentStatus, BoxFuture};
    use crate::log::Captured;

    /// Answers as the test says, or never.
    struct Fixed(fn() -> Option<Outcome>);

    impl Agent for Fixed {
        fn invoke(&self, _: Invocation) -> BoxFuture<'static, Outcome> {
            match (self.0)() {
                Some(outcome) => Box::pin(std::future::ready(outcome)),
                None => Box::pin(std::future::pending()),
            }
        }

        fn status(&self) -> AgentStatus {
            AgentStatus::Ready(PingStatus::Healthy)
        }
    }

    /// Invokes the agent once, leaves if it never answers, and returns the first line in the log without its duration.
    async fn line_about(outcome: fn() -> Option<Outcome>) -> String {
        let captured = Captured::start();
        let agent = Fixed(outcome);
        let request = Request::post("/invocations")
            .header("x-amzn-bedrock-agentcore-runtime-request-id", "r")
            .header("x-amzn-bedrock-agentcore-runtime-session-id", "s")
            .header("authorization", "a secret")
            .body(Body::from("a secret"))
            .unwrap();
        let cut = CancellationToken::new();
        let answered = answer(&agent, request, &cut);
        let _ = tokio::time::timeout(Duration::from_millis(1), answered).await;
        let line = captured.lines().swap_remove(0);
        let (before, after) = line.split_once("s)").unwrap();
        let (before, _) = before.rsplit_once('(').unwrap();
        format!("{before}(…){after}")
    }

    #[test]
    fn durations_are_rounded_to_milliseconds() {
        for (micros, text) in [
            (0, "0.000s"),
            (499, "0.000s"),
            (500, "0.001s"),
            (12_034_600, "12.035s"),
            (59_999_999, "60.000s"),
        ] {
            assert_eq!(Took(Duration::from_micros(micros)).to_string(), text);
        }
    }

    fn failed(status: u16, error: &str) -> Failure {
        Failure::new(StatusCode::from_u16(status).unwrap(), error)
    }

    #[tokio::test(start_paused = true)]
    async fn every_outcome_has_the_line_of_the_contract() {
        const IDS: &str =
            r#""logger": "bedrock_agentcore.app", "requestId": "r", "sessionId": "s""#;
        type Make = fn() -> Option<Outcome>;
        let table: [(Make, &str, &str); 9] = [
            (
                || Some(Outcome::Json("1".into())),
                r#""INFO", "message": "Invocation completed successfully (…)""#,
                "",
            ),
            (
                || Some(Outcome::Events(Box::pin(stream::empty()))),
                r#""INFO", "message": "Returning streaming response (generator) (…)""#,
                "",
            ),
            (
                || Some(Outcome::Response(Response::new(Body::empty()))),
                r#""INFO", "message": "Invocation completed successfully (…)""#,
                "",
            ),
            (
                || {
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = StatusCode::NOT_FOUND;
                    Some(Outcome::Response(response))
                },
                r#""WARNING", "message": "Invocation returned HTTP 404 (…)""#,
                "",
            ),
            (
                || {
                    let failure = failed(400, INVALID_JSON).with_details("line 1");
                    Some(Outcome::Failed(failure))
                },
                r#""WARNING", "message": "Invalid JSON in request (…): line 1""#,
                "",
            ),
            (
                || Some(Outcome::Failed(failed(400, "no").with_details("a secret"))),
                r#""WARNING", "message": "HTTP 400 (…): no""#,
                "",
            ),
            (
                || Some(Outcome::Failed(failed(500, "broke").with_type("Broken"))),
                r#""ERROR", "message": "Invocation failed (…)""#,
                r#", "errorType": "Broken", "errorMessage": "broke""#,
            ),
            (
                || Some(Outcome::Failed(failed(503, "busy"))),
                r#""ERROR", "message": "HTTP 503 (…): busy""#,
                "",
            ),
            (
                || None,
                r#""INFO", "message": "Client disconnected (…)""#,
                "",
            ),
        ];
        for (outcome, level_and_message, fields) in table {
            assert_eq!(
                line_about(outcome).await,
                format!(r#""level": {level_and_message}, {IDS}{fields}}}"#)
            );
        }
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_whole() {
        let body = read(Body::from("12345"), 5, false).await;
        assert_eq!(body.unwrap(), "12345");
    }

    #[tokio::test]
    async fn a_longer_body_is_refused_whether_announced_or_not() {
        let chunks = || stream::iter(["123", "456"].map(Ok::<_, std::io::Error>));
        for body in [Body::from("123456"), Body::from_stream(chunks())] {
            let refusal = read(body, 5, false).await.unwrap_err();
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
            tokio::time::sleep(Duration::from_millis(10)).await;
            Some((Ok::<_, std::io::Error>("123"), ()))
        }));
        let refusal = read(endless, 5, false).await.unwrap_err();
        assert_eq!(refusal.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
