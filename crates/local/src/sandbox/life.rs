//! The life of one sandbox, from start to end, as one task.
//!
//! Whatever happens first decides how it ends: its process, its clocks, or somebody's wish. The end is always complete:
//! every descendant gone, its folder removed, and only then reported.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agentcore_protocol::PingStatus;
use tokio::time::{Instant, sleep, sleep_until};

use super::container::Listening;
use super::health::{self, Health};
use super::kind::{Body, Plan};
use super::process::LineSink;
use super::{End, Phase, Sandbox};
use crate::error::EndCause;
use crate::event::Event;
use crate::sessions::clock::Verdict;
use crate::spec::Limits;

/// The clocks are not looked at more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// How often a container that is not healthy yet is looked into.
const LOOK_INSIDE: Duration = Duration::from_secs(1);

/// So often in a row it must be seen to listen where nobody reaches it: then it is over, long before the start limit. As
/// long as it keeps that address, nothing can listen on all addresses of that port, so waiting cannot help; and somebody
/// waits for the first answer.
const CERTAIN: u32 = 5;

/// Starts `sandbox`, keeps it while it is wanted, ends it, and returns when nothing of it is left.
pub(crate) async fn live(sandbox: Arc<Sandbox>, plan: Plan, limits: Limits) {
    (sandbox.events)(Event::SandboxStarting {
        sandbox: sandbox.id.clone(),
        session: sandbox.session.get().cloned(),
    });
    let lines: LineSink = {
        let sandbox = Arc::clone(&sandbox);
        Arc::new(move |stream, line| sandbox.line(stream, line))
    };
    let asked = sandbox.asked.borrow().clone();
    let started = match asked {
        Some(cause) => {
            plan.discard().await;
            Err(cause.into())
        }
        None => plan.start(&sandbox, &lines).await,
    };
    let failure = match started {
        Ok(mut body) => {
            let end = sandbox.until_over(&mut body, &limits).await;
            let failure = Arc::new(sandbox.failure(end));
            sandbox.enter_end(Phase::Ended(Arc::clone(&failure)));
            body.end().await;
            failure
        }
        Err(end) => Arc::new(sandbox.failure(end)),
    };
    (sandbox.events)(Event::SandboxEnded {
        sandbox: sandbox.id.clone(),
        session: sandbox.session.get().cloned(),
        cause: failure.cause.clone(),
    });
    sandbox.enter_end(Phase::Gone(failure));
    sandbox.client.place().cut_off();
}

impl Sandbox {
    /// Waits for the first thing that ends the sandbox, and returns it, with what is known beyond the agent's own lines.
    async fn until_over(&self, body: &mut Body, limits: &Limits) -> End {
        let renaming = body.renaming(self);
        tokio::select! {
            biased;
            cause = self.wish() => cause.into(),
            end = body.ended(&self.doubt) => end,
            end = self.tend(limits) => end,
            never = renaming => match never {},
        }
    }

    /// Waits until it is healthy, then asks after it until one of its clocks has run down.
    async fn tend(&self, limits: &Limits) -> End {
        let healthy = tokio::select! {
            healthy = health::until_healthy(&self.client, limits.start_limit) => healthy,
            address = self.unreachable() => return EndCause::Unreachable { address }.into(),
        };
        match healthy {
            Ok(status) => self.become_ready(status),
            Err(found) => {
                return End {
                    reason: Some(found),
                    ..EndCause::start_timed_out(limits.start_limit).into()
                };
            }
        }
        let mut next_ping = Instant::now() + health::INTERVAL;
        loop {
            let verdict = self.clock().verdict(Instant::now());
            let look_again = match verdict {
                Verdict::Over(cause) => {
                    if let Some(cause) = self.confirm(cause).await {
                        return cause.into();
                    }
                    continue;
                }
                Verdict::Lives { until } => until.map_or(next_ping, |until| until.min(next_ping)),
            };
            // However short the limits are, looking is not all there is to do.
            sleep_until(look_again.max(Instant::now() + SHORTEST_LOOK)).await;
            if Instant::now() >= next_ping {
                self.ping().await;
                next_ping = Instant::now() + health::INTERVAL;
            }
        }
    }

    /// Completes once it is certain that a container listens where nothing outside reaches it.
    async fn unreachable(&self) -> SocketAddr {
        let mut seen = 0;
        loop {
            sleep(LOOK_INSIDE).await;
            let port = self.inside.get().map(|inside| inside.port);
            let listening = port.zip(self.listening());
            match listening.and_then(|(port, listening)| listening.only_inside(port)) {
                Some(address) if seen + 1 >= CERTAIN => return address,
                Some(_) => seen += 1,
                None => seen = 0,
            }
        }
    }

    /// Where something listens in the container: what the kernel says, or else the agent's own lines.
    pub(super) fn listening(&self) -> Option<Listening> {
        let inside = self.inside.get()?;
        let told = || {
            let lines = self.tail().lines();
            Listening::told(lines.iter().map(String::as_str))
        };
        Some(inside.listening().unwrap_or_else(told))
    }

    /// Makes sure that a clock that seems to have run down really has, and takes no more calls if so.
    async fn confirm(&self, cause: EndCause) -> Option<EndCause> {
        if matches!(cause, EndCause::Idle { .. }) {
            // Work in the background may have begun since the last ping.
            self.ping().await;
        }
        let mut clock = self.clock();
        match clock.verdict(Instant::now()) {
            Verdict::Over(cause) => {
                clock.end();
                Some(cause)
            }
            Verdict::Lives { .. } => None,
        }
    }

    async fn ping(&self) {
        let health = health::ask(&self.client).await;
        let answers = match health {
            Health::Healthy(status) => {
                let busy = status == PingStatus::HealthyBusy;
                self.clock().pinged(busy, Instant::now());
                true
            }
            // What it said last still holds: an agent that blocks its own server is at work.
            Health::Not(_) => false,
        };
        let changed = self.phase.send_if_modified(|phase| match phase {
            Phase::Ready { answers: before } if *before != answers => {
                *before = answers;
                true
            }
            _ => false,
        });
        if changed {
            (self.events)(Event::Responsive {
                sandbox: self.id.clone(),
                session: self.session.get().cloned(),
                answers,
            });
        }
    }

    fn become_ready(&self, status: PingStatus) {
        let busy = status == PingStatus::HealthyBusy;
        let now = Instant::now();
        self.clock().pinged(busy, now);
        let took = now.duration_since(self.created);
        (self.events)(Event::SandboxReady {
            sandbox: self.id.clone(),
            session: self.session.get().cloned(),
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        self.was_ready.store(true, Ordering::Relaxed);
        self.phase.send_replace(Phase::Ready { answers: true });
    }

    fn enter_end(&self, phase: Phase) {
        self.clock().end();
        self.phase.send_replace(phase);
    }
}
