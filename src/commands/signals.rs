//! The signals that ask a foreground program to end, and what its exit code says about them.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Who asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The user pressed Ctrl-C.
    Interrupted,
    /// Another program, or the terminal that went away.
    Terminated,
}

/// Hears the signals from the moment it is made, so that none is lost between two steps.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Begins to listen. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses.
    pub(crate) fn listen() -> io::Result<Self> {
        // Without a terminal there is none to hang up, and `nohup` must keep its meaning.
        let hang_up = if io::stdin().is_terminal() {
            Some(signal(SignalKind::hangup())?)
        } else {
            None
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    /// Waits until somebody asks.
    pub(crate) async fn asked(&mut self) -> Asked {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupted,
            _ = self.terminate.recv() => Asked::Terminated,
            _ = hang_up => Asked::Terminated,
        }
    }
}

impl Asked {
    /// Ending on request is no failure, except that Ctrl-C has its own code everywhere.
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Self::Interrupted => ExitCode::from(130),
            Self::Terminated => ExitCode::SUCCESS,
        }
    }
}
