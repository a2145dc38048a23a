//! The official SDK as engine: the agent's file with its own server, as a child process that is supervised.
//!
//! The child binds the address and answers everything; what is lost without our server in front is said in the
//! documentation. Whether it is ready is asked by whoever needs to know, over `/ping`.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use agentcore_runtime::Address;
use rustix::process::Signal;
use tokio::net::{TcpStream, UnixStream};
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use crate::serve::{ServeError, ServeOptions};
use crate::stderr_tail::StderrTail;
use crate::worker::exit;
use crate::worker::process::{Group, spawn_in_group};

/// How long the SDK's server may take to finish what runs.
const GRACE: Duration = Duration::from_secs(10);

/// Serves until `shutdown` completes or the child ends; `hurry` ends the child without waiting for it.
pub(crate) async fn serve(
    options: &ServeOptions,
    shutdown: impl Future<Output = ()> + Send,
    hurry: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    check_free(&options.address)
        .await
        .map_err(ServeError::Bind)?;
    let failed = |what| move |source| ServeError::System { what, source };
    let mut command = options.command("agentcore_sdk.py", None).to_command();
    command
        .env("AGENTCORE_LISTEN", options.address.to_string())
        .stderr(Stdio::piped());
    let (mut child, group) =
        spawn_in_group(&mut command).map_err(failed("the interpreter could not be started"))?;
    let stderr = child
        .stderr
        .take()
        .and_then(|pipe| pipe.into_owned_fd().ok())
        .map(StderrTail::follow);

    let mut has_listened = false;
    tokio::pin!(shutdown, hurry);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(failed("the agent's process was lost"))?,
            () = &mut shutdown => {
                stop(&mut child, group, hurry).await;
                remove_socket(&options.address);
                return Ok(());
            }
            () = &mut hurry => {
                kill(&mut child, group).await;
                remove_socket(&options.address);
                return Ok(());
            }
            () = listens(&options.address), if !has_listened => has_listened = true,
        }
    };
    group.end().await;
    remove_socket(&options.address);
    let cause = exit::describe(status);
    if has_listened {
        return Err(ServeError::Ended { cause });
    }
    let reason = match stderr {
        Some(tail) => tail.reason(cause).await,
        None => cause,
    };
    Err(ServeError::Load { reason })
}

/// Ends the child as a terminal would: TERM to all of it, and KILL when it takes too long.
async fn stop(child: &mut Child, group: Group, hurry: impl Future<Output = ()>) {
    group.signal(Signal::TERM);
    let has_ended = tokio::select! {
        waited = timeout(GRACE, child.wait()) => waited.is_ok(),
        () = hurry => false,
    };
    if has_ended {
        group.end().await;
    } else {
        kill(child, group).await;
    }
}

async fn kill(child: &mut Child, group: Group) {
    group.signal(Signal::KILL);
    // It fails only for a child that was waited for before.
    let _ = child.wait().await;
    group.end().await;
}

/// Fails if the address is taken, which the SDK's server would say less clearly and later.
async fn check_free(address: &Address) -> io::Result<()> {
    drop(address.bind().await?);
    remove_socket(address);
    Ok(())
}

fn remove_socket(address: &Address) {
    if let Address::Unix(path) = address {
        // Gone already, if its server has ended in order.
        let _ = std::fs::remove_file(path);
    }
}

/// Waits until something accepts connections at the address.
async fn listens(address: &Address) {
    loop {
        let answers = match address {
            Address::Tcp(address) => TcpStream::connect(address).await.is_ok(),
            Address::Unix(path) => UnixStream::connect(path).await.is_ok(),
        };
        if answers {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
