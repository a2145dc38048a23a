//! The load generator of the measurements: closed-loop HTTP over connections that stay open.
//!
//! It runs on one thread, so that on a small machine the server keeps the rest (pings have one of their own); it prints one
//! JSON value and judges nothing. An answer that is not 200 or that differs from the first one ends the run with an error.

mod connection;
mod ping;
mod requests;
mod sessions;
mod stream;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};
use http::Uri;

/// What is not counted at the start: caches, allocators and branch predictors settle first.
const WARM_UP: Duration = Duration::from_millis(300);

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
    Requests(requests::RequestsArgs),
    /// Open new sessions one after the other: milliseconds to the first byte of each answer
    Sessions(sessions::SessionsArgs),
    /// Send a number of requests as fast as they are answered, each in a session of its own
    Fill(sessions::FillArgs),
    /// Read streams one after the other: events a second, milliseconds to the first event
    Stream(stream::StreamArgs),
    /// Ask for the status while other connections are kept busy: latencies
    Ping(ping::PingArgs),
}

/// What is sent, and to whom.
#[derive(Debug, Clone, Args)]
struct Target {
    /// Where to send POST requests: plain HTTP
    #[arg(long)]
    url: Uri,
    /// The JSON text to send, or `@` and the file that holds it
    #[arg(long, value_parser = body)]
    body: Bytes,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Failure::from)
        .and_then(|runtime| match Cli::parse().work {
            Work::Requests(args) => runtime.block_on(requests::measure(args)),
            Work::Sessions(args) => runtime.block_on(sessions::measure(args)),
            Work::Fill(args) => runtime.block_on(sessions::fill(args)),
            Work::Stream(args) => runtime.block_on(stream::measure(args)),
            Work::Ping(args) => runtime.block_on(ping::measure(args)),
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

/// A text as it was typed, or the content of the file whose name follows an `@`.
fn body(text: &str) -> Result<Bytes, std::io::Error> {
    match text.strip_prefix('@') {
        Some(file) => std::fs::read(file).map(Bytes::from),
        None => Ok(Bytes::copy_from_slice(text.as_bytes())),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_typed_or_read() {
        assert_eq!(body(r#"{"a": 1}"#).unwrap(), r#"{"a": 1}"#);
        let manifest = concat!("@", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(body(manifest).unwrap().starts_with(b"[package]"));
        assert!(body("@/no/such/file").is_err());
    }

    #[test]
    fn a_quantile_is_one_of_the_latencies() {
        let sorted = [1, 2, 3, 4].map(Duration::from_millis);
        assert!((quantile(&sorted, 0.5).unwrap() - 2.0).abs() < 1e-9);
        assert!((quantile(&sorted, 1.0).unwrap() - 4.0).abs() < 1e-9);
        assert!(quantile(&[], 0.5).is_err());
    }
}
