//! The agent that an [`App`](crate::App) becomes when it is served: its functions, the threads they run on, and the app's own parts.
//!
//! It only brings them together: sessions, tasks, health and debug actions each have a module.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::agent::{Agent, AgentStatus, BoxFuture, Invocation, Outcome};
use crate::context::{Context, Scope};
use crate::debug_actions;
use crate::failure::Failure;
use crate::handler::AnyHandler;
use crate::health::Health;
use crate::isolate::Isolate;
use crate::limits::Hold;
use crate::sessions::Sessions;
use crate::tasks::Tasks;
use crate::websocket::{Handshake, WebSockets};

/// A function with the threads that it runs on.
pub(crate) struct FunctionAgent {
    pub(crate) handler: AnyHandler,
    pub(crate) websocket: WebSockets,
    pub(crate) threads: Result<Isolate, String>,
    pub(crate) parts: Parts,
    pub(crate) debug: bool,
}

/// The parts of an app that its functions reach.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) sessions: Sessions,
    pub(crate) tasks: Tasks,
    pub(crate) health: Health,
    /// What is lent to calls without a session, made once for all of them.
    without_session: Arc<Scope>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let tasks = Tasks::default();
        let health = Health::new(tasks.clone());
        let without_session = Scope {
            session: None,
            tasks: tasks.clone(),
            health: health.clone(),
        };
        Self {
            sessions: Sessions::default(),
            tasks,
            health,
            without_session: Arc::new(without_session),
        }
    }
}

impl FunctionAgent {
    fn begin(&self, mut invocation: Invocation) -> Result<BoxFuture<'static, Outcome>, Failure> {
        let threads = self.threads()?;
        if self.debug {
            let Parts { tasks, health, .. } = &self.parts;
            if let Some(outcome) = debug_actions::answer(&invocation.body, tasks, health) {
                return Ok(Box::pin(std::future::ready(outcome)));
            }
        }
        self.lend(&mut invocation.context, &mut invocation.hold)?;
        Ok((self.handler)(invocation, threads))
    }

    /// Lends the app's parts to what is called with `context`, whose session stays open for as long as `hold` is kept.
    fn lend(&self, context: &mut Context, hold: &mut Hold) -> Result<(), Failure> {
        let Some(id) = context.session_id() else {
            context.lend(Arc::clone(&self.parts.without_session));
            return Ok(());
        };
        let lease = self.parts.sessions.open(id)?;
        context.lend(Arc::new(Scope {
            session: Some(lease.session.clone()),
            tasks: self.parts.tasks.within(&lease),
            health: self.parts.health.clone(),
        }));
        *hold = std::mem::take(hold).and(lease);
        Ok(())
    }

    fn threads(&self) -> Result<&Isolate, Failure> {
        self.threads.as_ref().map_err(|error| {
            Failure::internal(format!("the agent's threads could not be started: {error}"))
        })
    }
}

impl Agent for FunctionAgent {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome> {
        self.begin(invocation)
            .unwrap_or_else(|failure| Box::pin(std::future::ready(Outcome::Failed(failure))))
    }

    fn websocket(&self, handshake: Handshake) -> Option<BoxFuture<'static, Result<(), Failure>>> {
        self.websocket.answer(handshake, |handshake| {
            let threads = self.threads()?;
            self.lend(&mut handshake.context, &mut handshake.hold)?;
            Ok(threads)
        })
    }

    fn status(&self) -> AgentStatus {
        let health = &self.parts.health;
        match health.decided() {
            Some(status) => AgentStatus::Decided(status),
            None => AgentStatus::Ready(health.current_ping_status()),
        }
    }

    fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        self.parts.health.refresh()
    }

    fn shutdown(&self, grace: Duration) -> BoxFuture<'static, ()> {
        let Ok(threads) = &self.threads else {
            return Box::pin(std::future::ready(()));
        };
        let Parts {
            sessions, tasks, ..
        } = self.parts.clone();
        let plain = threads.finish(grace);
        sessions.begin_shutdown(grace);
        Box::pin(async move {
            let began = Instant::now();
            tasks.tell_stopping();
            // Before the tasks, because what is still answered may begin some.
            plain.await;
            tasks.finish(grace.saturating_sub(began.elapsed())).await;
        })
    }

    fn drained(&self) -> BoxFuture<'static, ()> {
        let Parts {
            sessions, tasks, ..
        } = self.parts.clone();
        let grace = sessions.grace_left();
        Box::pin(async move {
            // Those that a stream or a late request began before it ended.
            tasks.shutdown(grace).await;
            // Not before, because what ran had its session until here.
            sessions.shutdown().await;
        })
    }
}

impl Drop for FunctionAgent {
    fn drop(&mut self) {
        // Handles of the app's status may be around for longer, and must not keep a thread.
        self.parts.health.stop();
    }
}
