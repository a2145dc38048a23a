//! Requests of which nobody knows yet whether the agent wants them, because it still loads.
//!
//! They wait for that as invocations wait for the agent: in a place of their own, until the limit of an invocation, and unread.

use http::{Request, Response};
use tokio::time::Instant;

use crate::agent::BoxFuture;
use crate::body::AnswerBody;
use crate::failure::Failure;
use crate::invocations::{self, Arrived, RequestBody};
use crate::limits::{Hold, limit_reached, shutting_down, until};
use crate::routes::{Routes, is_for_a_websocket, json, not_here};
use crate::server::Peer;
use crate::websocket;

/// A request that waits to know whose it is.
pub(crate) struct Undecided<B> {
    request: Request<B>,
    /// Whether the agent wants every request.
    known: BoxFuture<'static, bool>,
    at: Instant,
}

impl<B> Undecided<B> {
    /// Takes a request that arrives now.
    pub(crate) fn now(request: Request<B>, known: BoxFuture<'static, bool>) -> Self {
        Self {
            request,
            known,
            at: Instant::now(),
        }
    }

    /// Waits until it is known who answers, and has it answered.
    pub(crate) async fn answer(self, routes: &Routes, peer: &Peer) -> Response<AnswerBody>
    where
        B: RequestBody,
    {
        let Self { request, known, at } = self;
        let deadline = at.checked_add(routes.settings.limits.invocation);
        let decided = tokio::select! {
            biased;
            decided = decision(routes, known, deadline) => decided,
            () = peer.left() => return Response::new(AnswerBody::None),
        };
        match decided {
            Ok(None) => not_here(&request),
            Ok(Some(place)) if is_for_a_websocket(&request) => {
                websocket::answer(routes, request, place, deadline, peer.address()).await
            }
            Ok(Some(place)) => {
                invocations::answer(routes, Arrived::before(request, at, place), peer).await
            }
            Err(failure) => json(failure.status(), failure.body()),
        }
    }
}

/// Waits in a place for the agent to know what it wants; returns the place if it wants every request.
async fn decision(
    routes: &Routes,
    known: BoxFuture<'static, bool>,
    deadline: Option<Instant>,
) -> Result<Option<Hold>, Failure> {
    let place = routes.gate.enter(deadline).await?;
    tokio::select! {
        biased;
        wants_every_request = known => Ok(wants_every_request.then_some(place)),
        () = routes.cut.cancelled() => Err(shutting_down()),
        () = until(deadline) => Err(limit_reached(routes.settings.limits.invocation)),
    }
}
