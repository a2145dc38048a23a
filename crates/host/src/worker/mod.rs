//! One worker process: its connections, its calls, its life.
//!
//! A worker is started once and never again. Which worker a call goes to, and when a fresh one is started, is decided in
//! `agent.rs`.

mod attached;
mod call;
mod failures;
mod greet;
mod inbox;
mod life;
mod link;
mod mux;
mod outbox;
mod pool;
pub(crate) mod process;
mod socket;
mod status;
mod supervise;
mod thread_call;
mod ticket;

pub(crate) mod exit;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use agentcore_runtime::{BoxFuture, Handshake, Hold, Invocation, Outcome};
use bytes::Bytes;
use rustix::process::Signal;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::SetOnce;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::attached::{Entrance, GONE};
pub(crate) use self::failures::{of_a_death, shutting_down, too_large};
pub(crate) use self::life::Death;
pub(crate) use self::mux::LoopCall;
pub use self::process::WorkerCommand;
pub(crate) use self::socket::serve;

use self::call::Call;
use self::life::Life;
use self::link::{Broken, Link};
use self::mux::Multiplex;
use self::outbox::Outbox;
use self::pool::Pool;
use self::process::Group;
use self::status::LastStatus;
use self::thread_call::ThreadCall;
use self::ticket::Ticket;
use crate::LOGGER;
use crate::wire::from_worker::{Dispatch, Ready, Status};
use crate::wire::to_worker::{self, CallKind, Meta, TooLarge};

/// How long a worker may take to load the agent.
pub(crate) const START_LIMIT: Duration = Duration::from_mins(2);

/// How long the loop connection may come after the worker said that there is one.
const LOOP_CONNECTION: Duration = Duration::from_secs(10);

/// How long the calls of a worker that is replaced may go on.
const LAST_CALLS: Duration = Duration::from_mins(1);

/// How long a worker that was sent TERM has before KILL.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    life: Life,
    control: Arc<Outbox>,
    pool: Pool,
    mux: SetOnce<Arc<Multiplex>>,
    /// What the worker said when the agent had loaded.
    ready: OnceLock<Ready>,
    has_control: AtomicBool,
    /// Cancelled when the control connection has been read to its end.
    control_ended: CancellationToken,
    /// Whether the worker was told to end: then its connections may go before it does.
    stopping: AtomicBool,
    /// Cancelled when the server begins to end: whoever tells it to may tell the worker too.
    server_ends: CancellationToken,
    status: LastStatus,
    /// The calls that the worker has or may still be at work on; closed when it is to get no more.
    calls: TaskTracker,
    numbers: AtomicU32,
    sockets: Mutex<Sockets>,
    /// Where the process comes from.
    origin: Origin,
    /// Cancelled when nothing of the process is left.
    gone: CancellationToken,
    handle: Handle,
}

/// Where a worker comes from.
#[derive(Debug)]
enum Origin {
    /// Its process is started here, and is ours to end. The group is there once it has been started.
    Started(OnceLock<Group>),
    /// It has started this process, and ends by itself.
    Attached,
}

/// All connections, so that they can be shut when the process has died: a forked child may still hold its ends.
#[derive(Debug, Default)]
struct Sockets {
    streams: Vec<Weak<UnixStream>>,
    closed: bool,
}

/// Why a worker does not have a call, of which it has seen nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NotTaken {
    /// It is gone, or takes no more calls: another one may be asked.
    Gone,
    /// The call does not fit into a frame, whoever is asked.
    TooLarge,
}

impl From<TooLarge> for NotTaken {
    fn from(TooLarge: TooLarge) -> Self {
        Self::TooLarge
    }
}

impl Worker {
    /// Has a worker started that connects to `socket`, and does not wait for that. If it cannot be started, it dies loading.
    ///
    /// Has to be called inside a tokio runtime.
    pub(crate) fn start(
        command: WorkerCommand,
        socket: PathBuf,
        server_ends: CancellationToken,
    ) -> Arc<Self> {
        let origin = Origin::Started(OnceLock::new());
        let worker = Arc::new(Self::new(origin, server_ends));
        tokio::spawn(supervise::live(Arc::clone(&worker), command, socket));
        worker
    }

    fn new(origin: Origin, server_ends: CancellationToken) -> Self {
        let control = Arc::new(Outbox::default());
        Self {
            life: Life::new(),
            pool: Pool::new(Arc::clone(&control)),
            control,
            mux: SetOnce::new(),
            ready: OnceLock::new(),
            has_control: AtomicBool::new(false),
            control_ended: CancellationToken::new(),
            stopping: AtomicBool::new(false),
            server_ends,
            status: LastStatus::default(),
            calls: TaskTracker::new(),
            numbers: AtomicU32::new(1),
            sockets: Mutex::default(),
            origin,
            gone: CancellationToken::new(),
            handle: Handle::current(),
        }
    }

    /// Waits until the agent has loaded, or will not.
    pub(crate) async fn loaded(&self) -> Result<(), Arc<Death>> {
        self.life.loaded().await
    }

    /// Returns how the worker died, if it has.
    pub(crate) fn dead(&self) -> Option<Arc<Death>> {
        self.life.dead()
    }

    pub(crate) fn is_loading(&self) -> bool {
        self.life.is_loading()
    }

    /// Makes the call in this worker, whose agent has loaded.
    pub(crate) async fn call(
        self: &Arc<Self>,
        invocation: &Invocation,
    ) -> Result<Outcome, NotTaken> {
        let ready = self.ready.get().ok_or(NotTaken::Gone)?;
        let (meta, body) = (Meta::of(&invocation.context), &invocation.body);
        let ticket = Ticket::of(self, invocation)?;
        let call = match ready.dispatch {
            Dispatch::Thread if !ready.asgi => {
                Call::Thread(ThreadCall::open(ticket, &meta, body).await?)
            }
            _ => {
                let kind = if ready.asgi {
                    CallKind::Request
                } else {
                    CallKind::Invocation
                };
                Call::Loop(LoopCall::open(kind, ticket, &meta, body.clone()).await?)
            }
        };
        Ok(call.outcome().await)
    }

    /// Hands a WebSocket to the agent, which has loaded. What comes of it is [`serve`]d.
    pub(crate) async fn open(
        self: &Arc<Self>,
        handshake: &Handshake,
    ) -> Result<LoopCall, NotTaken> {
        let ticket = Ticket::new(self, handshake.deadline(), Hold::default())?;
        let meta = Meta::of(handshake.context());
        LoopCall::open(CallKind::WebSocket, ticket, &meta, Bytes::new()).await
    }

    /// Says which requests the agent takes; `None` before it has loaded.
    pub(crate) fn ready(&self) -> Option<&Ready> {
        self.ready.get()
    }

    /// Lets the worker finish what it does, for a while, and gives it nothing more; then it is ended because of `cause`.
    pub(crate) fn retire(self: &Arc<Self>, cause: &'static str) {
        if matches!(self.origin, Origin::Attached) {
            return self.stay(cause);
        }
        if !self.calls.close() || self.dead().is_some() {
            return;
        }
        self.pool.retire();
        tracing::error!(target: LOGGER, "The agent's worker process is replaced: {cause}");
        let worker = Arc::clone(self);
        self.handle.spawn(async move {
            let others = async {
                if let Some(mux) = worker.mux.get()
                    && !mux.is_alive().await
                {
                    return; // The others cannot end either.
                }
                worker.calls.wait().await;
            };
            let _ = timeout(LAST_CALLS, others).await;
            worker.life.condemn(cause);
        });
    }

    /// Whether the worker takes no more calls.
    pub(crate) fn is_retired(&self) -> bool {
        self.calls.is_closed()
    }

    /// Whether nothing is left of the process.
    pub(crate) fn is_buried(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// How many calls it has.
    pub(crate) fn load(&self) -> usize {
        self.calls.len()
    }

    /// Waits for the loop connection, which a worker may open when it first needs it.
    async fn multiplex(&self) -> Result<&Arc<Multiplex>, NotTaken> {
        tokio::select! {
            biased;
            came = timeout(LOOP_CONNECTION, self.mux.wait()) => came.map_err(|_| NotTaken::Gone),
            _ = self.life.death() => Err(NotTaken::Gone),
        }
    }

    /// Returns the status that the worker told last. Never waits.
    pub(crate) fn status(&self) -> Status {
        match self.ready.get().filter(|_| self.dead().is_none()) {
            Some(_) => self.status.get(),
            None => Status::default(),
        }
    }

    /// Asks the agent's own ping handler, if it has one; the future ends when it has answered, and soon in any case.
    pub(crate) fn refresh(&self) -> Option<BoxFuture<'static, ()>> {
        let asks = self.ready.get().is_some_and(|ready| ready.ping) && self.dead().is_none();
        asks.then(|| self.status.refresh(&self.control))
    }

    /// Ends the worker: lets it finish what runs within `grace`, then TERM, then KILL. Returns when all of it is gone.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.stopping.store(true, Ordering::Relaxed);
        let Origin::Started(group) = &self.origin else {
            return self.let_go(grace).await;
        };
        if !self.is_loading() {
            let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
            self.control.push(|out| to_worker::stop(grace_ms, out));
            self.life.death_within(grace).await;
        }
        match group.get() {
            Some(group) if self.dead().is_none() => group.signal(Signal::TERM),
            Some(_) => {}
            // It is being started at this moment, and ended when it has been.
            None => self.life.condemn("it was ended before it had started"),
        }
        if self.life.death_within(LAST_WORDS).await.is_none() {
            self.life.condemn("it did not end when it was told to");
        }
        self.gone.cancelled().await;
    }

    /// Ends the worker at once. Returns when all of it is gone.
    pub(crate) async fn kill(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.life.condemn("it was ended");
        self.gone.cancelled().await;
    }

    /// A connection is gone without which the worker cannot go on: ends it, unless it is ending.
    async fn lost(&self, which: &str, broken: &Broken) {
        if !self.stopping.load(Ordering::Relaxed) {
            self.life
                .condemn_unless_dying(format!("its {which} connection was lost: {broken}"))
                .await;
        }
    }

    /// Returns a number that no call has which could be taken for it.
    fn next_call(&self) -> u32 {
        loop {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            if number != 0 && !self.mux.get().is_some_and(|mux| mux.has(number)) {
                return number;
            }
        }
    }

    /// Notes a connection; `false` if the worker is dead.
    fn enter(&self, link: &Link) -> bool {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if sockets.closed {
            return false;
        }
        sockets.streams.retain(|stream| stream.strong_count() > 0);
        sockets.streams.push(Arc::downgrade(link.stream()));
        true
    }

    /// Ends all connections for both sides.
    fn shut_all(&self) {
        let streams = {
            let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
            sockets.closed = true;
            std::mem::take(&mut sockets.streams)
        };
        for stream in streams.iter().filter_map(Weak::upgrade) {
            link::shut(&stream);
        }
        self.control.close();
    }
}
