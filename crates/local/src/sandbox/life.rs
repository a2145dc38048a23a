//! The life of one sandbox, from start to end, as one task.
//!
//! Whatever happens first decides how it ends: its process, its clocks, or somebody's wish. The end is always complete:
//! every descendant gone, its folder removed, and only then reported.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use agentcore_protocol::PingStatus;
use tokio::time::{Instant, sleep_until};

use super::health::{self, Health};
use super::process::{LineSink, Process};
use super::{Phase, Sandbox};
use crate::error::EndCause;
use crate::event::Event;
use crate::process_tree::Mark;
use crate::run_dir::SandboxDir;
use crate::sessions::clock::Verdict;
use crate::spec::{Limits, SandboxKind, SandboxSpec};

/// The clocks are not looked at more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// Starts `sandbox`, keeps it while it is wanted, ends it, and returns when nothing of it is left.
pub(crate) async fn live(
    sandbox: Arc<Sandbox>,
    spec: Arc<SandboxSpec>,
    dir: SandboxDir,
    mark: Mark,
    limits: Limits,
) {
    (sandbox.events)(Event::SandboxStarting {
        sandbox: sandbox.id.clone(),
        session: sandbox.session.get().cloned(),
    });
    let lines: LineSink = {
        let sandbox = Arc::clone(&sandbox);
        Arc::new(move |stream, line| sandbox.line(stream, line))
    };
    let SandboxKind::Process(process) = &spec.kind;
    let asked = sandbox.asked.borrow().clone();
    let started = match asked {
        Some(cause) => Err(cause),
        None => Process::start(process, &dir, mark, &lines).map_err(|error| {
            let error = format!("`{}` cannot be run: {error}", process.program.display());
            EndCause::NotStarted { error }
        }),
    };
    let failure = match started {
        Ok(mut process) => {
            let _ = sandbox.pid.set(process.pid());
            let (cause, reason) = sandbox.until_over(&mut process, &limits).await;
            let failure = Arc::new(sandbox.failure(cause, reason));
            sandbox.enter_end(Phase::Ended(Arc::clone(&failure)));
            process.end().await;
            failure
        }
        Err(cause) => Arc::new(sandbox.failure(cause, None)),
    };
    let _ = tokio::task::spawn_blocking(|| drop(dir)).await;
    (sandbox.events)(Event::SandboxEnded {
        sandbox: sandbox.id.clone(),
        session: sandbox.session.get().cloned(),
        cause: failure.cause.clone(),
    });
    sandbox.enter_end(Phase::Gone(failure));
}

impl Sandbox {
    /// Waits for the first thing that ends the sandbox, and returns it, with what is known beyond the agent's own lines.
    async fn until_over(
        &self,
        process: &mut Process,
        limits: &Limits,
    ) -> (EndCause, Option<String>) {
        let mut asked = self.asked.subscribe();
        let wish = async {
            match asked.wait_for(Option::is_some).await {
                Ok(cause) => cause.clone().unwrap_or(EndCause::Stopped),
                Err(_) => EndCause::Stopped,
            }
        };
        tokio::select! {
            biased;
            cause = wish => (cause, None),
            cause = process.ended() => (cause, None),
            over = self.tend(limits) => over,
        }
    }

    /// Waits until it is healthy, then asks after it until one of its clocks has run down.
    async fn tend(&self, limits: &Limits) -> (EndCause, Option<String>) {
        match health::until_healthy(&self.client, limits.start_limit).await {
            Ok(status) => self.become_ready(status),
            Err(found) => {
                return (EndCause::start_timed_out(limits.start_limit), Some(found));
            }
        }
        let mut next_ping = Instant::now() + health::INTERVAL;
        loop {
            let verdict = self.clock().verdict(Instant::now());
            let look_again = match verdict {
                Verdict::Over(cause) => {
                    if let Some(cause) = self.confirm(cause).await {
                        return (cause, None);
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
