//! What the log says about invocations, without a socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http::StatusCode;
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::PingStatus;
use crate::agent::{Agent, AgentStatus, BoxFuture};
use crate::limits::Limits;
use crate::log::Captured;
use crate::payload::INVALID_JSON;
use crate::settings::ServerSettings;

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
    let settings = ServerSettings::default();
    let routes = Routes::new(Arc::new(Fixed(outcome)), settings, CancellationToken::new());
    let request = Request::post("/invocations")
        .header("x-amzn-bedrock-agentcore-runtime-request-id", "r")
        .header("x-amzn-bedrock-agentcore-runtime-session-id", "s")
        .header("authorization", "a secret")
        .body(Body::from("a secret"))
        .unwrap();
    let peer = Peer::default();
    let answered = answer(&routes, Arrived::now(request), &peer);
    let _ = tokio::time::timeout(Duration::from_millis(1), answered).await;
    let line = captured.lines().swap_remove(0);
    let (before, after) = line.split_once("s)").unwrap();
    let (before, _) = before.rsplit_once('(').unwrap();
    format!("{before}(…){after}")
}

fn failed(status: u16, error: &str) -> Failure {
    Failure::new(StatusCode::from_u16(status).unwrap(), error)
}

#[tokio::test(start_paused = true)]
async fn every_outcome_has_the_line_of_the_contract() {
    const IDS: &str = r#""logger": "bedrock_agentcore.app", "requestId": "r", "sessionId": "s""#;
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

/// Answers one request whose body ends in `error`; returns the answer and the line in the log.
async fn answer_to_broken(error: io::ErrorKind) -> (Response<AnswerBody>, String) {
    let captured = Captured::start();
    let agent = Arc::new(Fixed(|| panic!("not to be asked")));
    let routes = Routes::new(agent, ServerSettings::default(), CancellationToken::new());
    let pieces = stream::iter([Ok("a secret"), Err(io::Error::from(error))]);
    let request = Request::post("/invocations").body(Body::from_stream(pieces));
    let response = answer(&routes, Arrived::now(request.unwrap()), &Peer::default()).await;
    (response, captured.lines().concat())
}

#[tokio::test]
async fn a_caller_who_vanishes_within_its_body_gets_nothing() {
    let (response, line) = answer_to_broken(io::ErrorKind::UnexpectedEof).await;
    assert!(response.into_body().collect().await.is_err());
    assert!(line.contains(r#""level": "DEBUG""#), "{line}");
    assert!(
        line.contains("Client disconnected before its request was read"),
        "{line}"
    );
    assert!(!line.contains("secret"), "{line}");
}

#[tokio::test]
async fn a_body_that_is_none_is_told_and_closes_the_connection() {
    let (response, line) = answer_to_broken(io::ErrorKind::InvalidInput).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["connection"], "close");
    assert!(line.contains(r#""level": "WARNING""#), "{line}");
    assert!(line.contains("HTTP 400"), "{line}");
    assert!(!line.contains("secret"), "{line}");
}

/// Asks an agent that never answers, within limits; returns the answer's text and the lines in the log.
async fn answer_within(limits: Limits) -> (u16, String, String) {
    let captured = Captured::start();
    let settings = ServerSettings::default().limits(limits);
    let routes = Routes::new(Arc::new(Fixed(|| None)), settings, CancellationToken::new());
    let request = Request::post("/invocations").body(Body::from("a secret"));
    let response = answer(&routes, Arrived::now(request.unwrap()), &Peer::default()).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (status, body, captured.lines().join("|"))
}

#[tokio::test(start_paused = true)]
async fn an_invocation_beyond_its_limit_is_told_so_and_logged_once() {
    let began = Instant::now();
    let (status, body, lines) = answer_within(Limits::default()).await;
    assert_eq!(status, 504);
    assert_eq!(began.elapsed(), Duration::from_mins(15));
    assert_eq!(
        body,
        concat!(
            r#"{"error":"the invocation took longer than its limit","#,
            r#""error_type":"InvocationLimit","details":"the limit is 900 s"}"#
        )
    );
    assert!(
        lines.starts_with(r#""level": "ERROR", "message": "HTTP 504 ("#)
            && lines.contains("the invocation took longer than its limit\"")
            && !lines.contains('|'),
        "{lines}"
    );
}

/// Fails as the agent's own threads do at the deadline, a moment before the server notices it.
struct EndsItself;

impl Agent for EndsItself {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome> {
        let at = invocation.deadline.unwrap();
        Box::pin(async move {
            tokio::time::sleep_until(at).await;
            Outcome::Failed(crate::limits::deadline_reached())
        })
    }

    fn status(&self) -> AgentStatus {
        AgentStatus::Ready(PingStatus::Healthy)
    }
}

#[tokio::test(start_paused = true)]
async fn the_words_are_the_same_whoever_notices_the_limit_first() {
    let limits = Limits::default().invocation(Duration::from_millis(1500));
    let settings = ServerSettings::default().limits(limits);
    let routes = Routes::new(Arc::new(EndsItself), settings, CancellationToken::new());
    let request = Request::post("/invocations").body(Body::empty());
    let response = answer(&routes, Arrived::now(request.unwrap()), &Peer::default()).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(
        body.ends_with(br#""details":"the limit is 1.5 s"}"#),
        "{body:?}"
    );
}
