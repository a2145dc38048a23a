//! The load generator of the measurements: closed-loop HTTP over connections that stay open.
//!
//! It runs on one thread, so that on a small machine the server keeps the rest; it prints one JSON value and judges
//! nothing. An answer that is not 200 or that differs from the first one ends the run with an error.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// What is not counted at the start: caches, allocators and branch predictors settle first.
const WARM_UP: Duration = Duration::from_millis(300);

const SESSION_ID: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

type Failure = Box<dyn Error + Send + Sync>;

/// The load generator of the measurements
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    work: Work,
}

/// What to measure.
#[derive(Debug, Subcommand)]
enum Work {
    /// Send requests over some connections for some time: rate and latencies
    Requests(RequestsArgs),
    /// Open new sessions one after the other: milliseconds to the first byte of each answer
    Sessions(SessionsArgs),
}

#[derive(Debug, Args)]
struct RequestsArgs {
    #[command(flatten)]
    target: Target,
    /// How many connections are busy at once
    #[arg(long)]
    connections: usize,
    /// How long to count
    #[arg(long)]
    seconds: f64,
}

#[derive(Debug, Args)]
struct SessionsArgs {
    #[command(flatten)]
    target: Target,
    /// How many sessions to open
    #[arg(long)]
    count: usize,
    /// How long to wait before each session, in milliseconds
    #[arg(long, default_value_t = 0)]
    pause_millis: u64,
}

/// What is sent, and to whom.
#[derive(Debug, Clone, Args)]
struct Target {
    /// Where to send POST requests: plain HTTP
    #[arg(long)]
    url: Uri,
    /// The JSON text to send
    #[arg(long)]
    body: String,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Failure::from)
        .and_then(|runtime| match Cli::parse().work {
            Work::Requests(args) => runtime.block_on(requests(args)),
            Work::Sessions(args) => runtime.block_on(sessions(args)),
        });
    // A result that cannot be written is a measurement that nobody got.
    match result.and_then(|value| Ok(writeln!(std::io::stdout(), "{value}")?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn requests(args: RequestsArgs) -> Result<Value, Failure> {
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

async fn sessions(args: SessionsArgs) -> Result<Value, Failure> {
    let SessionsArgs {
        target,
        count,
        pause_millis,
    } = args;
    let mut times = Vec::new();
    for number in 0..count {
        tokio::time::sleep(Duration::from_millis(pause_millis)).await;
        // Long enough for the service, which asks for 33 characters, and never used before.
        let session = format!("bench-session-{:0>12}-{number:0>12}", std::process::id());
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

/// A connection that stays open.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self, Failure> {
        let authority = target.url.authority().ok_or("the URL names no host")?;
        let stream =
            TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // The error of a connection reaches whoever waits for an answer on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// The whole body of the answer to one request.
    async fn answer(&mut self, target: &Target, session: Option<&str>) -> Result<Bytes, Failure> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request(target, session)?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("answered {status}: {body:?}").into())
        }
    }

    /// The moment when the first byte of the answer's body was there.
    async fn first_byte(&mut self, target: &Target, session: &str) -> Result<Instant, Failure> {
        let mut response = self
            .sender
            .send_request(request(target, Some(session))?)
            .await?;
        let first = response.frame().await.ok_or("the answer is empty")??;
        let arrived = Instant::now();
        let status = response.status();
        if status.is_success() {
            Ok(arrived)
        } else {
            Err(format!("answered {status}: {first:?}").into())
        }
    }
}

fn request(target: &Target, session: Option<&str>) -> Result<Request<Full<Bytes>>, Failure> {
    let host = target.url.authority().map_or("", |it| it.as_str());
    let mut request = Request::post(target.url.path())
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(session) = session {
        request = request.header(SESSION_ID, session);
    }
    Ok(request.body(Full::new(Bytes::copy_from_slice(target.body.as_bytes())))?)
}

/// The latency that the given part of the requests did not exceed, in milliseconds. `sorted` is sorted.
fn quantile(sorted: &[Duration], part: f64) -> Result<f64, Failure> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an index into a list that fits in memory"
    )]
    let index = ((sorted.len() as f64 - 1.0).max(0.0) * part) as usize;
    let latency = sorted.get(index).ok_or("no request ended in time")?;
    Ok(latency.as_secs_f64() * 1e3)
}
