//! The start of a worker process and its end: one task waits for it, whatever the reason is for which it goes.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixListener;
use tokio::process::Child;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::life::LAST_BREATH;
use super::process::Group;
use super::{Origin, START_LIMIT, Worker, WorkerCommand, exit, greet};
use crate::LOGGER;

/// How long what a worker has sent may lie unread after it has ended.
const UNREAD: Duration = Duration::from_millis(200);

/// Runs a worker's process from its start to its end.
pub(super) async fn live(worker: Arc<Worker>, command: WorkerCommand, socket: PathBuf) {
    let program = command.program.clone();
    match launch(&worker, command, &socket).await {
        Ok(launched) => see_to_the_end(&worker, launched, &socket).await,
        Err(error) => {
            let cause = format!("`{}` could not be started: {error}", program.display());
            worker.life.die(cause);
            let _ = std::fs::remove_file(&socket);
        }
    }
    worker.gone.cancel();
}

/// A process, and who greets its connections.
struct Launched {
    child: Child,
    group: Group,
    greeting: JoinHandle<()>,
}

/// Starts the process. Elsewhere, because that can take its time, and what answers pings must not wait for it.
async fn launch(
    worker: &Arc<Worker>,
    command: WorkerCommand,
    socket: &Path,
) -> io::Result<Launched> {
    let listener = UnixListener::bind(socket)?;
    let token = Uuid::new_v4().simple().to_string();
    let (path, shown) = (socket.to_owned(), token.clone());
    let spawned = spawn_blocking(move || command.spawn(&path, &shown)).await;
    let (child, group) = spawned.map_err(io::Error::other)??;
    if let Origin::Started(known) = &worker.origin {
        // Set here only, and once.
        let _ = known.set(group);
    }
    let greeting = tokio::spawn(greet::accept(Arc::clone(worker), listener, token));
    Ok(Launched {
        child,
        group,
        greeting,
    })
}

/// Waits for the end of the process, and ends what is left of it.
async fn see_to_the_end(worker: &Worker, launched: Launched, socket: &Path) {
    let Launched {
        child,
        group,
        greeting,
    } = launched;
    let status = wait(worker, child, group).await;
    let was_told = status.as_ref().is_ok_and(|status| exit::was_told(*status));
    let cause = match status {
        Ok(status) => exit::describe(status),
        Err(error) => format!("its end could not be learnt: {error}"),
    };
    if worker.life.is_loading() {
        // It may have said why before it ended, and nobody has read that yet.
        let said = async { worker.control_ended.cancelled().await };
        let _ = timeout(UNREAD, said).await;
    }
    worker.life.die(cause);
    if !was_told {
        log_death(worker);
    }
    bury(worker, &greeting, socket).await;
    // Whoever tells all processes to end tells the server too, which may have learnt it only meanwhile.
    if was_told && !worker.server_ends.is_cancelled() {
        log_death(worker);
    }
    group.end().await;
}

/// Closes the connections of a worker that is dead.
pub(super) async fn bury(worker: &Worker, greeting: &JoinHandle<()>, socket: &Path) {
    greeting.abort();
    worker.pool.close();
    // Answers that it had sent are still read; its connections close by themselves unless a child of it lives.
    if !worker.stopping.load(Ordering::Relaxed) {
        sleep(UNREAD).await;
    }
    worker.shut_all();
    let _ = std::fs::remove_file(socket);
}

/// Waits for the end of the process, and brings it about when the worker is condemned or takes too long to load.
async fn wait(worker: &Worker, mut child: Child, group: Group) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let may_be_late = worker.life.is_loading() && !worker.life.is_condemned();
        tokio::select! {
            status = child.wait() => return status,
            () = worker.life.condemned() => group.signal(Signal::KILL),
            // It said itself that it ends, and does not.
            () = hangs(worker), if !worker.life.is_condemned() => worker.life.condemn("it did not end"),
            () = sleep_until(deadline), if may_be_late => {
                if worker.life.is_loading() {
                    worker.life.condemn(format!("it had not loaded after {} s", START_LIMIT.as_secs()));
                }
            }
        }
    }
}

/// Says that a worker has died in service; one that did not load, or was told to end, is no news here.
fn log_death(worker: &Worker) {
    let is_expected = worker.stopping.load(Ordering::Relaxed);
    if let Some(death) = worker
        .life
        .dead()
        .filter(|death| death.loaded && !is_expected)
    {
        tracing::error!(target: LOGGER, "The agent's worker process ended: {}", death.cause);
    }
}

async fn hangs(worker: &Worker) {
    worker.life.death().await;
    sleep(LAST_BREATH).await;
}
