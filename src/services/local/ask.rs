//! Asking a front door who it is and what it does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use agentcore_local::StatusReport;

use super::record::Record;

/// How long a front door may take to answer.
const LIMIT: Duration = Duration::from_secs(2);

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
