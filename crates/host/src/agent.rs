//! An agent in worker processes, behind the server's seam.
//!
//! What is asked of an agent is handed to one of its workers here; which one that is, `fleet.rs` decides.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::SessionId;
use agentcore_runtime::{
    Agent, AgentStatus, BoxFuture, Failure, Handshake, Invocation, Outcome, StatusCode, Wants,
};
use futures_util::future::join_all;

use crate::fleet::Fleet;
use crate::wire::from_worker::{Ready, Source, Status};
use crate::worker::{
    Death, Entrance, LoopCall, NotTaken, Worker, WorkerCommand, of_a_death, serve, shutting_down,
    too_large,
};

/// How many workers may die under a call before they have seen it; more would be an agent that dies of being started.
const TRIES: usize = 3;

/// An [`Agent`] whose code runs in worker processes.
#[derive(Debug, Clone)]
pub struct WorkerAgent {
    fleet: Arc<Fleet>,
}

impl WorkerAgent {
    /// Starts the first workers, `count` of them. Has to be called inside a tokio runtime.
    ///
    /// The calls of a session go to one of them, those without a session to the one that has least to do.
    ///
    /// # Errors
    ///
    /// Fails if no private folder for the workers' sockets can be made. A worker that cannot be started is a load
    /// failure instead.
    pub fn start(command: WorkerCommand, count: NonZeroUsize) -> io::Result<Self> {
        let fleet = Arc::new(Fleet::start(command, count)?);
        Ok(Self { fleet })
    }

    /// Waits for a worker that runs already. Returns also the worker, and how it gets here.
    pub(crate) fn attached() -> io::Result<(Self, Arc<Worker>, Entrance)> {
        let (fleet, worker, entrance) = Fleet::attached()?;
        let fleet = Arc::new(fleet);
        Ok((Self { fleet }, worker, entrance))
    }

    /// Waits until the agent has loaded for the first time, in every worker.
    ///
    /// # Errors
    ///
    /// Fails with the reason (the last line of the traceback, or how the process ended) if it does not load.
    pub async fn loaded(&self) -> Result<(), String> {
        self.fleet.loaded().await
    }

    /// Ends the workers: what runs may finish within `grace`, then they are told to end, then they are ended.
    ///
    /// Returns when nothing is left of them. Calls that come later are refused.
    pub async fn stop(&self, grace: Duration) {
        self.fleet.stop(grace).await;
    }

    /// Ends the workers at once, whatever they do. Returns when nothing is left of them.
    pub(crate) async fn kill(&self) {
        self.fleet.kill().await;
    }
}

impl Agent for WorkerAgent {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'static, Outcome> {
        let fleet = Arc::clone(&self.fleet);
        Box::pin(async move {
            let invoked = invoke(&fleet, &invocation).await;
            invoked.unwrap_or_else(Outcome::Failed)
        })
    }

    fn websocket(&self, handshake: Handshake) -> Option<BoxFuture<'static, Result<(), Failure>>> {
        let fleet = Arc::clone(&self.fleet);
        let session = handshake.context().session_id();
        let worker = fleet.worker(session);
        // Of an agent that is not there yet nobody knows whether it has a handler.
        let takes = worker.ready().is_none_or(takes_websockets);
        takes.then(|| -> BoxFuture<'static, _> {
            Box::pin(async move { websocket(&fleet, handshake).await })
        })
    }

    fn wants(&self) -> Wants {
        match self.fleet.ready() {
            Some(ready) if ready.asgi => Wants::EveryRequest,
            Some(_) => Wants::Invocations,
            None => {
                let fleet = Arc::clone(&self.fleet);
                Wants::NotKnownYet(Box::pin(async move {
                    // An agent that does not load is asked all the same: its answer is the reason.
                    fleet.known().await.is_none_or(|ready| ready.asgi)
                }))
            }
        }
    }

    /// The worker writes it, through the agent's own logger, which the agent may have set up as it likes.
    fn writes_its_own_log(&self) -> bool {
        true
    }

    fn status(&self) -> AgentStatus {
        if self.fleet.is_starting() {
            return AgentStatus::Starting;
        }
        let Status { ping, source, .. } = self.fleet.status();
        match source {
            Source::Forced | Source::Custom => AgentStatus::Decided(ping),
            Source::Automatic => AgentStatus::Ready(ping),
        }
    }

    /// The workers are stopped by whoever has started them, when all is served.
    fn shutdown(&self, _grace: Duration) -> BoxFuture<'static, ()> {
        self.fleet.begin_to_end();
        Box::pin(std::future::ready(()))
    }

    fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        let asked: Vec<_> = self
            .fleet
            .current()
            .iter()
            .filter_map(|it| it.refresh())
            .collect();
        if asked.is_empty() {
            return None;
        }
        Some(Box::pin(async { drop(join_all(asked).await) }))
    }
}

async fn invoke(fleet: &Fleet, invocation: &Invocation) -> Result<Outcome, Failure> {
    let mut tries = Tries::new(fleet, invocation.context.session_id());
    loop {
        let worker = tries.worker().await?;
        match worker.call(invocation).await {
            Ok(outcome) => return Ok(outcome),
            Err(why) => tries.again(&worker, why)?,
        }
    }
}

async fn websocket(fleet: &Fleet, handshake: Handshake) -> Result<(), Failure> {
    match open(fleet, &handshake).await {
        Ok(Some(call)) => return serve(call, handshake).await,
        Ok(None) => handshake.refuse(StatusCode::NOT_FOUND),
        Err(failure) => handshake.fail(failure),
    }
    Ok(())
}

/// Hands a WebSocket to a worker; `None` if the agent takes none.
async fn open(fleet: &Fleet, handshake: &Handshake) -> Result<Option<LoopCall>, Failure> {
    let mut tries = Tries::new(fleet, handshake.context().session_id());
    loop {
        let worker = tries.worker().await?;
        if !worker.ready().is_some_and(takes_websockets) {
            return Ok(None);
        }
        match worker.open(handshake).await {
            Ok(call) => return Ok(Some(call)),
            Err(why) => tries.again(&worker, why)?,
        }
    }
}

/// The search for a worker that takes a call: the next one is asked if one has gone before it saw anything of the call.
struct Tries<'a> {
    fleet: &'a Fleet,
    session: Option<&'a SessionId>,
    left: usize,
    last: Option<Arc<Death>>,
}

impl<'a> Tries<'a> {
    fn new(fleet: &'a Fleet, session: Option<&'a SessionId>) -> Self {
        Self {
            fleet,
            session,
            left: TRIES,
            last: None,
        }
    }

    /// Waits for a worker whose agent has loaded.
    async fn worker(&mut self) -> Result<Arc<Worker>, Failure> {
        while self.left > 0 {
            self.left -= 1;
            if self.fleet.is_stopping() {
                return Err(shutting_down());
            }
            let worker = self.fleet.worker(self.session);
            match worker.loaded().await {
                Ok(()) => return Ok(worker),
                Err(death) if death.loaded => self.last = Some(death),
                Err(death) => return Err(of_a_death(&death)),
            }
        }
        let last = self.last.take();
        Err(last.map_or_else(shutting_down, |death| of_a_death(&death)))
    }

    /// Says that the worker does not have the call; fails if no other one would.
    fn again(&mut self, worker: &Worker, why: NotTaken) -> Result<(), Failure> {
        match why {
            NotTaken::TooLarge => return Err(too_large()),
            NotTaken::Gone => self.last = worker.dead().or(self.last.take()),
        }
        Ok(())
    }
}

fn takes_websockets(ready: &Ready) -> bool {
    ready.websocket || ready.asgi
}
