//! Streams read one after the other over one connection, as fast as they come.

use std::time::{Duration, Instant};

use clap::Args;
use http_body_util::BodyExt;
use memchr::memchr_iter;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::{Failure, Target, quantile};

#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    #[command(flatten)]
    target: Target,
    /// How many events each stream has
    #[arg(long)]
    events: usize,
    /// How many streams to read; one more is read before them and not counted
    #[arg(long, required_unless_present = "seconds", conflicts_with = "seconds")]
    count: Option<usize>,
    /// How long to begin another stream, instead of a number of them
    #[arg(long)]
    seconds: Option<f64>,
}

/// Reads the streams, and counts the events of each.
pub(crate) async fn measure(args: StreamArgs) -> Result<Value, Failure> {
    let StreamArgs {
        target,
        events,
        count,
        seconds,
    } = args;
    let time = seconds.map(Duration::try_from_secs_f64).transpose()?;
    let mut connection = Connection::open(&target).await?;
    let (mut firsts, mut wholes) = (Vec::new(), Vec::new());
    read(&mut connection, &target, events).await?;
    let begun = Instant::now();
    while count.is_none_or(|it| wholes.len() < it) && time.is_none_or(|it| begun.elapsed() < it) {
        let (first, whole) = read(&mut connection, &target, events).await?;
        firsts.push(first);
        wholes.push(whole);
    }
    firsts.sort_unstable();
    let (all, whole) = (events * wholes.len(), wholes.iter().sum::<Duration>());
    Ok(json!({
        "streams": wholes.len(),
        "events_per_second": f64::from(u32::try_from(all)?) / whole.as_secs_f64(),
        "first_event_ms": quantile(&firsts, 0.5)?,
        "first_event_p99_ms": quantile(&firsts, 0.99)?,
    }))
}

/// Reads one stream; returns when its first event and its end were there.
async fn read(
    connection: &mut Connection,
    target: &Target,
    events: usize,
) -> Result<(Duration, Duration), Failure> {
    let started = Instant::now();
    let mut response = connection.begin(target, None).await?;
    let (mut first, mut line_ends) = (None, 0);
    while let Some(frame) = response.frame().await {
        first.get_or_insert_with(|| started.elapsed());
        let frame = frame?;
        let bytes = frame.data_ref().map_or(&[][..], |it| it);
        line_ends += memchr_iter(b'\n', bytes).count();
    }
    // Each event is one line and an empty one.
    if line_ends != 2 * events {
        return Err(format!("{line_ends} lines came instead of {}", 2 * events).into());
    }
    Ok((first.ok_or("no event came")?, started.elapsed()))
}
