//! The latency of `/ping` while other connections keep the server busy.
//!
//! Pings are sent one after the other from a thread of their own, over one connection, so that this program's other work
//! delays them as little as a machine of that size allows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use http::Uri;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::connection::Connection;
use crate::{Failure, Target, WARM_UP, quantile};

/// Between two pings: with less, the pings themselves would be the load.
const PAUSE: Duration = Duration::from_millis(1);

/// A ping that takes longer ends the run.
const LONGEST: Duration = Duration::from_mins(1);

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    #[command(flatten)]
    target: Target,
    /// How many other connections send the body, again and again
    #[arg(long)]
    busy: usize,
    /// Begin when each of them reads the answer to its first request, not when it has sent it
    #[arg(long)]
    answered: bool,
    /// How long to ask
    #[arg(long)]
    seconds: f64,
}

/// Keeps the connections busy and pings meanwhile.
pub(crate) async fn measure(args: PingArgs) -> Result<Value, Failure> {
    let time = Duration::try_from_secs_f64(args.seconds)?;
    let (busy, url) = (args.busy, args.target.url.clone());
    let args = Arc::new(args);
    let (begun, mut beginnings) = mpsc::channel(1);
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..busy {
        others.spawn(keep_busy(Arc::clone(&args), begun.clone()));
    }
    for _ in 0..busy {
        tokio::select! {
            _ = beginnings.recv() => {}
            Some(ended) = others.join_next() => ended??,
        }
    }
    tokio::time::sleep(WARM_UP).await;
    let (done, pinged) = oneshot::channel();
    thread::spawn(move || done.send(pings(&url, time)));
    let mut latencies = tokio::select! {
        latencies = pinged => latencies??,
        Some(ended) = others.join_next() => {
            ended??;
            return Err("a connection was no longer kept busy".into());
        }
    };
    latencies.sort_unstable();
    Ok(json!({
        "pings": latencies.len(),
        "p50_ms": quantile(&latencies, 0.5)?,
        "p99_ms": quantile(&latencies, 0.99)?,
        "max_ms": quantile(&latencies, 1.0)?,
    }))
}

/// Sends the body and reads the answer until somebody drops the future; says once that it has begun.
async fn keep_busy(args: Arc<PingArgs>, begun: mpsc::Sender<()>) -> Result<(), Failure> {
    let mut connection = Connection::open(&args.target).await?;
    let mut begun = Some(begun);
    if !args.answered
        && let Some(begun) = begun.take()
    {
        begun.send(()).await?;
    }
    loop {
        let mut response = connection.begin(&args.target, None).await?;
        while let Some(frame) = response.frame().await {
            frame?;
            if let Some(begun) = begun.take() {
                begun.send(()).await?;
            }
        }
    }
}

/// Pings for `time`, and returns how long each took.
fn pings(url: &Uri, time: Duration) -> Result<Vec<Duration>, Failure> {
    let authority = url.authority().ok_or("the URL names no host")?;
    let mut stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80)))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LONGEST))?;
    let mut latencies = Vec::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        let started = Instant::now();
        stream.write_all(format!("GET /ping HTTP/1.1\r\nhost: {authority}\r\n\r\n").as_bytes())?;
        read_answer(&mut stream)?;
        latencies.push(started.elapsed());
        thread::sleep(PAUSE);
    }
    Ok(latencies)
}

/// Reads one answer, which must be a 200 and ends with the end of a JSON object.
fn read_answer(stream: &mut TcpStream) -> Result<(), Failure> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"}") {
        match stream.read(&mut buffer)? {
            0 => return Err("the connection of the pings was closed".into()),
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(format!("a ping was answered {:?}", String::from_utf8_lossy(&answer)).into())
    }
}
