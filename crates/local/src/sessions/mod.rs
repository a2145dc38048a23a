//! Which session has which sandbox: one each, made at the first call, by whoever comes first.
//!
//! It starts sandboxes and has them ended; what a sandbox is and how calls travel is not its matter.

pub(crate) mod clock;
mod spares;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agentcore_protocol::SessionId;
use tokio_util::task::TaskTracker;

use crate::error::{EndCause, SandboxFailure};
use crate::event::{Event, EventSink};
use crate::run_dir::RunDir;
use crate::sandbox::client::Client;
use crate::sandbox::hints::Setting;
use crate::sandbox::kind::Kind;
use crate::sandbox::{self, Call, Sandbox};
use crate::spec::{FrontDoorConfig, Limits};
use crate::status::SandboxStatus;
use spares::Spares;

/// All sessions of a front door.
pub(crate) struct Sessions {
    kind: Kind,
    limits: Limits,
    events: EventSink,
    table: Mutex<Table>,
    started: AtomicU64,
    lives: TaskTracker,
    /// Whether all has ended in order, and nothing is left to be killed.
    over: AtomicBool,
}

struct Table {
    by_session: HashMap<SessionId, Arc<Sandbox>>,
    spares: Spares,
    /// Gone once the front door ends: then no sandbox is started any more.
    run_dir: Option<RunDir>,
}

impl Table {
    fn everyone(&self) -> impl Iterator<Item = &Arc<Sandbox>> {
        self.by_session.values().chain(self.spares.iter())
    }

    /// Forgets a sandbox of which nothing is left; its session may have another by now. Returns how soon it is to be
    /// replaced, if it waited for one.
    fn forget(&mut self, gone: &Arc<Sandbox>) -> Option<Duration> {
        self.by_session.retain(|_, it| !Arc::ptr_eq(it, gone));
        self.spares.forget(gone)
    }
}

/// Why a session gets no sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// As many sessions as are allowed have one.
    #[error("no sandbox is free for another session: the limit is {limit}")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The front door is ending.
    #[error("the front door is ending")]
    Closed,
    /// Its folder cannot be made.
    #[error("the folder of a sandbox cannot be made: {0}")]
    Folder(#[from] io::Error),
}

impl Sessions {
    pub(crate) fn new(config: &FrontDoorConfig, kind: Kind, run_dir: RunDir) -> Self {
        Self {
            kind,
            limits: config.limits,
            events: Arc::clone(&config.events),
            table: Mutex::new(Table {
                by_session: HashMap::new(),
                spares: Spares::new(config.limits.spares),
                run_dir: Some(run_dir),
            }),
            started: AtomicU64::new(0),
            lives: TaskTracker::new(),
            over: AtomicBool::new(false),
        }
    }

    /// Starts a sandbox for the first session and waits until it is healthy; those that are to wait beside it follow.
    pub(crate) async fn warm_up(self: &Arc<Self>) -> Result<(), SandboxFailure> {
        let started = {
            let mut table = self.table();
            let started = self.start(&table, None);
            if let Ok(first) = &started {
                table.spares.add(Arc::clone(first));
            }
            started
        };
        let sandbox = started.map_err(|refusal| {
            let error = refusal.to_string();
            SandboxFailure::of_cause(EndCause::NotStarted { error })
        })?;
        match sandbox.ready().await {
            Ok(()) => {
                self.replenish(&mut self.table());
                Ok(())
            }
            Err(failure) => {
                sandbox.end(failure.cause.clone()).await;
                Err(SandboxFailure::clone(&failure))
            }
        }
    }

    /// Opens a call to the sandbox of `session`, which is started if there is none. It may not be ready yet.
    pub(crate) fn call(self: &Arc<Self>, session: &SessionId) -> Result<Call, Refusal> {
        let (call, took_waiting) = self.place(session)?;
        if took_waiting {
            (self.events)(Event::SessionStarted {
                sandbox: call.sandbox().id().to_owned(),
                session: session.clone(),
            });
        }
        Ok(call)
    }

    /// Does the work of `call`, and tells whether the session is new and took the sandbox that waited.
    fn place(self: &Arc<Self>, session: &SessionId) -> Result<(Call, bool), Refusal> {
        let mut table = self.table();
        let mut took_waiting = false;
        loop {
            if let Some(call) = table.by_session.get(session).and_then(Sandbox::call) {
                return Ok((call, took_waiting));
            }
            let live = table.by_session.values().filter(|it| !it.has_ended());
            if live.count() >= self.limits.max_sandboxes {
                return Err(Refusal::Full {
                    limit: self.limits.max_sandboxes,
                });
            }
            let waiting = table.spares.take();
            took_waiting = waiting.is_some();
            let sandbox = match waiting {
                Some(sandbox) => {
                    sandbox.begin(session);
                    sandbox
                }
                None => self.start(&table, Some(session))?,
            };
            table.by_session.insert(session.clone(), sandbox);
            self.replenish(&mut table);
        }
    }

    /// Ends the sandbox of `session` and returns when nothing of it is left; `false` if there is none.
    pub(crate) async fn stop(&self, session: &SessionId) -> bool {
        let sandbox = {
            let table = self.table();
            table
                .by_session
                .get(session)
                .filter(|it| !it.has_ended())
                .cloned()
        };
        match sandbox {
            Some(sandbox) => {
                sandbox.end(EndCause::Stopped).await;
                true
            }
            None => false,
        }
    }

    /// Ends all sandboxes at the same time and returns when nothing of them is left.
    pub(crate) async fn end_all(&self) {
        let (run_dir, sandboxes) = {
            let mut table = self.table();
            let sandboxes: Vec<_> = table.everyone().cloned().collect();
            (table.run_dir.take(), sandboxes)
        };
        for sandbox in &sandboxes {
            sandbox.ask_to_end(EndCause::FrontDoorEnded);
        }
        self.lives.close();
        self.lives.wait().await;
        self.kind.finish().await;
        self.over.store(true, Ordering::Relaxed);
        drop(run_dir);
    }

    /// Kills all sandboxes on the spot, for a front door that is dropped. It blocks until they are gone.
    pub(crate) fn kill_all(&self) {
        let run_dir = {
            let mut table = self.table();
            for sandbox in table.everyone() {
                // One that is about to start must not do so after the look at what runs.
                sandbox.ask_to_end(EndCause::FrontDoorEnded);
            }
            table.run_dir.take()
        };
        // The lives tell nothing here: they may have been dropped before, with the runtime.
        if !self.over.swap(true, Ordering::Relaxed) {
            self.kind.kill_all();
        }
        drop(run_dir);
    }

    /// Returns the live sandboxes, oldest first.
    pub(crate) fn report(&self, with_log: bool) -> Vec<SandboxStatus> {
        let mut sandboxes: Vec<_> = {
            let table = self.table();
            let live = table.everyone().filter(|it| !it.has_ended());
            live.cloned().collect()
        };
        sandboxes.sort_by_key(|sandbox| sandbox.created());
        let reports = sandboxes.iter();
        reports.map(|sandbox| sandbox.status(with_log)).collect()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn setting(&self) -> Setting {
        self.kind.setting()
    }

    /// Starts sandboxes until as many wait as are wanted.
    fn replenish(self: &Arc<Self>, table: &mut Table) {
        for _ in 0..table.spares.missing() {
            match self.start(table, None) {
                Ok(spare) => table.spares.add(spare),
                Err(Refusal::Closed) => return,
                Err(refusal) => {
                    tracing::debug!(%refusal, "no sandbox can be kept waiting");
                    return;
                }
            }
        }
    }

    /// Starts a sandbox; it lives in a task of its own, whoever waits for it or leaves.
    fn start(
        self: &Arc<Self>,
        table: &Table,
        session: Option<&SessionId>,
    ) -> Result<Arc<Sandbox>, Refusal> {
        let run_dir = table.run_dir.as_ref().ok_or(Refusal::Closed)?;
        let id = (self.started.fetch_add(1, Ordering::Relaxed) + 1).to_string();
        let plan = self.kind.plan(run_dir, &id)?;
        let client = Client::new(plan.place());
        let events = Arc::clone(&self.events);
        let sandbox = Sandbox::new(id, client, self.kind.setting(), &self.limits, events);
        let sandbox = Arc::new(sandbox);
        match session {
            Some(session) => sandbox.begin(session),
            // What another would replace must not wait for ever: the environment it was given may be outdated.
            None if self.limits.spares > 0 => sandbox.wait_at_most(self.limits.max_lifetime),
            None => {}
        }
        let life = sandbox::live(Arc::clone(&sandbox), plan, self.limits);
        let (sessions, ended) = (Arc::downgrade(self), Arc::clone(&sandbox));
        self.lives.spawn(async move {
            life.await;
            if let Some(sessions) = sessions.upgrade() {
                sessions.forget(&ended);
            }
        });
        Ok(sandbox)
    }

    /// Forgets a sandbox of which nothing is left, and sees to its replacement if it waited for a session.
    fn forget(self: &Arc<Self>, gone: &Arc<Sandbox>) {
        let pause = {
            let mut table = self.table();
            let pause = table.forget(gone);
            pause.filter(|_| table.run_dir.is_some())
        };
        if let Some(pause) = pause {
            let sessions = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                if let Some(sessions) = sessions.upgrade() {
                    sessions.replenish(&mut sessions.table());
                }
            });
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
