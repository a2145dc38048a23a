//! Serving an agent in the process that has started this one: `app.run()` of a file that was run by hand.
//!
//! The starter holds both ends of our standard streams. It reads where its worker's connections go, and says when to end.
//! It is the only worker there is: its end is ours.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use agentcore_runtime::Address;
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::LOGGER;
use crate::agent::WorkerAgent;
use crate::capacity::Capacity;
use crate::serve::{ServeError, Serving};
use crate::worker::{Death, Entrance, GONE};

/// Tells this process to end in order.
const STOP: u8 = b's';
/// Tells this process to end at once.
const KILL: u8 = b'k';

/// How often the starter is looked for. Its pipe tells of its end at once, unless something else holds that too.
const LOOK: Duration = Duration::from_secs(1);

/// Where to listen, and the way to and from the process that has started this one.
pub struct AttachOptions {
    /// Where to serve.
    pub address: Address,
    /// For how long calls may run, and on how many threads. There is one worker, whatever this says.
    pub capacity: Capacity,
    /// Takes one line of JSON: the socket and the token for the worker's connections.
    pub tell: Box<dyn Write + Send>,
    /// Gives the letters `s` (end in order) and `k` (end at once); its end is that of the starter.
    pub orders: Box<dyn Read + Send>,
}

/// What the starter has to know. Told over its pipe, because others can read arguments and variables.
#[derive(Debug, Serialize)]
struct Told {
    socket: PathBuf,
    token: String,
    max_threads: Option<NonZeroUsize>,
}

/// What the starter has said.
#[derive(Debug, Clone, Default)]
struct Orders {
    stop: CancellationToken,
    kill: CancellationToken,
    gone: CancellationToken,
}

/// Serves the agent of the process that has started this one, until `shutdown` or `hurry` completes or the starter says so.
///
/// # Errors
///
/// Fails if the address is taken, and if the starter ends without having said anything.
pub async fn attach(
    options: AttachOptions,
    shutdown: impl Future<Output = ()> + Send,
    hurry: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let AttachOptions {
        address,
        capacity,
        mut tell,
        orders,
    } = options;
    let failed = |what| move |source| ServeError::System { what, source };
    let listener = address.bind().await.map_err(ServeError::Bind)?;
    tracing::info!(target: LOGGER, "Listening on {}", listener.address().unwrap_or(address));
    if capacity.workers.get() > 1 {
        tracing::warn!(target: LOGGER, "An agent that starts its own server is its only worker: `agentcore serve` has more");
    }
    let (agent, worker, entrance) =
        WorkerAgent::attached().map_err(failed("no private folder can be made"))?;
    let Entrance { socket, token } = entrance;
    let told = Told {
        socket,
        token,
        max_threads: capacity.threads,
    };
    say(&mut tell, &told).map_err(failed("the agent's process does not listen"))?;

    let orders = Orders::from(orders);
    let over = async {
        let death = tokio::select! {
            death = worker.ended() => death,
            () = starter_ends(&orders) => {
                worker.is_gone();
                worker.ended().await
            }
        };
        over(&death)
    };
    let shutdown = either(shutdown, orders.stop.cancelled());
    let hurry = either(hurry, orders.kill.cancelled());
    let serving = Serving {
        agent: &agent,
        listener,
        settings: capacity.server(),
    };
    serving.until(shutdown, hurry, over).await
}

fn say(tell: &mut dyn Write, told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    tell.write_all(&line)?;
    tell.flush()
}

/// What the end of the only worker means.
fn over(death: &Death) -> ServeError {
    let cause = death.cause.clone();
    if death.loaded || cause == GONE {
        ServeError::Ended { cause }
    } else {
        ServeError::Load { reason: cause }
    }
}

async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}

/// Completes when the starter has closed its pipe, or this process has got another parent.
async fn starter_ends(orders: &Orders) {
    let starter = rustix::process::getppid();
    let another = async {
        while rustix::process::getppid() == starter {
            sleep(LOOK).await;
        }
    };
    either(orders.gone.cancelled(), another).await;
}

impl From<Box<dyn Read + Send>> for Orders {
    /// Reads on a thread of its own, which nobody waits for.
    fn from(mut pipe: Box<dyn Read + Send>) -> Self {
        let orders = Self::default();
        let told = orders.clone();
        thread::spawn(move || {
            let mut order = [0];
            loop {
                match pipe.read(&mut order) {
                    Ok(1) if order[0] == STOP => told.stop.cancel(),
                    Ok(1) if order[0] == KILL => told.kill.cancel(),
                    Ok(1) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(_) | Err(_) => break told.gone.cancel(),
                }
            }
        });
        orders
    }
}
