//! One sandbox: from its start over its healthy time to the moment when nothing of it is left.
//!
//! [`Sandbox`] is what calls and reports hold; its life runs in one task (`life`). Which session gets which sandbox is
//! decided in `sessions`.

mod call;
pub(crate) mod client;
mod container;
mod cut;
mod health;
pub(crate) mod hints;
pub(crate) mod kind;
mod life;
mod output;
mod place;
mod process;
pub(crate) mod request_body;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentcore_protocol::SessionId;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::error::{ContainerEnd, EndCause, SandboxFailure};
use crate::event::{Event, EventSink, OutputStream};
use crate::sessions::clock::Clock;
use crate::spec::Limits;
use crate::status::{SandboxState, SandboxStatus};
use client::Client;
use container::{DOUBT_LIMIT, Inside};
use health::Health;
use hints::{Evidence, Setting};
use output::Tail;

pub(crate) use call::{Call, OpenSocket};
pub use container::end_orphan_containers;
pub(crate) use life::live;

/// A sandbox and everything that is known about it.
pub(crate) struct Sandbox {
    id: String,
    client: Arc<Client>,
    setting: Setting,
    session: OnceLock<SessionId>,
    /// Told when the session is known.
    begun: Notify,
    /// The main process, of a process sandbox.
    pid: OnceLock<u32>,
    /// What is known of the container, of a container sandbox.
    inside: OnceLock<Inside>,
    /// Whether it is not known at the moment that it still runs.
    doubt: AtomicBool,
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

/// The end of a sandbox, as far as its life knows it.
#[derive(Clone, Debug)]
pub(crate) struct End {
    cause: EndCause,
    /// What is known beyond the agent's own lines.
    reason: Option<String>,
    /// What is to be done about it, if that is known already.
    hint: Option<String>,
    /// How its container ended, if it did so by itself.
    container: Option<ContainerEnd>,
}

impl From<EndCause> for End {
    fn from(cause: EndCause) -> Self {
        Self {
            cause,
            reason: None,
            hint: None,
            container: None,
        }
    }
}

impl Sandbox {
    pub(crate) fn new(
        id: String,
        client: Arc<Client>,
        setting: Setting,
        limits: &Limits,
        events: EventSink,
    ) -> Self {
        Self {
            id,
            client,
            setting,
            session: OnceLock::new(),
            begun: Notify::new(),
            pid: OnceLock::new(),
            inside: OnceLock::new(),
            doubt: AtomicBool::new(false),
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

    pub(crate) fn setting(&self) -> Setting {
        self.setting
    }

    /// Gives the sandbox to a session; it never changes hands again.
    pub(crate) fn begin(&self, session: &SessionId) {
        if self.session.set(session.clone()).is_ok() {
            self.clock().begin(Instant::now());
            self.begun.notify_one();
        }
    }

    /// Has the sandbox end if no session takes it within `limit`.
    pub(crate) fn wait_at_most(&self, limit: Duration) {
        self.clock().wait_until(Instant::now().checked_add(limit));
    }

    /// Tells whether it is a container that has been started.
    pub(crate) fn is_container(&self) -> bool {
        self.inside.get().is_some()
    }

    /// Tells whether it takes no calls any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.clock().has_ended()
    }

    /// Opens a call; `None` if the sandbox has ended.
    pub(crate) fn call(self: &Arc<Self>) -> Option<Call> {
        let taken = self.clock().open(Instant::now());
        taken.then(|| Call::new(Arc::clone(self)))
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
        self.gone().await;
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

    /// Returns how it ended, if it has ended or does so within `limit`; longer, while that is in doubt.
    pub(crate) async fn end_within(&self, limit: Duration) -> Option<Arc<SandboxFailure>> {
        let ended = |phase: &Phase| matches!(phase, Phase::Ended(_) | Phase::Gone(_));
        let mut reached = timeout(limit, self.reached(ended)).await;
        if reached.is_err() && self.doubt.load(Ordering::Relaxed) {
            reached = timeout(DOUBT_LIMIT * 2, self.reached(ended)).await;
        }
        match reached {
            Ok(Phase::Ended(failure) | Phase::Gone(failure)) => Some(failure),
            _ => None,
        }
    }

    /// Completes when nothing of it is left.
    pub(crate) async fn gone(&self) {
        self.reached(|phase| matches!(phase, Phase::Gone(_))).await;
    }

    /// Completes once it answers a ping; never if it does not answer this one.
    pub(crate) async fn answers(&self) {
        if let Health::Not(_) = health::ask(&self.client).await {
            std::future::pending::<()>().await;
        }
    }

    /// Tells whether it was ended because no session took it for so long.
    pub(crate) fn is_over_for_age(&self) -> bool {
        match &*self.phase.borrow() {
            Phase::Ended(failure) | Phase::Gone(failure) => {
                matches!(failure.cause, EndCause::MaxLifetime { .. })
            }
            Phase::Starting | Phase::Ready { .. } => false,
        }
    }

    /// Whether it takes calls now, or is on its way there.
    pub(crate) fn state(&self) -> SandboxState {
        match &*self.phase.borrow() {
            Phase::Starting => SandboxState::Starting,
            Phase::Ready { answers: true } => SandboxState::Ready,
            Phase::Ready { answers: false } => SandboxState::Unresponsive,
            Phase::Ended(_) | Phase::Gone(_) => SandboxState::Ended,
        }
    }

    pub(crate) fn status(&self, with_log: bool) -> SandboxStatus {
        let usage = self.clock().usage();
        SandboxStatus {
            id: self.id.clone(),
            session: self.session.get().cloned(),
            state: self.state(),
            pid: self.pid.get().copied(),
            container: self.inside.get().map(|it| it.short_id().to_owned()),
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

    /// Waits until somebody wants it to end.
    async fn wish(&self) -> EndCause {
        let mut asked = self.asked.subscribe();
        match asked.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone().unwrap_or(EndCause::Stopped),
            // Not possible while `self` holds the sender.
            Err(_) => EndCause::Stopped,
        }
    }

    /// Waits for its session; one waits at a time.
    async fn its_session(&self) -> &SessionId {
        loop {
            if let Some(session) = self.session.get() {
                return session;
            }
            self.begun.notified().await;
        }
    }

    fn failure(&self, end: End) -> SandboxFailure {
        let End {
            cause,
            reason,
            hint,
            container,
        } = end;
        let (said, log_tail) = {
            let tail = self.tail();
            (tail.reason(), tail.lines())
        };
        let listening = self.listening();
        let evidence = Evidence {
            setting: self.setting,
            cause: &cause,
            lines: &log_tail,
            listening: listening.as_ref(),
        };
        let hint = hint.or_else(|| evidence.hint());
        SandboxFailure {
            cause,
            reason: reason.or(said),
            log_tail,
            hint,
            container,
        }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a moment as seconds since the Unix epoch.
fn unix_seconds(at: Instant) -> u64 {
    let then = SystemTime::now() - at.elapsed();
    then.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
