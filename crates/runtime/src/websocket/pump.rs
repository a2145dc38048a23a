//! The task between a connection and its handler: carries messages, keeps the connection alive, and ends it in order.
//!
//! It never waits for one direction with the other standing still. It stops reading while the handler has too much to read,
//! and then takes no silence for the client's death, because nobody would see its pongs.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::message::{CloseReason, Message};
use super::pulse::{Beat, Pulse};
use super::socket::FarEnd;
use super::wire::{Event, Wire};
use crate::agent::BoxFuture;
use crate::failure::Failure;

/// The times of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Between two pings, and for any sign of life after one. The reference's 20 seconds.
    pub(super) ping: Duration,
    /// How long the client has for its part of the end.
    pub(super) close: Duration,
    /// The same when the server ends, which waits half a second in all.
    pub(super) cut: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(20),
            close: Duration::from_secs(5),
            cut: Duration::from_millis(300),
        }
    }
}

/// The agent's work on a connection, and what may cut it short.
pub(super) struct Job {
    /// Gone once it has ended.
    work: Option<BoxFuture<'static, Result<(), Failure>>>,
    cut: Pin<Box<dyn Future<Output = Cut> + Send>>,
}

/// Why work was cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The server ends.
    Shutdown,
    /// The connection was open for as long as it may be.
    Limit,
}

/// How the agent's work on a connection ended.
#[derive(Debug)]
pub(super) enum Ending {
    Returned(Result<(), Failure>),
    Cut(Cut),
}

impl Job {
    pub(super) fn new(
        work: BoxFuture<'static, Result<(), Failure>>,
        cut: impl Future<Output = Cut> + Send + 'static,
    ) -> Self {
        Self {
            work: Some(work),
            cut: Box::pin(cut),
        }
    }

    /// Waits until the work ends, and after that until it would have been cut. Cutting it drops it. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Ending {
        let Self { work, cut } = self;
        let returned = async {
            match work {
                Some(work) => work.await,
                None => std::future::pending().await,
            }
        };
        let ending = tokio::select! {
            biased;
            cut = cut => Ending::Cut(cut),
            result = returned => Ending::Returned(result),
        };
        self.work = None;
        ending
    }
}

/// A connection on its way between a client and a handler.
pub(super) struct Pump<S> {
    wire: Wire<S>,
    far: FarEnd,
    times: Times,
    shutdown: CancellationToken,
}

/// Why a connection is open no longer.
enum End {
    /// The server closes it.
    Close(CloseReason),
    /// The client closed it.
    Closed(CloseReason),
    /// The client cannot be understood, and is told this.
    Failed(CloseReason),
    /// It is gone.
    Lost,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pump<S> {
    /// Creates the pump; `shutdown` leaves the client less time for its part of the end.
    pub(super) async fn new(io: S, far: FarEnd, times: Times, shutdown: CancellationToken) -> Self {
        Self {
            wire: Wire::new(io).await,
            far,
            times,
            shutdown,
        }
    }

    /// Carries messages until the connection ends; returns how the job ended if it did before that.
    pub(super) async fn run(mut self, job: &mut Job) -> (CloseReason, Option<Ending>) {
        let mut ending = None;
        let end = self.carry(job, &mut ending).await;
        (self.leave(end).await, ending)
    }

    async fn carry(&mut self, job: &mut Job, ending: &mut Option<Ending>) -> End {
        let Self {
            wire, far, times, ..
        } = self;
        let FarEnd { inbox, outgoing } = far;
        let mut pulse = Pulse::new(times.ping);
        let mut alarm = pin!(sleep_until(pulse.next()));
        let mut held: Option<Message> = None;
        loop {
            let reads = held.is_none();
            tokio::select! {
                ended = job.ended() => match ended {
                    Ending::Returned(_) => {
                        // What the handler has sent is still written, and then comes the end.
                        outgoing.close();
                        held = None;
                        let was_drained = wire.is_drained();
                        let reason = reason_of(&ended);
                        *ending = Some(ended);
                        if was_drained {
                            return End::Close(reason);
                        }
                    }
                    Ending::Cut(_) => {
                        let reason = reason_of(&ended);
                        // Work that has ended was not cut.
                        ending.get_or_insert(ended);
                        return End::Close(reason);
                    }
                },
                event = poll_fn(|task| wire.poll_event(task, outgoing, reads)) => match event {
                    // Nobody is left to read it.
                    Event::Message(_) if ending.is_some() => {}
                    Event::Message(message) => held = inbox.offer(message),
                    Event::Closed(reason) => return End::Closed(reason),
                    Event::Failed(reason) => return End::Failed(reason),
                    Event::Lost => return End::Lost,
                    Event::CloseAsked(reason) => return End::Close(reason),
                    Event::Drained => if let Some(ending) = ending {
                        return End::Close(reason_of(ending));
                    },
                },
                () = inbox.wait(&mut held), if !reads => {
                    pulse.restart();
                    alarm.as_mut().reset(pulse.next());
                }
                () = alarm.as_mut() => {
                    match pulse.beat(wire.vitals(reads)) {
                        Beat::Wait => {}
                        Beat::Ping => wire.ping(),
                        Beat::Dead => return End::Lost,
                    }
                    alarm.as_mut().reset(pulse.next());
                }
            }
        }
    }

    /// Tells the handler, then the client, and lets the connection go.
    async fn leave(self, end: End) -> CloseReason {
        let Self {
            mut wire,
            far: FarEnd {
                mut inbox,
                outgoing,
            },
            times,
            shutdown,
        } = self;
        let reason = match &end {
            End::Close(reason) | End::Closed(reason) | End::Failed(reason) => reason.clone(),
            End::Lost => CloseReason::lost(),
        };
        inbox.end(reason.clone());
        drop(outgoing);
        let goodbye = async {
            match end {
                End::Close(reason) => wire.close(reason).await,
                End::Closed(_) => wire.flush().await,
                End::Failed(reason) => wire.fail(reason).await,
                End::Lost => {}
            }
        };
        let cut = async {
            shutdown.cancelled().await;
            sleep(times.cut).await;
        };
        tokio::select! {
            () = goodbye => {}
            () = sleep(times.close) => {}
            () = cut => {}
        }
        reason
    }
}

/// What the client is told about the end of the agent's work.
fn reason_of(ending: &Ending) -> CloseReason {
    match ending {
        Ending::Returned(Ok(())) => CloseReason::new(1000, ""),
        Ending::Returned(Err(_)) => CloseReason::new(1011, ""),
        Ending::Cut(Cut::Shutdown) => CloseReason::new(1001, "the server is shutting down"),
        // Not 1001, which clients take for a normal end: what was under way is lost.
        Ending::Cut(Cut::Limit) => CloseReason::new(1008, "the WebSocket was open too long"),
    }
}
