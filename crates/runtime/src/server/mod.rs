//! The server around an agent: accepts connections, and ends in an orderly way within a bounded time.
//!
//! The listener and the end are given; this module binds nothing, reads no environment and handles no signal.

mod accept;
mod clock;
mod connection;
mod draining;
mod socket;
mod steps;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::Request;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::connection::{Connections, Front};
use self::draining::Draining;
use crate::address::Listener;
use crate::agent::Agent;
use crate::body::Kept;
use crate::log::{self, LOGGER};
use crate::middleware::{self, Edits};
use crate::routes::{Asked, Routes};
use crate::settings::ServerSettings;

pub(crate) use self::socket::Peer;
pub(crate) use self::steps::Stepper;

/// How long what was ended at the deadline may take to reach its caller.
const FLUSH: Duration = Duration::from_millis(500);

/// Serves `agent` on `listener` until `shutdown` completes, then lets open requests finish for as long as the settings say
/// ([`ServerSettings::drain`]).
///
/// From the end of `shutdown` on nothing is accepted, and idle connections close. Invocations that wait for a place still get
/// their turn. What is open at the deadline is ended: a stream by an error event, a WebSocket by a close frame, a plain
/// request by closing its connection; who still waits is answered 503. Dropping the future ends everything at once. Nothing
/// of the server is left then but the calls of plain functions, which nothing can end.
///
/// A caller who closes its connection, or only its sending side, has left: a stream is dropped in that moment, and so is
/// [`Agent::invoke`]'s future. Only a caller who sends the next request before the answer to the last is not seen to leave until it is written to.
///
/// # Errors
///
/// Fails only if the runtime around it cannot serve; a connection that fails, or a moment in which none can be
/// accepted, does not end the server.
pub async fn serve_agent<A: Agent>(
    agent: Arc<A>,
    listener: Listener,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve(agent, Edits::default(), listener, settings, shutdown).await
}

/// Returns the routes around `agent` as an axum router, to add routes and layers to, or to call in a test.
///
/// ```
/// use std::sync::Arc;
/// use agentcore_runtime::{Agent, Router, ServerSettings};
///
/// fn with_version(agent: Arc<dyn Agent>) -> Router {
///     agentcore_runtime::router(agent, ServerSettings::default())
///         .route("/version", axum::routing::get(|| async { "1.2" }))
/// }
/// ```
pub fn router(agent: Arc<dyn Agent>, settings: ServerSettings) -> Router {
    into_router(Arc::new(Routes::new(
        agent,
        settings,
        CancellationToken::new(),
    )))
}

/// The same, with an app's own routes and layers.
pub(crate) fn edited_router<A: Agent>(
    agent: Arc<A>,
    settings: ServerSettings,
    edits: Edits,
) -> Router {
    edits.apply(router(agent, settings))
}

fn into_router(routes: Arc<Routes>) -> Router {
    middleware::router_of(tower::service_fn(move |mut request: Request<Body>| {
        let routes = Arc::clone(&routes);
        let peer = request.extensions_mut().remove().unwrap_or_default();
        let asked = Asked::of(request, routes.agent.wants());
        async move {
            let response = routes.answer(asked, &peer).await;
            // A router that is dropped after one request must not take the rest of the answer with it.
            Ok::<_, Infallible>(response.map(|body| Kept::new(body, routes)))
        }
    }))
}

/// Serves as [`serve_agent`] does, with an app's own routes and layers.
pub(crate) async fn serve<A: Agent>(
    agent: Arc<A>,
    edits: Edits,
    listener: Listener,
    settings: ServerSettings,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let (draining, cut) = (Draining::default(), CancellationToken::new());
    let grace = settings.drain;
    let routes = Arc::new(Routes::new(agent.clone(), settings, cut.clone()));
    let front = Front {
        router: (!edits.is_empty()).then(|| edits.apply(into_router(Arc::clone(&routes)))),
        routes: Arc::clone(&routes),
    };
    let mut connections = Connections::new(front, draining.clone());
    // WebSockets run in tasks of their own, which learn by this that the server is gone.
    let _cut_when_dropped = cut.drop_guard();
    tokio::select! {
        () = connections.accept_all(&listener) => {}
        () = shutdown => {}
    }
    drop(listener);
    draining.begin();
    let began = Instant::now();
    let stopped = async {
        let at_most = grace.saturating_add(FLUSH);
        if timeout(at_most, agent.shutdown(grace)).await.is_err() {
            tracing::warn!(target: LOGGER, "The agent's own shutdown takes longer than {grace:?}, going on without it");
        }
    };
    tokio::join!(drain(&mut connections, &routes, grace), stopped);
    let left = grace.saturating_sub(began.elapsed()).saturating_add(FLUSH);
    if timeout(left, agent.drained()).await.is_err() {
        tracing::warn!(target: LOGGER, "The agent's last work takes longer than {left:?}, going on without it");
    }
    log::flush();
    Ok(())
}

/// Lets what is open finish within `grace`, and ends the rest.
async fn drain(connections: &mut Connections, routes: &Routes, grace: Duration) {
    if timeout(grace, connections.finish()).await.is_ok() {
        return;
    }
    tracing::warn!(
        target: LOGGER,
        "Shutdown takes longer than {grace:?}, ending what is still open (connections: {}, invocations: {}, waiting: {}, WebSockets: {})",
        connections.count(),
        routes.gate.running(),
        routes.gate.waiting(),
        routes.upgraded.len(),
    );
    routes.cut.cancel();
    if timeout(FLUSH, connections.finish()).await.is_err() {
        let left = connections.count();
        tracing::warn!(target: LOGGER, "Closing connections that were not done by then (connections: {left})");
    }
    connections.shutdown().await;
}
