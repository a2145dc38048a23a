//! Pings all the while: each must be answered 200, within a limit that only a server that hangs exceeds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::Failure;
use crate::client::Client;
use crate::tally::Tally;

/// Between two pings.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest that a ping may take, on a machine with many other things to do.
const LONGEST: Duration = Duration::from_secs(10);

/// Pings until it is told to stop.
pub(crate) struct Pings {
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<Vec<Duration>>,
}

impl Pings {
    /// Begins.
    pub(crate) fn start(address: SocketAddr, tally: Arc<Tally>) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut latencies, mut connection) = (Vec::new(), None);
            while stopped.try_recv().is_err() {
                let started = Instant::now();
                match timeout(LONGEST, ping(address, &mut connection)).await {
                    Ok(Ok(())) => latencies.push(started.elapsed()),
                    Ok(Err(error)) => tally.fail(format!("a ping failed: {error}")),
                    Err(_) => tally.fail(format!("a ping took longer than {LONGEST:?}")),
                }
                sleep(PAUSE).await;
            }
            latencies
        });
        Self { stop, task }
    }

    /// Ends, and says how it went.
    pub(crate) async fn finish(self) -> Result<String, Failure> {
        let _ = self.stop.send(()); // It ends only after this.
        let mut latencies = self.task.await?;
        latencies.sort_unstable();
        let at = |part: usize| {
            latencies.get((latencies.len() * part / 100).min(latencies.len().saturating_sub(1)))
        };
        match (at(50), at(99), at(100)) {
            (Some(p50), Some(p99), Some(longest)) => Ok(format!(
                "{} pings, p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}",
                latencies.len()
            )),
            _ => Err("no ping was answered".into()),
        }
    }
}

async fn ping(address: SocketAddr, connection: &mut Option<Client>) -> Result<(), Failure> {
    // Taken, so that a connection on which something went wrong is not used again.
    let mut client = match connection.take() {
        Some(client) => client,
        None => Client::open(address).await?,
    };
    let request = format!("GET /ping HTTP/1.1\r\nhost: {address}\r\n\r\n");
    client.send(request.as_bytes()).await?;
    let head = client.head().await?;
    let body = client.body(&head).await?;
    if head.status != 200 {
        return Err(format!("{} {}", head.status, String::from_utf8_lossy(&body)).into());
    }
    *connection = Some(client);
    Ok(())
}
