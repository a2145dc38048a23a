//! The front door's own report, `GET /_agentcore/status`, and the client that asks for it.
//!
//! One type for both sides. The client speaks to this machine's front door only and never waits longer than it is told.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use agentcore_protocol::SessionId;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

/// Where a front door answers its [`StatusReport`].
pub const STATUS_PATH: &str = "/_agentcore/status";

/// The header that carries a front door's instance id in its own answers.
pub const INSTANCE_HEADER: http::HeaderName = http::HeaderName::from_static("x-agentcore-instance");

/// What a front door says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The instance id that it was started with.
    pub instance: String,
    /// The agent's name.
    pub agent: String,
    /// The ARN that the agent is announced under.
    pub arn: String,
    /// The front door's process id.
    pub pid: u32,
    /// When it became ready, in seconds since the Unix epoch.
    pub started: u64,
    /// The largest number of sessions with a live sandbox.
    pub max_sandboxes: usize,
    /// The live sandboxes, oldest first.
    pub sandboxes: Vec<SandboxStatus>,
}

/// What a front door says about one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// Its id, unique within the front door.
    pub id: String,
    /// The session that it serves; none if it waits for one.
    pub session: Option<SessionId>,
    /// Where it is in its life.
    pub state: SandboxState,
    /// The id of its main process, once there is one; none for a container.
    pub pid: Option<u32>,
    /// The short id of its container, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// When it was started, in seconds since the Unix epoch.
    pub started: u64,
    /// When its last invocation began or ended, in seconds since the Unix epoch.
    pub last_used: Option<u64>,
    /// How many invocations it was given.
    pub invocations: u64,
    /// How many of them are open now, WebSockets included.
    pub open: usize,
    /// Whether it said that it works in the background.
    pub busy: bool,
    /// The agent's last lines, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

/// Where a sandbox is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SandboxState {
    /// It has not answered a healthy ping yet.
    Starting,
    /// It takes invocations.
    Ready,
    /// It was ready, and does not answer pings at the moment.
    Unresponsive,
    /// It has ended, or is being ended.
    Ended,
}

impl std::fmt::Display for SandboxState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unresponsive => "unresponsive",
            Self::Ended => "ended",
        })
    }
}

impl StatusReport {
    /// Asks the front door at `address`, and waits for at most `limit`.
    ///
    /// # Errors
    ///
    /// Fails if nothing answers there in time ([`io::ErrorKind::TimedOut`]), or if what answers is no front door
    /// ([`io::ErrorKind::InvalidData`]).
    pub async fn fetch(address: SocketAddr, limit: Duration) -> io::Result<Self> {
        tokio::time::timeout(limit, ask(address))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn ask(address: SocketAddr) -> io::Result<StatusReport> {
    const MAX_REPORT: usize = 64 * 1024 * 1024;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let request = Request::get(STATUS_PATH)
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .expect("a constant path and an address make a request");
    let exchange = async {
        let response = sender.send_request(request).await.map_err(not_ours)?;
        if response.status() != StatusCode::OK {
            return Err(not_ours(format!("it answered {}", response.status())));
        }
        let body = Limited::new(response.into_body(), MAX_REPORT).collect();
        let body = body.await.map_err(not_ours)?.to_bytes();
        serde_json::from_slice(&body).map_err(not_ours)
    };
    tokio::pin!(exchange);
    tokio::select! {
        report = &mut exchange => report,
        // The connection may end just before its last bytes are read.
        _ = connection => exchange.await,
    }
}
fn not_ours(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
