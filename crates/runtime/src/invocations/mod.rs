//! `POST /invocations`: takes a place, reads the request, asks the agent, and turns its outcome into an answer.
//!
//! The payload stays bytes: what it means is the agent's business. Each invocation leaves one line in the log, with the
//! words of the reference SDK, and never a payload, a result or a header.

mod body;
mod record;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Request, Response};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span};

use self::body::Unread;
use self::record::Record;
use crate::agent::{Body, Invocation, Outcome};
use crate::body::{AnswerBody, Bounds, EventBody, Opened, PassedBody};
use crate::context::Context;
use crate::failure::Failure;
use crate::limits::{Hold, LIMIT_TYPE, after, limit_reached};
use crate::log;
use crate::routes::{JSON, Routes, json};
use crate::server::Peer;

pub(crate) use self::body::RequestBody;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// Answers one invocation of the caller at `peer`.
pub(crate) async fn answer<B: RequestBody>(
    routes: &Routes,
    request: Request<B>,
    peer: &Peer,
) -> Response<AnswerBody> {
    let deadline = after(routes.settings.limits.invocation);
    let (head, body) = request.into_parts();
    let waits = head.headers.contains_key(EXPECT);
    let context = Context::from_parts(head);
    let span = log::invocation_span(&context);
    let mut record = Record::begin(span.clone(), &routes.cut);
    let (body, hold) = match receive(routes, body, waits, (deadline, peer)).await {
        Ok(received) => received,
        Err(unread) => return refuse(unread, record),
    };
    record.is_read();
    let mut invocation = Invocation::new(body, context);
    invocation.deadline = deadline;
    invocation.hold = hold.clone();
    let outcome = ask(routes, invocation, &span).await;
    let bounds = || {
        let limit = routes.settings.limits.stream;
        Bounds::new(routes.cut.clone(), limit, span, hold)
    };
    let settled = settle(outcome, bounds).await;
    record.end(&settled, routes.agent.writes_its_own_log());
    respond(settled, routes)
}

/// Takes a place, and then reads the body: who waits for a place costs no memory.
async fn receive<B: RequestBody>(
    routes: &Routes,
    body: B,
    waits: bool,
    (deadline, peer): (Option<Instant>, &Peer),
) -> Result<(Bytes, Hold), Unread> {
    let limits = &routes.settings.limits;
    let entered = tokio::select! {
        biased;
        entered = routes.gate.enter(deadline) => entered,
        () = peer.left() => return Err(Unread::Gone),
    };
    let hold = match entered {
        Ok(hold) => hold,
        Err(failure) => {
            if !waits {
                body::discard(body).await;
            }
            return Err(Unread::Refused(failure));
        }
    };
    let read = body::read(body, limits, waits);
    let body = match deadline {
        None => read.await,
        Some(at) => timeout_at(at, read)
            .await
            .unwrap_or_else(|_| Err(Unread::Closed(limit_reached(limits.invocation)))),
    };
    Ok((body?, hold))
}

/// Answers a caller whose request was not read whole.
fn refuse(unread: Unread, record: Record<'_>) -> Response<AnswerBody> {
    match unread {
        Unread::Refused(failure) => {
            record.fail(&failure);
            json(failure.status(), failure.body())
        }
        Unread::Closed(failure) => {
            record.fail(&failure);
            let mut response = json(failure.status(), failure.body());
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        // The record says so when it is dropped.
        Unread::Gone => Response::new(AnswerBody::None),
    }
}

/// Asks the agent; one that panics has failed, and nothing else with it.
async fn ask(routes: &Routes, invocation: Invocation, span: &Span) -> Outcome {
    let deadline = invocation.deadline;
    // Within the future, so that an agent that panics before it returns one is caught too.
    let asked = AssertUnwindSafe(async { routes.agent.invoke(invocation).await })
        .catch_unwind()
        .instrument(span.clone());
    let answered = match deadline {
        None => Ok(asked.await),
        Some(at) => timeout_at(at, asked).await,
    };
    let limit = || Outcome::Failed(limit_reached(routes.settings.limits.invocation));
    match answered {
        Ok(Ok(Outcome::Failed(failure))) if is_own_end(&failure, deadline) => limit(),
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Outcome::Failed(Failure::from_panic(&*panic)),
        Err(_elapsed) => limit(),
    }
}

/// Returns whether the agent noticed the deadline before the server did; the words are the server's in both cases.
fn is_own_end(failure: &Failure, deadline: Option<Instant>) -> bool {
    failure.error_type() == Some(LIMIT_TYPE) && deadline.is_some_and(|at| at <= Instant::now())
}

/// What the caller gets: an outcome of which nothing is open but the rest of its body.
enum Settled {
    Json(Bytes),
    Events(Opened, Bounds),
    Response(Response<Body>, Bounds),
    Failed(Failure),
}

/// Waits until the answer can begin, which for a stream is up to its first item; makes the bounds of an answer that lasts.
async fn settle(outcome: Outcome, bounds: impl FnOnce() -> Bounds) -> Settled {
    match outcome {
        Outcome::Json(body) => Settled::Json(body),
        Outcome::Events(stream) => {
            let bounds = bounds();
            match crate::body::open(stream, &bounds).await {
                Ok(opened) => Settled::Events(opened, bounds),
                Err(failure) => Settled::Failed(failure),
            }
        }
        Outcome::Response(response) => Settled::Response(response, bounds()),
        Outcome::Failed(failure) => Settled::Failed(failure),
    }
}

fn respond(settled: Settled, routes: &Routes) -> Response<AnswerBody> {
    let (mut response, lasting) = match settled {
        Settled::Json(body) => {
            let mut response = Response::new(AnswerBody::full(body));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            return response;
        }
        Settled::Failed(failure) => return json(failure.status(), failure.body()),
        Settled::Events(opened, bounds) => {
            let lasting = bounds.lasting();
            let events = EventBody::new(opened, bounds, routes.settings.keep_alive);
            let mut response = Response::new(AnswerBody::Events(Box::new(events)));
            response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
            (response, lasting)
        }
        Settled::Response(response, bounds) => {
            let lasting = bounds.lasting();
            let passed = |body| AnswerBody::Passed(Box::new(PassedBody::new(body, bounds)));
            (response.map(passed), lasting)
        }
    };
    if let Some(lasting) = lasting {
        response.extensions_mut().insert(lasting);
    }
    response
}
