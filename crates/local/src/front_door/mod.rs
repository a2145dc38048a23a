//! The front door: one listener for all sessions of one agent, from its start to its complete end.
//!
//! It is given its listener and its end. It opens no port, hears no signal that ends programs, and prints nothing.

mod browsers;
mod frames;
mod guard;
mod head;
mod proxy;
mod relay;
mod routes;
mod service;
mod socket;
mod target;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::error::StartError;
use crate::event::{self, Event};
use crate::process_tree::{adopted, end_orphans};
use crate::run_dir::RunDir;
use crate::sandbox::kind::Kind;
use crate::sessions::Sessions;
use crate::spec::FrontDoorConfig;
use guard::Guard;

/// How long callers have, once all sandboxes are gone, to be told so.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long a connection may take to send the head of a request, or rest between two: who forgets one must not keep it.
const HEADER_LIMIT: Duration = Duration::from_mins(1);

/// How long to leave a listener alone that cannot accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The AgentCore service on this machine, for one agent.
///
/// Dropped before [`serve`](Self::serve) has returned, it kills its sandboxes on the spot; for containers that blocks until
/// the engine has removed them, a few hundred milliseconds as a rule.
pub struct FrontDoor {
    listener: TcpListener,
    address: SocketAddr,
    door: Arc<Door>,
    _reaper: AbortOnDrop,
    _killer: KillOnDrop,
}

/// What requests are answered from.
pub(crate) struct Door {
    agent: String,
    arn: String,
    instance: HeaderValue,
    started: u64,
    sessions: Arc<Sessions>,
    open: Open,
}

/// What is open: connections, and WebSockets that were connections. Clones are the same.
#[derive(Clone, Debug, Default)]
struct Open {
    tasks: TaskTracker,
    /// Cancelled when what is still open is cut off.
    cut: CancellationToken,
}

impl FrontDoor {
    /// Ends what an earlier, killed front door left behind, starts one sandbox, and waits until it is healthy; the first
    /// session will get it.
    ///
    /// On Linux this makes the whole program adopt descendants that lose their parent, so that daemons of an agent can be
    /// ended with it. Of other children that this program starts, keep those in its own process group or wait for them.
    ///
    /// # Errors
    ///
    /// Fails if the folder cannot be used, if the container engine does not answer, or with the agent's own reason if the
    /// sandbox cannot start.
    pub async fn start(config: FrontDoorConfig, listener: TcpListener) -> Result<Self, StartError> {
        let config = FrontDoorConfig {
            events: event::contained(config.events),
            ..config
        };
        let address = listener.local_addr().map_err(StartError::Listen)?;
        let instance = instance_header(&config.instance)?;
        let run_dir = clean_up(&config).await?;
        adopted::adopt_descendants().map_err(StartError::Orphans)?;
        let reaper = AbortOnDrop(tokio::spawn(async {
            if let Err(error) = adopted::reap_for_ever().await {
                tracing::warn!(%error, "cannot hear of ended processes");
            }
        }));
        let kind = Kind::prepare(&config).await?;
        let count = kind.end_orphan_containers().await?;
        if count > 0 {
            (config.events)(Event::OrphanContainersEnded { count });
        }
        let sessions = Arc::new(Sessions::new(&config, kind, run_dir));
        let killer = KillOnDrop(Arc::clone(&sessions));
        if let Err(failure) = sessions.warm_up().await {
            sessions.end_all().await;
            return Err(StartError::Sandbox(Box::new(failure)));
        }
        let door = Arc::new(Door {
            agent: config.agent,
            arn: config.arn,
            instance,
            started: routes::now(),
            sessions,
            open: Open::default(),
        });
        Ok(Self {
            listener,
            address,
            door,
            _reaper: reaper,
            _killer: killer,
        })
    }

    /// Returns the address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes, then ends all sandboxes at the same time.
    ///
    /// Open calls end with their sandboxes. It returns when nothing is left of them.
    ///
    /// # Errors
    ///
    /// Never fails today; a listener that cannot accept for a while is tried again.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Self {
            listener,
            address,
            door,
            _reaper,
            _killer,
        } = self;
        let connections = Connections {
            router: routes::router(Arc::clone(&door)),
            guard: Guard::new(address.ip()),
            open: door.open.clone(),
            ending: CancellationToken::new(),
        };
        let _cut_if_dropped = connections.open.cut.clone().drop_guard();
        tokio::select! {
            biased;
            () = shutdown => {}
            () = connections.accept_all(&listener) => {}
        }
        drop(listener);
        connections.ending.cancel();
        door.sessions.end_all().await;
        let Open { tasks, cut } = &connections.open;
        tasks.close();
        let _ = tokio::time::timeout(LAST_ANSWERS, tasks.wait()).await;
        cut.cancel();
        tasks.wait().await;
        Ok(())
    }
}

fn instance_header(instance: &str) -> Result<HeaderValue, StartError> {
    let value = HeaderValue::try_from(instance).ok();
    // In the mark of a sandbox a `/` follows it.
    value
        .filter(|_| !instance.contains('/'))
        .ok_or_else(|| StartError::Instance {
            instance: instance.to_owned(),
        })
}

/// Claims the folder and removes everything that killed front doors of the same agent left.
async fn clean_up(config: &FrontDoorConfig) -> Result<RunDir, StartError> {
    let (path, mark) = (config.run_dir.clone(), config.orphan_mark.clone());
    let instance = config.instance.clone();
    let work = move || {
        // In this order: a folder that is in use means a living front door, whose sandboxes are no orphans.
        let run_dir = RunDir::claim(&path, &mark)?;
        let count = end_orphans(&mark, Some(&instance)).map_err(StartError::Orphans)?;
        run_dir.remove_leftovers(&mark);
        Ok((run_dir, count))
    };
    let done = tokio::task::spawn_blocking(work).await;
    let (run_dir, count) =
        done.unwrap_or_else(|error| Err(StartError::Orphans(io::Error::other(error))))?;
    if count > 0 {
        (config.events)(Event::OrphansEnded { count });
    }
    Ok(run_dir)
}

/// What every connection of a listener shares.
struct Connections {
    router: Router,
    guard: Guard,
    open: Open,
    /// No further request is taken.
    ending: CancellationToken,
}

impl Connections {
    /// Accepts for ever.
    async fn accept_all(&self, listener: &TcpListener) {
        let mut complained = false;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    complained = false;
                    self.serve(stream);
                }
                // A caller who left already is not waited for.
                Err(error) if is_callers_fault(&error) => {}
                // Too many open files pass.
                Err(error) => {
                    if !complained {
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    complained = true;
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream) {
        // Small items of a stream must not wait for each other.
        let _ = stream.set_nodelay(true);
        let (router, guard) = (self.router.clone(), self.guard);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut router = router.clone();
            async move {
                if let Err(foreign) = guard.check(request.uri(), request.headers()) {
                    return Ok::<_, Infallible>(foreign.into_response());
                }
                // A router is always ready.
                router.call(request.map(Body::new)).await
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_LIMIT)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let (ending, cut) = (self.ending.clone(), self.open.cut.clone());
        self.open.tasks.spawn(async move {
            tokio::pin!(connection);
            let done = tokio::select! {
                // A caller who leaves is no failure of ours.
                _ = connection.as_mut() => true,
                () = ending.cancelled() => false,
                // The front door was dropped.
                () = cut.cancelled() => true,
            };
            if !done {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    _ = connection => {}
                    () = cut.cancelled() => {}
                }
            }
        });
    }
}

fn is_callers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionReset)
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct KillOnDrop(Arc<Sessions>);

impl Drop for KillOnDrop {
    // In `drop`, so that whoever gives up on a start or on serving leaves no process behind.
    fn drop(&mut self) {
        self.0.kill_all();
    }
}
