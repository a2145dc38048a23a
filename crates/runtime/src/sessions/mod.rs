//! Sessions: state that lives between the invocations of one session, and ends with it.
//!
//! The service gives each session a sandbox of its own and ends it; these sessions are the same idea within one process, for agents that
//! serve several, and for state that must not outlive its session. Nothing is kept on disk, and nothing beyond the process.
//!
//! Which sessions there are is decided in `table.rs`, what they hold is in `session.rs`, when somebody looks in `sweep.rs`, and what
//! happens at their end in `hook.rs`; this file holds the lock around the table.

#[cfg(test)]
mod ending;
mod hook;
mod limits;
#[cfg(test)]
mod model;
#[cfg(test)]
mod rules;
mod session;
mod sweep;
mod table;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use self::hook::Ends;
pub use self::limits::SessionLimits;
pub use self::session::Session;
pub use self::table::EndReason;
use self::table::{Refusal, Serial, Table};
use crate::SessionId;
use crate::failure::Failure;

/// How long the server lets hooks go on that have not ended when it does.
const HOOK_TIME: Duration = Duration::from_secs(5);
/// The same when the time for the drain is over; the server itself waits little longer.
const LAST_HOOK_TIME: Duration = Duration::from_millis(300);

/// The sessions of an app, to count and to end them.
///
/// A session begins with the first invocation that names its id, and ends when it was idle for long enough, is old enough, has to make
/// room, or by [`Sessions::end`]: see [`SessionLimits`] and [`EndReason`]. Invocations reach theirs by
/// [`Context::session`](crate::Context::session), and no other. Cloning is cheap. Nothing here keeps an app alive: once it is gone, there
/// are no sessions.
pub struct Sessions {
    shared: Arc<Shared>,
    /// Only the app's own; clones have none.
    _owner: Option<Owner>,
}

impl Sessions {
    /// Returns how many sessions there are: the idle ones, and those with an invocation.
    pub fn len(&self) -> usize {
        self.shared.lock().table.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a session, as the service's `StopRuntimeSession` does; returns whether there was one.
    ///
    /// Its next invocation gets a new one. Invocations that run are not ended: they keep the session, and it ends with the
    /// last of them.
    pub fn end(&self, id: &SessionId) -> bool {
        self.shared.with(|table, now| table.end(id, now))
    }

    pub(crate) fn set_limits(&self, limits: SessionLimits) {
        self.shared.with(|table, _| table.set_limits(limits));
    }

    /// Begins to end sessions whose time has come, on these threads.
    pub(crate) fn start(&self, threads: &Handle) {
        let sweeping = sweep::run(Arc::downgrade(&self.shared), Arc::clone(&self.shared.alarm));
        let before = self.shared.lock().ends.threads.replace(threads.clone());
        if before.is_none() {
            threads.spawn(sweeping);
        }
    }

    /// Returns the session of that id, a new one if there is none.
    pub(crate) fn open(&self, id: &SessionId) -> Result<Lease, Failure> {
        let opened = self.shared.with(|table, now| table.open(id, now));
        let (serial, session) = opened.map_err(refused)?;
        let shared = Arc::clone(&self.shared);
        let lent = Arc::new(Lent { shared, serial });
        Ok(Lease { session, lent })
    }

    /// Lets every session end with its last invocation from now on; those without one end at once, while others still have time.
    pub(crate) fn begin_shutdown(&self, grace: Duration) {
        self.shared.with(Table::close_when_idle);
        self.shared.lock().closes_at = Instant::now().checked_add(grace);
    }

    /// Returns how much is left of the time that a shutdown has.
    pub(crate) fn grace_left(&self) -> Duration {
        let closes_at = self.shared.lock().closes_at;
        closes_at.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    /// Ends all sessions: those with an invocation when it ends, or when the grace does. Waits for the hooks, and cuts and logs those
    /// that take too long.
    pub(crate) async fn shutdown(&self) {
        let shared = &self.shared;
        shared.with(Table::close_when_idle);
        let closes_at = shared.lock().closes_at;
        let closes_at = closes_at.unwrap_or_else(|| Instant::now() + HOOK_TIME);
        let _ = timeout_at(closes_at, shared.wait_until_empty()).await;
        shared.with(Table::close);
        shared.alarm.notify_one();
        let left = closes_at.saturating_duration_since(Instant::now());
        let ends = shared.lock().ends.clone();
        ends.finish(left.clamp(LAST_HOOK_TIME, HOOK_TIME)).await;
    }
}

impl Default for Sessions {
    fn default() -> Self {
        let table = Table::new(SessionLimits::default(), Instant::now());
        let shared = Arc::new(Shared {
            core: Mutex::new(Core {
                table,
                wakes_at: None,
                closes_at: None,
                ends: Ends::default(),
            }),
            alarm: Arc::default(),
            emptied: Notify::new(),
        });
        let owner = Owner(Arc::clone(&shared));
        Self {
            shared,
            _owner: Some(owner),
        }
    }
}

impl Clone for Sessions {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            _owner: None,
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Keeps a session open: it neither idles nor is evicted while a copy of this exists.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) session: Session,
    lent: Arc<Lent>,
}

impl Lease {
    /// Returns what can keep the session open for longer, as long as somebody keeps it open.
    pub(crate) fn renewable(&self) -> RenewableLease {
        RenewableLease(Arc::downgrade(&self.lent))
    }
}

/// Keeps nothing open, so that it can be kept by anyone: a session's own state may hold it.
#[derive(Clone, Debug)]
pub(crate) struct RenewableLease(Weak<Lent>);

impl RenewableLease {
    /// Keeps the session open, unless it is open for nobody any longer.
    pub(crate) fn renew(&self) -> Option<RenewedLease> {
        self.0.upgrade().map(RenewedLease)
    }
}

/// Keeps a session open like a [`Lease`].
pub(crate) struct RenewedLease(#[expect(dead_code, reason = "kept to be dropped")] Arc<Lent>);

/// What one invocation has of the table; given back when the last copy of its lease is dropped.
struct Lent {
    shared: Arc<Shared>,
    serial: Serial,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.shared
            .with(|table, now| table.release(self.serial, now));
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.serial).finish()
    }
}

/// Stands for the app: when this is gone there are no sessions, whoever still has a handle, or is kept in a session's state himself.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        let Self(shared) = self;
        let ends = {
            let mut core = shared.lock();
            core.table.close(Instant::now());
            let ended = core.table.take_ended();
            (std::mem::take(&mut core.ends), ended)
        };
        shared.alarm.notify_one();
        // No hook runs: an app that is dropped has not been shut down, and its threads are gone.
        drop(ends);
    }
}

struct Shared {
    core: Mutex<Core>,
    /// Rung when the sweeper has to look earlier than it thought.
    alarm: Arc<Notify>,
    /// Rung when the last session has ended after [`Table::close_when_idle`].
    emptied: Notify,
}

struct Core {
    table: Table,
    /// When the sweeper looks next by itself.
    wakes_at: Option<Instant>,
    /// When no session is left to its invocations any longer, once that is known.
    closes_at: Option<Instant>,
    ends: Ends,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the table, and ends what has ended by that, outside the lock: hooks and state may call back.
    fn with<T>(&self, work: impl FnOnce(&mut Table, Instant) -> T) -> T {
        let mut core = self.lock();
        // Read under the lock, so that times come in their order.
        let result = work(&mut core.table, Instant::now());
        self.settle(core);
        result
    }

    /// Ends what is due, and returns when to look again; `None` if there is nothing to look for any longer.
    fn sweep(&self) -> Option<sweep::Pause> {
        let mut core = self.lock();
        core.table.sweep(Instant::now());
        core.wakes_at = core.table.next_end();
        let pause = core
            .wakes_at
            .map_or(sweep::Pause::UntilTold, sweep::Pause::Until);
        let is_over = core.table.is_closed();
        self.settle(core);
        (!is_over).then_some(pause)
    }

    fn settle(&self, mut core: MutexGuard<'_, Core>) {
        let next = core.table.next_end();
        let is_earlier = match (next, core.wakes_at) {
            (Some(next), Some(wakes_at)) => next < wakes_at,
            (next, _) => next.is_some(),
        };
        if is_earlier {
            core.wakes_at = next;
            self.alarm.notify_one();
        }
        if core.table.is_closing() && core.table.len() == 0 {
            self.emptied.notify_one();
        }
        let ended = core.table.take_ended();
        if ended.is_empty() {
            return;
        }
        let ends = core.ends.clone();
        drop(core);
        ends.begin(ended);
    }

    async fn wait_until_empty(&self) {
        while self.lock().table.len() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// What the caller of an invocation is told that gets no session.
fn refused(refusal: Refusal) -> Failure {
    let failure = |text: &str| Failure::new(StatusCode::SERVICE_UNAVAILABLE, text);
    match refusal {
        Refusal::Full => failure("too many sessions are open")
            .with_type("TooManySessions")
            .with_details("each has an invocation; try again when one has ended"),
        Refusal::Closed => failure("the server is shutting down").with_type("ServerShutdown"),
    }
}
