//! New sessions: how long the first byte of each takes, or only that there are many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::{Failure, Target};

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(flatten)]
    target: Target,
    /// How many sessions to open
    #[arg(long)]
    count: usize,
    /// How long to wait before each session, in milliseconds
    #[arg(long, default_value_t = 0)]
    pause_millis: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FillArgs {
    #[command(flatten)]
    target: Target,
    /// How many requests to send
    #[arg(long)]
    count: usize,
    /// How many connections are busy at once
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Send them without a session
    #[arg(long)]
    no_session: bool,
}

/// Opens sessions one after the other.
pub(crate) async fn measure(args: SessionsArgs) -> Result<Value, Failure> {
    let SessionsArgs {
        target,
        count,
        pause_millis,
    } = args;
    let mut times = Vec::new();
    for number in 0..count {
        tokio::time::sleep(Duration::from_millis(pause_millis)).await;
        let session = session(number);
        let started = Instant::now();
        times.push(
            Connection::open(&target)
                .await?
                .first_byte(&target, &session)
                .await?
                .duration_since(started),
        );
    }
    Ok(times.iter().map(|time| time.as_secs_f64() * 1e3).collect())
}

/// Sends the requests over all connections together.
pub(crate) async fn fill(args: FillArgs) -> Result<Value, Failure> {
    let connections = args.connections;
    let (args, next) = (Arc::new(args), Arc::new(AtomicUsize::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (args, next) = (Arc::clone(&args), Arc::clone(&next));
        tasks.spawn(async move {
            let FillArgs {
                target,
                count,
                no_session,
                ..
            } = &*args;
            let mut connection = Connection::open(target).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= *count {
                    return Ok::<_, Failure>(());
                }
                let session = (!no_session).then(|| session(number));
                connection.answer(target, session.as_deref()).await?;
            }
        });
    }
    while let Some(finished) = tasks.join_next().await {
        finished??;
    }
    Ok(json!({ "requests": args.count }))
}

/// Sessions that requests are sent in by turns, or none.
#[derive(Debug)]
pub(crate) struct Turns {
    sessions: Vec<String>,
    next: AtomicUsize,
}

impl Turns {
    /// As many sessions as `count` says.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            sessions: (0..count).map(session).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// The session for the next request.
    pub(crate) fn next(&self) -> Option<&str> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let session = self.sessions.get(turn.checked_rem(self.sessions.len())?)?;
        Some(session)
    }
}

/// An id that is long enough for the service, which asks for 33 characters, and that was never used before.
fn session(number: usize) -> String {
    format!("bench-session-{:0>12}-{number:0>12}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_take_turns_and_there_may_be_none() {
        let turns = Turns::new(2);
        let taken: Vec<_> = (0..3).filter_map(|_| turns.next()).collect();
        assert_eq!(taken.len(), 3);
        assert_eq!(taken[0], taken[2]);
        assert_ne!(taken[0], taken[1]);
        assert!(taken.iter().all(|it| it.len() >= 33));
        assert_eq!(Turns::new(0).next(), None);
    }
}
