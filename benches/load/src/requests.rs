//! Requests a second over connections that are all busy, and the latencies of the requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::{Failure, Target, WARM_UP, quantile};

#[derive(Debug, Args)]
pub(crate) struct RequestsArgs {
    #[command(flatten)]
    target: Target,
    /// How many connections are busy at once
    #[arg(long)]
    connections: usize,
    /// How long to count
    #[arg(long)]
    seconds: f64,
}

/// Sends requests for the given time.
pub(crate) async fn measure(args: RequestsArgs) -> Result<Value, Failure> {
    let RequestsArgs {
        target,
        connections,
        seconds,
    } = args;
    let target = Arc::new(target);
    let expected = Connection::open(&target)
        .await?
        .answer(&target, None)
        .await?;
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::try_from_secs_f64(seconds)?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(keep_busy(Arc::clone(&target), expected.clone(), begin, end));
    }
    let mut latencies = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        latencies.append(&mut finished??);
    }
    latencies.sort_unstable();
    Ok(json!({
        "requests": latencies.len(),
        "requests_per_second": f64::from(u32::try_from(latencies.len())?) / seconds,
        "p50_ms": quantile(&latencies, 0.5)?,
        "p99_ms": quantile(&latencies, 0.99)?,
        "answer": String::from_utf8_lossy(&expected),
    }))
}

/// Sends requests over one connection until `end`; returns the latencies of those that ended after `begin`.
async fn keep_busy(
    target: Arc<Target>,
    expected: Bytes,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut connection = Connection::open(&target).await?;
    let mut latencies = Vec::new();
    loop {
        let started = Instant::now();
        if started >= end {
            return Ok(latencies);
        }
        let answer = connection.answer(&target, None).await?;
        let done = Instant::now();
        if answer != expected {
            return Err(format!("answered {answer:?} instead of {expected:?}").into());
        }
        if done >= begin && done < end {
            latencies.push(done - started);
        }
    }
}
