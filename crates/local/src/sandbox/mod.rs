//! One sandbox: from its start over its healthy time to the moment when nothing of it is left.
//!
//! [`Sandbox`] is what calls and reports hold; its life runs in one task (`life`). Which session gets which sandbox is
//! decided in `sessions`.

pub(crate) mod client;
mod health;
mod life;
mod output;
mod process;
pub(crate) mod request_body;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentcore_protocol::SessionId;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::error::{EndCause, SandboxFailure};
use crate::event::{Event, EventSink, OutputStream};
use crate::sessions::clock::Clock;
use crate::spec::Limits;
use crate::status::{SandboxState, SandboxStatus};
use client::Client;
use output::Tail;

pub(crate) use life::live;

/// A sandbox and everything that is known about it.
pub(crate) struct Sandbox {
    id: String,
    client: Arc<Client>,
    session: OnceLock<SessionId>,
    pid: OnceLock<u32>,
    created: Instant,
    was_ready: AtomicBool,
    clock: Mutex<Clock>,
    tail: Mutex<Tail>,
    phase: watch::Sender<Phase>,
    /// Why it shall end, once somebody wants that.
    asked: watch::Sender<Option<EndCause>>,
    events: EventSink,
}

/// Where a sandbox is in its life.
#[derive(Clone, Debug)]
enum Phase {
    Starting,
    Ready {
        answers: bool,
    },
    /// It takes no calls any more; what is left of it is being ended.
    Ended(Arc<SandboxFailure>),
    /// Nothing of it is left.
    Gone(Arc<SandboxFailure>),
}

impl Sandbox {
    pub(crate) fn new(id: String, client: Arc<Client>, limits: &Limits, events: EventSink) -> Self {
        Self {
            id,
            client,
            session: OnceLock::new(),
            pid: OnceLock::new(),
            created: Instant::now(),
            was_ready: AtomicBool::new(false),
            clock: Mutex::new(Clock::new(limits)),
            tail: Mutex::default(),
            phase: watch::Sender::new(Phase::Starting),
            asked: watch::Sender::new(None),
            events,
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Gives the sandbox to a session; it never changes hands again.
    pub(crate) fn begin(&self, session: &SessionId) {
        if self.session.set(session.clone()).is_ok() {
            self.clock().begin(Instant::now());
        }
    }

    /// Tells whether it takes no calls any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.clock().has_ended()
    }

    /// Opens a call; `None` if the sandbox has ended.
    pub(crate) fn call(self: &Arc<Self>) -> Option<Call> {
        self.clock().open(Instant::now()).then(|| Call {
            sandbox: Arc::clone(self),
        })
    }

    /// Waits until the sandbox takes calls.
    ///
    /// # Errors
    ///
    /// Fails if it has ended, or ends before that.
    pub(crate) async fn ready(&self) -> Result<(), Arc<SandboxFailure>> {
        // Nearly every call finds it so, and need not subscribe.
        if matches!(*self.phase.borrow(), Phase::Ready { .. }) {
            return Ok(());
        }
        let phase = self.reached(|phase| !matches!(phase, Phase::Starting));
        match phase.await {
            Phase::Starting | Phase::Ready { .. } => Ok(()),
            Phase::Ended(failure) | Phase::Gone(failure) => Err(failure),
        }
    }

    /// Tells whether it took calls at some time.
    pub(crate) fn was_ready(&self) -> bool {
        self.was_ready.load(Ordering::Relaxed)
    }

    /// Asks the sandbox to end, and waits until nothing of it is left.
    pub(crate) async fn end(&self, cause: EndCause) {
        self.ask_to_end(cause);
        self.reached(|phase| matches!(phase, Phase::Gone(_))).await;
    }

    /// Asks the sandbox to end; from now on it takes no calls.
    pub(crate) fn ask_to_end(&self, cause: EndCause) {
        self.clock().end();
        // The first who asks gives the cause.
        self.asked.send_if_modified(|asked| {
            let first = asked.is_none();
            if first {
                *asked = Some(cause);
            }
            first
        });
    }

    /// Returns why it ended, if it has ended or does so within `limit`.
    pub(crate) async fn end_within(&self, limit: Duration) -> Option<EndCause> {
        let ended = |phase: &Phase| matches!(phase, Phase::Ended(_) | Phase::Gone(_));
        match timeout(limit, self.reached(ended)).await {
            Ok(Phase::Ended(failure) | Phase::Gone(failure)) => Some(failure.cause.clone()),
            _ => None,
        }
    }

    pub(crate) fn status(&self, with_log: bool) -> SandboxStatus {
        let usage = self.clock().usage();
        let state = match &*self.phase.borrow() {
            Phase::Starting => SandboxState::Starting,
            Phase::Ready { answers: true } => SandboxState::Ready,
            Phase::Ready { answers: false } => SandboxState::Unresponsive,
            Phase::Ended(_) | Phase::Gone(_) => SandboxState::Ended,
        };
        SandboxStatus {
            id: self.id.clone(),
            session: self.session.get().cloned(),
            state,
            pid: self.pid.get().copied(),
            started: unix_seconds(self.created),
            last_used: usage.last_used.map(unix_seconds),
            invocations: usage.invocations,
            open: usage.open,
            busy: usage.busy,
            log_tail: if with_log {
                self.tail().lines()
            } else {
                Vec::new()
            },
        }
    }

    /// When it was created; reports are in this order.
    pub(crate) fn created(&self) -> Instant {
        self.created
    }

    async fn reached(&self, reached: impl FnMut(&Phase) -> bool) -> Phase {
        let mut phases = self.phase.subscribe();
        match phases.wait_for(reached).await {
            Ok(phase) => phase.clone(),
            // Not possible while `self` holds the sender.
            Err(_) => self.phase.borrow().clone(),
        }
    }

    fn line(&self, stream: OutputStream, line: String) {
        self.tail().push(stream, &line);
        (self.events)(Event::Output {
            sandbox: self.id.clone(),
            session: self.session.get().cloned(),
            stream,
            line,
        });
    }

    fn failure(&self, cause: EndCause, reason: Option<String>) -> SandboxFailure {
        let tail = self.tail();
        SandboxFailure {
            cause,
            reason: reason.or_else(|| tail.reason()),
            log_tail: tail.lines(),
        }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open invocation: while it lives, its sandbox is not idle.
pub(crate) struct Call {
    sandbox: Arc<Sandbox>,
}

impl Call {
    pub(crate) fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }
}

impl Drop for Call {
    // In `drop`, so that a caller who leaves cannot keep the sandbox for ever.
    fn drop(&mut self) {
        self.sandbox.clock().close(Instant::now());
    }
}

/// Returns a moment as seconds since the Unix epoch.
fn unix_seconds(at: Instant) -> u64 {
    let then = SystemTime::now() - at.elapsed();
    then.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
