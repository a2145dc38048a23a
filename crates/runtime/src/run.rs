//! `App::run`: the program around an agent, with the address from the environment, signals and a log.
//!
//! This is the only file of the crate that reads the environment or handles a signal.

use std::env::{self, VarError};
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::address::Address;
use crate::app::App;
use crate::log::{self, LOGGER, LogSettings};

impl App {
    /// Serves until the process is told to end, by SIGTERM or Ctrl-C; a second signal ends it at once.
    ///
    /// Listens on `AGENTCORE_LISTEN` (`host:port` or `unix:/path`) if it is set; otherwise on port 8080, on every interface
    /// if `DOCKER_CONTAINER` is set, and on loopback if not.
    ///
    /// Writes the log to stderr, unless a `tracing` subscriber is set already: one JSON object a line, or lines for people if
    /// stderr is a terminal. `RUST_LOG` chooses levels (`debug`, `my_agent=debug,info`) and `AGENTCORE_LOG` the form (`json` or
    /// `text`). Panics become lines of this log too, instead of what the process did with them before; where the
    /// subscriber is the program's own, so is that.
    ///
    /// # Errors
    ///
    /// Fails if the address is malformed, taken or not allowed, or if it is interrupted by a second signal.
    pub async fn run(self) -> Result<(), RunError> {
        self.run_to_the_end().await.map_err(RunError)
    }

    async fn run_to_the_end(self) -> io::Result<()> {
        let marks = Marks::from_environment()?;
        if log::install(&marks.log) {
            log::log_panics();
        }
        // In whatever way this ends, a panic of the server's own included.
        let _written = log::FlushedWhenDropped;
        let address =
            Address::from_marks(marks.listen.as_deref(), marks.docker_container.as_deref())
                .map_err(|error| {
                    io::Error::new(
                        ErrorKind::InvalidInput,
                        format!("AGENTCORE_LISTEN: {error}"),
                    )
                })?;
        let mut signals = Signals::new()?;
        let listener = address.bind().await?;
        let address = listener.address().unwrap_or(address);
        tracing::info!(target: LOGGER, "Listening on {address}");

        let (stop, stopped) = oneshot::channel();
        let mut serving = pin!(self.serve(listener, async {
            let _ = stopped.await;
        }));
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = signals.next() => {
                // While it still listens here: as soon as it does not, the next server may put its own socket there.
                if let Address::Unix(path) = &address {
                    let _ = fs::remove_file(path); // Only tidiness: a stale socket is replaced.
                }
                let _ = stop.send(());
                tokio::select! {
                    served = serving => served,
                    () = signals.next() => Err(interrupted()),
                }
            }
        };
        served
    }
}

/// Why an agent could not serve, or not to its end.
///
/// `Debug` is the same sentence as `Display`, because that is what `main` prints when it returns an error.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct RunError(#[source] io::Error);

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<RunError> for io::Error {
    fn from(error: RunError) -> Self {
        error.0
    }
}

/// The variables that say how to serve.
struct Marks {
    listen: Option<String>,
    docker_container: Option<String>,
    log: LogSettings,
}

impl Marks {
    fn from_environment() -> io::Result<Self> {
        Ok(Self {
            listen: variable("AGENTCORE_LISTEN")?,
            docker_container: variable("DOCKER_CONTAINER")?,
            log: LogSettings::from_variables(|name| {
                // Of the log's own variables one that is no text is as malformed as any other, and no reason not to serve.
                Ok::<_, io::Error>(variable(name).unwrap_or_else(|_| Some("\u{fffd}".to_owned())))
            })?,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this crate that reads the environment"
)]
fn variable(name: &str) -> io::Result<Option<String>> {
    match env::var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        // Set but malformed is an error: the default would be a place that nobody named.
        Err(VarError::NotUnicode(_)) => {
            let text = format!("{name} is not UTF-8 text");
            Err(io::Error::new(ErrorKind::InvalidInput, text))
        }
    }
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn interrupted() -> io::Error {
    io::Error::new(
        ErrorKind::Interrupted,
        "a second signal came before the open requests had finished",
    )
}
