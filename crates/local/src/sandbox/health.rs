//! A sandbox's answers to `/ping`: how they are asked for, and what they mean.
//!
//! It asks and reads. What follows from an answer is decided by the sandbox's life.

use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::{PingStatus, ReceivedPing};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, RequestBody};

/// How often a healthy sandbox is asked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// How long one answer may take before the sandbox counts as unresponsive.
const PATIENCE: Duration = Duration::from_secs(5);

/// A ping's answer is some fifty bytes; more than this is no ping.
const LARGEST_ANSWER: usize = 64 * 1024;

/// What a ping found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answered 200 with a status of the contract.
    Healthy(PingStatus),
    /// It answered anything else, or nothing; the clause says what.
    Not(String),
}

/// Asks until the sandbox is healthy.
///
/// # Errors
///
/// Returns what the last ping found if that takes longer than `limit`.
pub(crate) async fn until_healthy(
    client: &Arc<Client>,
    limit: Duration,
) -> Result<PingStatus, String> {
    let begun = Instant::now();
    let mut last = client.place().refused();
    let asking = async {
        loop {
            match ask(client).await {
                Health::Healthy(status) => return status,
                Health::Not(found) => last = found,
            }
            // At first a twentieth of the time so far is lost at most; later an agent that takes its time is left alone.
            let pause = begun.elapsed() / 20;
            sleep(pause.clamp(Duration::from_millis(1), Duration::from_millis(100))).await;
        }
    };
    timeout(limit, asking).await.map_err(|_| last)
}

/// Asks once.
pub(crate) async fn ask(client: &Arc<Client>) -> Health {
    match timeout(PATIENCE, exchange(client)).await {
        Ok(Ok(status)) => Health::Healthy(status),
        Ok(Err(found)) => Health::Not(found),
        Err(_) => Health::Not("`/ping` is not answered".into()),
    }
}

async fn exchange(client: &Arc<Client>) -> Result<PingStatus, String> {
    let request = Request::get("/ping")
        .header(http::header::HOST, "localhost")
        .body(RequestBody::empty())
        .expect("constants make a request");
    let connection = client.reserve().await;
    let connection = connection.map_err(|_| client.place().refused())?;
    let response = connection.send(request).await;
    let response = response.map_err(|_| client.place().closed())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect();
    let body = body
        .await
        .map_err(|_| "the answer of `/ping` breaks off".to_owned())?
        .to_bytes();
    if status != StatusCode::OK {
        return Err(format!("`/ping` answers {}", status.as_u16()));
    }
    // A server of its own may answer any 200; only the contract's word for work in the background changes anything.
    Ok(serde_json::from_slice::<ReceivedPing>(&body)
        .map_or(PingStatus::Healthy, |ping| ping.status))
}
