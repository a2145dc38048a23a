//! The stdout of a program that goes on in the background: let go, so that whoever reads it sees its end.

use std::io;

/// Makes stdout the same as stderr, which is a log by then. The pipe that stdout was is closed.
///
/// # Errors
///
/// Fails if the system refuses; then the reader waits for the end of this program.
pub(crate) fn let_go() -> io::Result<()> {
    Ok(rustix::stdio::dup2_stdout(rustix::stdio::stderr())?)
}
