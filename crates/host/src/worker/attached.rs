//! A worker that is not this process's child: it has started this process. Its end is learnt from its control connection,
//! and ending it is its own affair.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Death, LAST_WORDS, Origin, Worker, greet, supervise};
use crate::LOGGER;
use crate::wire::to_worker;

/// Nobody but its own parent learns how a process ended.
pub(crate) const GONE: &str = "it closed its connection";

/// How a worker gets here that was not started with it.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Where it connects.
    pub(crate) socket: PathBuf,
    /// What it has to show there.
    pub(crate) token: String,
}

impl Worker {
    /// Waits at `socket` for a process that runs already.
    pub(crate) fn attached(
        socket: PathBuf,
        server_ends: CancellationToken,
    ) -> io::Result<(Arc<Self>, Entrance)> {
        let listener = UnixListener::bind(&socket)?;
        let token = Uuid::new_v4().simple().to_string();
        let worker = Arc::new(Self::new(Origin::Attached, server_ends));
        let greeting = tokio::spawn(greet::accept(Arc::clone(&worker), listener, token.clone()));
        let supervised = Arc::clone(&worker);
        let path = socket.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = supervised.control_ended.cancelled() => {}
                () = supervised.life.condemned() => {}
            }
            supervised.life.die(GONE.to_owned());
            supervise::bury(&supervised, &greeting, &path).await;
            supervised.gone.cancel();
        });
        Ok((worker, Entrance { socket, token }))
    }

    /// Says that the worker is gone, though something holds its connection.
    pub(crate) fn is_gone(&self) {
        self.life.condemn(GONE);
    }

    /// Waits for the end of the worker.
    pub(crate) async fn ended(&self) -> Arc<Death> {
        self.life.death().await
    }

    /// A call does not end, and nobody can take the place of this worker: it goes on with what is left of it.
    ///
    /// Somebody may be looking at that very call with a debugger.
    pub(super) fn stay(&self, cause: &str) {
        if self.dead().is_none() {
            tracing::warn!(target: LOGGER, "The agent's process goes on, though {cause}");
        }
    }

    /// Lets a worker that is not ours to end finish what runs within `grace`, and leaves it alone after that.
    pub(super) async fn let_go(&self, grace: Duration) {
        if self.dead().is_none() {
            let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
            self.control.push(|out| to_worker::stop(grace_ms, out));
            if self.life.death_within(grace + LAST_WORDS).await.is_none() {
                self.life.condemn("it did not end when it was told to");
            }
        }
        self.gone.cancelled().await;
    }
}
