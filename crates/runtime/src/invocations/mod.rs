//! `POST /invocations`: takes a place, reads the request, asks the agent, and turns its outcome into an answer.
//!
//! The payload stays bytes: what it means is the agent's business. Each invocation leaves one line in the log, with the
//! words of the reference SDK, and never a payload, a result or a header.

mod body;
mod record;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_TYPE, EXPECT};
use http::{HeaderValue, Request, Response};
use tokio::time::Instant;
use tracing::Span;

use self::body::{Reading, Unread};
use self::record::Record;
use crate::agent::{Body, EventStream, Invocation, Outcome};
use crate::body::{AnswerBody, Bounds, EventBody, Opened, PassedBody};
use crate::context::Context;
use crate::failure::Failure;
use crate::limits::{Hold, LIMIT_TYPE, limit_reached};
use crate::log::{self, Within};
use crate::routes::{JSON, Routes, json};
use crate::server::Peer;

pub(crate) use self::body::RequestBody;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// An invocation whose head was read.
///
/// Of the head only what an agent may ask for is kept, in one place: what is awaited here is moved with each request.
pub(crate) struct Arrived<B> {
    at: Instant,
    context: Context,
    body: B,
    /// The caller sends the body only when it is asked for.
    waits: bool,
    /// Its place, if it has waited in one already.
    place: Option<Hold>,
}

impl<B> Arrived<B> {
    /// Takes a request that arrives now.
    pub(crate) fn now(request: Request<B>) -> Self {
        let (head, body) = request.into_parts();
        Self {
            at: Instant::now(),
            waits: head.headers.contains_key(EXPECT),
            context: Context::from_parts(head),
            body,
            place: None,
        }
    }

    /// Takes a request that arrived at `at` and has waited in a place since.
    pub(crate) fn before(request: Request<B>, at: Instant, place: Hold) -> Self {
        Self {
            at,
            place: Some(place),
            ..Self::now(request)
        }
    }
}

/// Answers one invocation of the caller at `peer`.
pub(crate) async fn answer<B: RequestBody>(
    routes: &Routes,
    arrived: Arrived<B>,
    peer: &Peer,
) -> Response<AnswerBody> {
    let Arrived {
        at,
        mut context,
        body,
        waits,
        place,
    } = arrived;
    let deadline = at.checked_add(routes.settings.limits.invocation);
    context.came_from(peer.address());
    let span = log::invocation_span(&context);
    let mut record = Record::begin(&span, at, &routes.cut);
    let reading = Reading {
        body,
        waits,
        deadline,
    };
    let (body, hold) = match receive(routes, reading, at, place, peer).await {
        Ok(received) => received,
        Err(unread) => return refuse(unread, record),
    };
    record.is_read();
    let mut invocation = Invocation::new(body, context);
    invocation.deadline = deadline;
    invocation.hold = hold.clone();
    invocation.stepper = peer.stepper();
    let settled = match ask(routes, invocation, &span, peer).await {
        Outcome::Json(body) => Settled::Json(body),
        Outcome::Failed(failure) => Settled::Failed(failure),
        Outcome::Events(stream) => {
            // Boxed, because most answers are not streams.
            Box::pin(begin(stream, bounds(routes, &span, hold))).await
        }
        Outcome::Response(response) => Settled::Response(response, bounds(routes, &span, hold)),
    };
    record.end(&settled, routes.agent.writes_its_own_log());
    respond(settled, routes)
}

/// Takes a place, unless the caller has one, and then reads the body: who waits for a place costs no memory.
async fn receive<B: RequestBody>(
    routes: &Routes,
    mut reading: Reading<B>,
    mut at: Instant,
    place: Option<Hold>,
    peer: &Peer,
) -> Result<(Bytes, Hold), Unread> {
    let hold = if let Some(place) = place {
        at = Instant::now();
        place
    } else if let Some(hold) = routes.gate.try_enter() {
        hold
    } else {
        // Boxed, because hardly anybody has to wait.
        let (hold, queued) = Box::pin(queue(routes, reading, peer)).await?;
        (reading, at) = (queued, Instant::now());
        hold
    };
    let body = body::read(reading, &routes.settings.limits, at, peer).await?;
    Ok((body, hold))
}

/// Waits for a place.
async fn queue<B: RequestBody>(
    routes: &Routes,
    reading: Reading<B>,
    peer: &Peer,
) -> Result<(Hold, Reading<B>), Unread> {
    let entered = tokio::select! {
        biased;
        entered = routes.gate.enter(reading.deadline) => entered,
        () = peer.left() => return Err(Unread::Gone),
    };
    match entered {
        Ok(hold) => Ok((hold, reading)),
        Err(failure) => {
            if !reading.waits {
                body::discard(reading.body).await;
            }
            Err(Unread::Refused(failure))
        }
    }
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
async fn ask(routes: &Routes, invocation: Invocation, span: &Span, peer: &Peer) -> Outcome {
    let deadline = invocation.deadline;
    let asked = catch_unwind(AssertUnwindSafe(|| {
        span.in_scope(|| routes.agent.invoke(invocation))
    }));
    let answered = match asked {
        Err(panic) => Some(Err(panic)),
        Ok(work) => {
            let work = Within::new(span, AssertUnwindSafe(work).catch_unwind());
            match deadline {
                None => Some(work.await),
                Some(at) => peer.answer_by(at, work).await,
            }
        }
    };
    let limit = || Outcome::Failed(limit_reached(routes.settings.limits.invocation));
    match answered {
        Some(Ok(Outcome::Failed(failure))) if is_own_end(&failure, deadline) => limit(),
        Some(Ok(outcome)) => outcome,
        Some(Err(panic)) => Outcome::Failed(Failure::from_panic(&*panic)),
        None => limit(),
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

/// Waits until a stream can begin to answer, which is up to its first item.
async fn begin(stream: EventStream, bounds: Bounds) -> Settled {
    match crate::body::open(stream, &bounds).await {
        Ok(opened) => Settled::Events(opened, bounds),
        Err(failure) => Settled::Failed(failure),
    }
}

/// Makes the bounds of an answer that lasts.
fn bounds(routes: &Routes, span: &Span, hold: Hold) -> Bounds {
    let limit = routes.settings.limits.stream;
    Bounds::new(routes.cut.clone(), limit, span.clone(), hold)
}

fn respond(settled: Settled, routes: &Routes) -> Response<AnswerBody> {
    match settled {
        Settled::Json(body) => {
            let mut response = Response::new(AnswerBody::full(body));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
            response
        }
        Settled::Failed(failure) => json(failure.status(), failure.body()),
        Settled::Events(opened, bounds) => {
            let events = EventBody::new(opened, bounds, routes.settings.keep_alive);
            let mut response = Response::new(AnswerBody::Events(Box::new(events)));
            response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
            response
        }
        Settled::Response(response, bounds) => {
            response.map(|body| AnswerBody::Passed(Box::new(PassedBody::new(body, bounds))))
        }
    }
}
