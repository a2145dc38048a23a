//! One connection from its request to its end: asks the agent, answers the handshake, and runs the pump.
//!
//! The agent's future is polled here, in a task that the server waits for when it drains. What the log says about a
//! connection is said here.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::handshake::{Acceptance, Decision, Handshake, Refusal};
use super::pump::{Cut, Ending, Job, Pump, Times};
use super::upgrade::{self, BadHandshake};
use crate::agent::BoxFuture;
use crate::body::{AnswerBody, Bounds, PassedBody};
use crate::context::Context;
use crate::failure::Failure;
use crate::limits::{Hold, deadline_reached, shutting_down, until};
use crate::log::{self, LOGGER};
use crate::routes::{Routes, json, text};

/// Answers a request of `client` that asks for a WebSocket, by the deadline at the latest; `hold` is kept until the connection
/// is over.
pub(crate) async fn answer<B>(
    routes: &Routes,
    request: Request<B>,
    hold: Hold,
    deadline: Option<Instant>,
    client: Option<SocketAddr>,
) -> Response<AnswerBody> {
    let (mut head, _) = request.into_parts();
    let (key, upgrade) = match begin(&mut head) {
        Ok(begun) => begun,
        Err(refusal) => return refusal.answer(),
    };
    let offered = upgrade::offered(&head.headers);
    let mut context = Context::from_parts(head);
    context.came_from(client);
    let span = log::invocation_span(&context);
    let (handshake, decision) = Handshake::new(context, offered, hold.clone(), deadline);
    let asked =
        span.in_scope(|| catch_unwind(AssertUnwindSafe(|| routes.agent.websocket(handshake))));
    let work = match asked {
        Ok(Some(work)) => work,
        Ok(None) => {
            tracing::error!(target: LOGGER, parent: &span, "No WebSocket handler defined");
            return text(StatusCode::NOT_FOUND, "Not Found");
        }
        Err(panic) => Box::pin(std::future::ready(Err(Failure::from_panic(&*panic)))),
    };
    let (answer, answered) = oneshot::channel();
    let connection = Connection {
        key,
        upgrade,
        decision,
        answer,
        deadline,
        limit: routes.settings.limits.stream,
        shutdown: routes.cut.clone(),
        hold,
    };
    routes
        .upgraded
        .spawn(connection.serve(work).instrument(span));
    let answered = answered.await;
    answered.unwrap_or_else(|_| upgrade::refused(StatusCode::FORBIDDEN))
}

/// Takes what the upgrade needs out of a request.
fn begin(head: &mut Parts) -> Result<(HeaderValue, OnUpgrade), BadHandshake> {
    let key = upgrade::check(head)?;
    let upgrade = head.extensions.remove::<OnUpgrade>().ok_or(BadHandshake(
        StatusCode::UPGRADE_REQUIRED,
        "This connection cannot become a WebSocket",
    ))?;
    Ok((key, upgrade))
}

/// One request for a WebSocket, and what becomes of it.
struct Connection {
    key: HeaderValue,
    upgrade: OnUpgrade,
    decision: oneshot::Receiver<Decision>,
    answer: oneshot::Sender<Response<AnswerBody>>,
    /// When the agent has to have decided.
    deadline: Option<Instant>,
    /// How long the connection may be open, and how long another answer may take.
    limit: Duration,
    /// Cancelled when the server can wait no longer.
    shutdown: CancellationToken,
    hold: Hold,
}

impl Connection {
    async fn serve(mut self, work: BoxFuture<'static, Result<(), Failure>>) {
        let work = AssertUnwindSafe(work)
            .catch_unwind()
            .map(|ended| ended.unwrap_or_else(|panic| Err(Failure::from_panic(&*panic))));
        let (shutdown, limit) = (self.shutdown.clone(), self.limit);
        let mut job = Job::new(Box::pin(work), async move {
            tokio::select! {
                () = shutdown.cancelled_owned() => Cut::Shutdown,
                () = sleep(limit) => Cut::Limit,
            }
        });
        let mut ending = None;
        let decision = tokio::select! {
            biased;
            decided = &mut self.decision => decided.unwrap_or(Decision::FORBIDDEN),
            // Dropping the job cancels the work: nobody waits for it.
            () = self.answer.closed() => return,
            // As with an invocation, the work and its place end at the limit.
            () = until(self.deadline) => return self.refuse(Refusal::Failure(deadline_reached())),
            ended = job.ended() => {
                let decided = self.decision.try_recv().ok();
                let decision = decided.unwrap_or_else(|| without_decision(&ended));
                ending = Some(ended);
                decision
            }
        };
        let hold = self.hold.clone();
        match decision {
            Decision::Accept(acceptance) => {
                let ended = self.carry(acceptance, &mut job).await;
                ending = ended.flatten().or(ending);
            }
            Decision::Refuse(refusal) => self.refuse(refusal),
        }
        log_end(&finish(job, ending).await);
        drop(hold);
    }

    /// Opens the connection and carries its messages; `None` if it did not come to that.
    async fn carry(self, acceptance: Acceptance, job: &mut Job) -> Option<Option<Ending>> {
        let Acceptance {
            protocol,
            headers,
            far,
            opened,
        } = acceptance;
        // It was in a header, so it can be in one again.
        let protocol = protocol.and_then(|name| HeaderValue::try_from(name).ok());
        let answer = upgrade::switching(&self.key, protocol, headers);
        let _ = self.answer.send(answer);
        let upgraded = tokio::select! {
            upgraded = self.upgrade => upgraded.ok()?,
            () = self.shutdown.cancelled() => return None,
        };
        tracing::debug!(target: LOGGER, "WebSocket connection established");
        let pump = Pump::new(TokioIo::new(upgraded), far, Times::default(), self.shutdown).await;
        let _ = opened.send(());
        let (reason, ending) = pump.run(job).await;
        tracing::debug!(target: LOGGER, code = reason.code, "WebSocket disconnected");
        Some(ending)
    }

    /// Answers a client whose connection becomes no WebSocket.
    fn refuse(self, refusal: Refusal) {
        let answer = match refusal {
            Refusal::Status(status) => upgrade::refused(status),
            Refusal::Answer(response) => {
                let bounds = Bounds::new(self.shutdown, self.limit, Span::current(), self.hold);
                response.map(|body| AnswerBody::Passed(Box::new(PassedBody::new(body, bounds))))
            }
            Refusal::Failure(failure) => {
                log_refusal(&failure);
                json(failure.status(), failure.body())
            }
        };
        let _ = self.answer.send(answer);
    }
}

/// What becomes of a connection whose agent ended without a word about it.
fn without_decision(ending: &Ending) -> Decision {
    match ending {
        Ending::Returned(_) => Decision::FORBIDDEN,
        Ending::Cut(Cut::Shutdown) => Decision::Refuse(Refusal::Failure(shutting_down())),
        Ending::Cut(Cut::Limit) => Decision::Refuse(Refusal::Failure(deadline_reached())),
    }
}

/// Waits for the end of the work, if that has not come.
async fn finish(mut job: Job, ending: Option<Ending>) -> Ending {
    match ending {
        Some(ending) => ending,
        None => job.ended().await,
    }
}

fn log_end(ending: &Ending) {
    match ending {
        Ending::Returned(Err(failure)) if !failure.is_logged() => tracing::error!(
            target: LOGGER,
            errorType = failure.error_type(),
            errorMessage = failure.to_string(),
            cause = failure.cause(),
            "WebSocket handler failed"
        ),
        Ending::Cut(Cut::Limit) => tracing::warn!(
            target: LOGGER,
            errorType = "StreamLimit",
            "WebSocket ended, because it was open for as long as one may be"
        ),
        Ending::Returned(_) | Ending::Cut(Cut::Shutdown) => {}
    }
}

fn log_refusal(failure: &Failure) {
    let status = failure.status().as_u16();
    if failure.is_logged() {
        return;
    }
    if status >= 500 {
        tracing::error!(
            target: LOGGER,
            errorType = failure.error_type(),
            cause = failure.cause(),
            "WebSocket refused with HTTP {status}: {failure}"
        );
    } else {
        tracing::warn!(target: LOGGER, "WebSocket refused with HTTP {status}: {failure}");
    }
}
