//! The start of a worker process and its end: one task waits for it, whatever the reason is for which it goes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixListener;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::life::LAST_BREATH;
use super::process::Group;
use super::{START_LIMIT, Worker, WorkerCommand, exit, greet};
use crate::LOGGER;

/// How long what a worker has sent may lie unread after it has ended.
const UNREAD: Duration = Duration::from_millis(200);

/// Starts the process and the tasks around it.
pub(crate) fn start(command: &WorkerCommand, socket: &Path) -> io::Result<Arc<Worker>> {
    let listener = UnixListener::bind(socket)?;
    let token = Uuid::new_v4().simple().to_string();
    let (child, group) = command.spawn(socket, &token)?;
    let worker = Arc::new(Worker::new(Some(group)));
    let greeting = tokio::spawn(greet::accept(Arc::clone(&worker), listener, token));
    let supervised = Arc::clone(&worker);
    let socket = socket.to_owned();
    tokio::spawn(async move {
        let cause = wait(&supervised, child, group).await;
        if supervised.life.is_loading() {
            // It may have said why before it ended, and nobody has read that yet.
            let said = async { supervised.control_ended.cancelled().await };
            let _ = timeout(UNREAD, said).await;
        }
        supervised.life.die(cause);
        log_death(&supervised);
        bury(&supervised, &greeting, &socket).await;
        group.end().await;
        supervised.gone.cancel();
    });
    Ok(worker)
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
async fn wait(worker: &Worker, mut child: Child, group: Group) -> String {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let may_be_late = worker.life.is_loading() && !worker.life.is_condemned();
        tokio::select! {
            status = child.wait() => {
                return match status {
                    Ok(status) => exit::describe(status),
                    Err(error) => format!("its end could not be learnt: {error}"),
                };
            }
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
