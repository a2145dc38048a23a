//! A Rust agent as a child process: it serves itself, and is asked to end when we are.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use agentcore_runtime::Address;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::commands::signals::{Asked, Signals};
use crate::config::env;
use crate::error::{CliError, Kind};

/// How long the agent may take to finish what it does: longer than the runtime's own limit for open invocations.
const GRACE: Duration = Duration::from_secs(15);

/// Runs `executable` until a signal asks for the end.
///
/// # Errors
///
/// Fails if the address is taken, or if the agent ends on its own.
pub(super) async fn serve(
    executable: &Path,
    address: &Address,
    mut signals: Signals,
) -> Result<Asked, CliError> {
    // The agent would fail too, in words of its own.
    address.bind().await.map(drop).map_err(|error| {
        CliError::other(format!("cannot listen at {address}"))
            .caused_by(error)
            .hint("choose another address with `--port` or `--host`")
    })?;
    let mut child = Command::new(executable)
        .env(env::LISTEN, address.to_string())
        .stdin(Stdio::null())
        // Ctrl-C reaches it once, from us, and not a second time from the terminal.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            CliError::other(format!("cannot run `{}`", executable.display())).caused_by(error)
        })?;
    tokio::select! {
        status = child.wait() => Err(ended(status?)),
        asked = signals.asked() => {
            stop(&mut child, asked).await?;
            Ok(asked)
        }
    }
}

async fn stop(child: &mut Child, asked: Asked) -> Result<(), CliError> {
    let signal = match asked {
        Asked::Interrupted => Signal::INT,
        Asked::Terminated => Signal::TERM,
    };
    let Some(pid) = child
        .id()
        .and_then(|it| i32::try_from(it).ok())
        .and_then(Pid::from_raw)
    else {
        return Ok(());
    };
    // It may have ended in this moment, which is what was wanted.
    let _ = kill_process(pid, signal);
    let ended = timeout(GRACE, child.wait()).await;
    // What it started and left behind is in its group.
    let _ = kill_process_group(pid, Signal::KILL);
    if ended.is_err() {
        child.wait().await?;
    }
    Ok(())
}

fn ended(status: ExitStatus) -> CliError {
    CliError::new(
        Kind::Agent,
        format!("the agent ended on its own ({status})"),
    )
    .hint("an agent serves until it is asked to end: see that its `main` awaits `App::run`")
}
