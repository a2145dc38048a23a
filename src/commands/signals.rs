//! The signals that ask a foreground program to end, and what its exit code says about them.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use tokio::runtime::Runtime;
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

/// Where a command waits for what takes long, from its first look at an engine to the end of a front door.
///
/// As long as nobody listens, a signal ends the program as it does any other; from then on every one is heard, also those
/// that come between two steps.
#[derive(Debug)]
pub(crate) struct Stage {
    runtime: Runtime,
    signals: Option<Signals>,
}

impl Stage {
    /// A stage on which nobody listens yet.
    ///
    /// # Errors
    ///
    /// Fails if the system gives no threads.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            signals: None,
        })
    }

    /// Waits for `work`.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Waits for `work` and listens; if somebody asks for the end first, `work` is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the system lets nobody listen.
    pub(crate) fn wait_unless_asked<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> io::Result<Result<T, Asked>> {
        let Self { runtime, signals } = self;
        runtime.block_on(async {
            let signals = match signals {
                Some(signals) => signals,
                None => signals.insert(Signals::listen()?),
            };
            Ok(tokio::select! {
                biased;
                asked = signals.asked() => Err(asked),
                done = work => Ok(done),
            })
        })
    }

    /// Begins to listen, if nobody did.
    ///
    /// # Errors
    ///
    /// Fails if the system lets nobody listen.
    pub(crate) fn listen(&mut self) -> io::Result<()> {
        if self.signals.is_none() {
            self.signals = Some(self.runtime.block_on(async { Signals::listen() })?);
        }
        Ok(())
    }

    /// Ends without waiting for work that nobody waits for any more.
    pub(crate) fn leave(self) {
        self.runtime.shutdown_background();
    }

    /// The runtime, and the ears that have listened so far.
    ///
    /// # Errors
    ///
    /// Fails if the system lets nobody listen.
    pub(crate) fn into_parts(self) -> io::Result<(Runtime, Signals)> {
        let Self { runtime, signals } = self;
        let signals = match signals {
            Some(signals) => signals,
            None => runtime.block_on(async { Signals::listen() })?,
        };
        Ok((runtime, signals))
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
