//! Connections of a worker: who may connect, and what each is for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::Worker;
use super::link::{self, Broken, Link};
use super::mux::Multiplex;
use super::outbox::Outbox;
use crate::LOGGER;
use crate::wire::from_worker::{Dispatch, Hello, LoadFailed, Ready, Role, Said, VERSION};

/// How long a connection may take to say what it is.
const GREETING: Duration = Duration::from_secs(10);

/// Accepts connections for as long as the worker lives.
pub(crate) async fn accept(worker: Arc<Worker>, listener: UnixListener, token: String) {
    let token: Arc<str> = token.into();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(greet(Arc::clone(&worker), stream, Arc::clone(&token)));
            }
            Err(error) => {
                tracing::warn!(target: LOGGER, "A worker's connection was not accepted: {error}");
                // Out of file descriptors, most likely: some will be closed.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn greet(worker: Arc<Worker>, stream: UnixStream, token: Arc<str>) {
    let mut link = Link::new(stream);
    let Ok(Ok((_, Said::Hello(hello)))) = timeout(GREETING, link.receive()).await else {
        tracing::warn!(target: LOGGER, "A connection to the worker's socket did not say what it is");
        return;
    };
    let Hello {
        version,
        token: shown,
        role,
        after,
    } = hello;
    if !same(&shown, &token) {
        tracing::warn!(target: LOGGER, "A connection to the worker's socket showed the wrong token");
        return;
    }
    if version != VERSION {
        worker.life.condemn(format!(
            "the worker speaks version {version} of the protocol, not {VERSION}"
        ));
        return;
    }
    if !worker.enter(&link) {
        return;
    }
    match role {
        Role::Thread => {
            if let Some(call) = after {
                worker.pool.came_back(call);
            }
            worker.pool.add(link);
        }
        Role::Loop => share(worker, link).await,
        Role::Control => control(worker, link).await,
    }
}

/// Compares in constant time: how much of a guess was right must not show.
fn same(shown: &str, token: &str) -> bool {
    let (shown, token) = (shown.as_bytes(), token.as_bytes());
    shown.len() == token.len() && shown.iter().zip(token).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// Serves the loop connection until it ends.
async fn share(worker: Arc<Worker>, link: Link) {
    let mux = Arc::new(Multiplex::default());
    if worker.mux.set(Arc::clone(&mux)).is_err() {
        return; // One loop connection is all there is; a second one is closed.
    }
    let stream = Arc::clone(link.stream());
    let broken = while_written(&mux.outbox, &stream, mux.read(link)).await;
    link::shut(&stream);
    worker.lost("loop", &broken).await;
}

/// Serves the control connection until it ends, and with it the worker.
async fn control(worker: Arc<Worker>, mut link: Link) {
    if worker.has_control.swap(true, Ordering::Relaxed) {
        return; // As for a second loop connection.
    }
    let stream = Arc::clone(link.stream());
    let reading = async {
        let broken = loop {
            match link.receive().await {
                Ok((_, Said::Ready(ready))) => tell_ready(&worker, ready),
                Ok((_, Said::LoadFailed(failed))) => worker.life.die(reason(failed)),
                Ok((_, Said::Status(status))) => worker.status.tell(status),
                Ok(_) => break Broken::Misplaced,
                Err(broken) => break broken,
            }
        };
        worker.control_ended.cancel();
        worker.control.close();
        broken
    };
    let broken = while_written(&worker.control, &stream, reading).await;
    link::shut(&stream);
    worker.lost("control", &broken).await;
}

/// Reads to the end, and writes meanwhile. A worker that no longer reads must not keep the end from being seen.
async fn while_written(
    outbox: &Outbox,
    stream: &UnixStream,
    reading: impl Future<Output = Broken>,
) -> Broken {
    let writing = async {
        // That the connection has broken is seen by reading it.
        let _ = outbox.run(stream).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        broken = reading => broken,
        () = writing => Broken::Closed,
    }
}

fn tell_ready(worker: &Arc<Worker>, ready: Ready) {
    worker.pool.set_max(ready.max_threads);
    let needs_loop = ready.dispatch == Dispatch::Loop || ready.websocket || ready.asgi;
    if worker.ready.set(ready).is_err() {
        return;
    }
    if needs_loop {
        let worker = Arc::clone(worker);
        tokio::spawn(async move { wait_for_the_loop(&worker).await });
    } else {
        worker.life.ready();
    }
}

/// The loop connection was opened first, but connections are greeted side by side.
async fn wait_for_the_loop(worker: &Worker) {
    match worker.multiplex().await {
        Ok(_) => worker.life.ready(),
        Err(_) => worker.life.condemn("the worker opened no loop connection"),
    }
}

/// The last line of a traceback.
fn reason(failed: LoadFailed) -> String {
    let LoadFailed { error, error_type } = failed;
    match error_type {
        Some(error_type) if error.is_empty() => error_type,
        Some(error_type) => format!("{error_type}: {error}"),
        None => error,
    }
}
