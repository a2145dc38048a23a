//! Requests a second over connections that are all busy, and the latencies of the requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::sessions::Turns;
use crate::{Failure, Target, WARM_UP, quantile};

/// How much of an answer is told.
const TOLD: usize = 1024;

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
    /// Send the requests in so many sessions, by turns
    #[arg(long, default_value_t = 0)]
    sessions: usize,
    /// Fail unless the answer is the body, as JSON
    #[arg(long)]
    echoed: bool,
}

/// What all connections have in common.
struct Load {
    target: Target,
    turns: Turns,
    expected: Bytes,
    begin: Instant,
    end: Instant,
}

/// Sends requests for the given time.
pub(crate) async fn measure(args: RequestsArgs) -> Result<Value, Failure> {
    let RequestsArgs {
        target,
        connections,
        seconds,
        sessions,
        echoed,
    } = args;
    let turns = Turns::new(sessions);
    let expected = Connection::open(&target)
        .await?
        .answer(&target, turns.next())
        .await?;
    if echoed && parsed(&expected)? != parsed(&target.body)? {
        return Err(format!("answered {} instead of the body", told(&expected)).into());
    }
    let begin = Instant::now() + WARM_UP;
    let load = Arc::new(Load {
        target,
        turns,
        expected,
        begin,
        end: begin + Duration::try_from_secs_f64(seconds)?,
    });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(keep_busy(Arc::clone(&load)));
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
        "answer": told(&load.expected),
    }))
}

/// Sends requests over one connection until the end; returns the latencies of those that ended after the beginning.
async fn keep_busy(load: Arc<Load>) -> Result<Vec<Duration>, Failure> {
    let Load {
        target,
        turns,
        expected,
        begin,
        end,
    } = &*load;
    let mut connection = Connection::open(target).await?;
    let mut latencies = Vec::new();
    loop {
        let started = Instant::now();
        if started >= *end {
            return Ok(latencies);
        }
        let answer = connection.answer(target, turns.next()).await?;
        let done = Instant::now();
        if answer != *expected {
            return Err(format!("answered {} instead of {}", told(&answer), told(expected)).into());
        }
        if done >= *begin && done < *end {
            latencies.push(done - started);
        }
    }
}

fn parsed(json: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(json)
        .map_err(|error| format!("{} is not JSON: {error}", told(json)).into())
}

/// The beginning of an answer, which is all of most.
fn told(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(TOLD)]).into_owned()
}
