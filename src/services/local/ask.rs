//! Asking a front door who it is and what it does.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use agentcore_local::StatusReport;

use super::record::{Places, Record};

/// How long a front door may take to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// How long the lock of a front door that was killed may outlive its sockets.
const DEATH: Duration = Duration::from_millis(500);

/// Asks a front door for its report; `None` if what answers is not the one of `record`, or nothing does.
///
/// # Errors
///
/// Fails if nothing answers there, or not in time.
pub(crate) fn ask(record: &Record) -> io::Result<Option<StatusReport>> {
    let address: SocketAddr = format!("{}:{}", record.host, record.port)
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(StatusReport::fetch(address, LIMIT))?;
    Ok((report.instance == record.instance).then_some(report))
}

/// Whether a front door that does not answer has only just died: the system takes its files back one after the other.
///
/// # Errors
///
/// Fails if the lock cannot be read.
pub(crate) fn has_died(places: &Places) -> io::Result<bool> {
    places.wait_until_free(Instant::now() + DEATH)
}
