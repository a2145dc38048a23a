//! Keep-alive: when to ping a client, and when its silence means that it is gone.
//!
//! Silence is counted in bytes and not in frames, so that a client in the middle of a long message is not taken for dead.

use std::time::Duration;

use tokio::time::Instant;

/// How many bytes a connection has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) read: u64,
    pub(super) written: u64,
}

/// What a connection is doing when its time has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vitals {
    pub(super) traffic: Traffic,
    /// When the last ping was written; `None` if it waits behind a message that the client takes slowly.
    pub(super) pinged: Option<Instant>,
    /// Whether anybody reads what the client sends: without that no pong is ever seen.
    pub(super) reads: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    Wait,
    Ping,
    /// Nothing came since the last ping.
    Dead,
}

/// The clock of one connection: a ping, so much time for any sign of life, the next ping.
#[derive(Debug)]
pub(super) struct Pulse {
    period: Duration,
    /// When it has to be looked at again.
    next: Instant,
    /// What had moved when the last ping was due.
    asked_at: Option<Traffic>,
}

impl Pulse {
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period,
            next: Instant::now() + period,
            asked_at: None,
        }
    }

    /// Returns when [`Pulse::beat`] is due.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Gives the client the whole time again: nobody was reading until now.
    pub(super) fn restart(&mut self) {
        self.next = Instant::now() + self.period;
    }

    /// Decides what to do when the time has come.
    pub(super) fn beat(&mut self, vitals: Vitals) -> Beat {
        let now = Instant::now();
        let Vitals {
            traffic,
            pinged,
            reads,
        } = vitals;
        let Some(then) = self
            .asked_at
            .filter(|then| reads && then.read == traffic.read)
        else {
            self.asked_at = Some(traffic);
            self.next = now + self.period;
            return Beat::Ping;
        };
        match pinged {
            // The ping is still in line, and the line moves.
            None if then.written != traffic.written => {
                self.asked_at = Some(traffic);
                self.next = now + self.period;
                Beat::Wait
            }
            Some(at) if at + self.period > now => {
                self.next = at + self.period;
                Beat::Wait
            }
            _ => Beat::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(20);

    fn vitals(read: u64, written: u64, pinged: Option<Instant>) -> Vitals {
        Vitals {
            traffic: Traffic { read, written },
            pinged,
            reads: true,
        }
    }

    /// Waits until the pulse is due and returns what it says and how long that took.
    async fn next(pulse: &mut Pulse, vitals: Vitals) -> (Beat, Duration) {
        let waits = pulse.next().saturating_duration_since(Instant::now());
        advance(waits).await;
        (pulse.beat(vitals), waits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_gives_any_sign_of_life_is_pinged_every_period() {
        let mut pulse = Pulse::new(PERIOD);
        for read in [0, 1, 2, 3] {
            let pinged = Some(Instant::now());
            let beat = next(&mut pulse, vitals(read, 9, pinged)).await;
            assert_eq!(beat, (Beat::Ping, PERIOD));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_silent_for_a_period_after_a_ping_is_dead() {
        let mut pulse = Pulse::new(PERIOD);
        assert_eq!(next(&mut pulse, vitals(5, 0, None)).await.0, Beat::Ping);
        let pinged = Some(Instant::now());
        let beat = next(&mut pulse, vitals(5, 7, pinged)).await;
        assert_eq!(beat, (Beat::Dead, PERIOD));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_behind_a_long_message_has_its_time_from_when_it_was_written() {
        let mut pulse = Pulse::new(PERIOD);
        assert_eq!(next(&mut pulse, vitals(5, 0, None)).await.0, Beat::Ping);
        let moves = next(&mut pulse, vitals(5, 1_000_000, None)).await;
        assert_eq!(moves, (Beat::Wait, PERIOD));
        advance(Duration::from_secs(15)).await;
        let pinged = Some(Instant::now());
        let rest = next(&mut pulse, vitals(5, 2_000_000, pinged)).await;
        assert_eq!(rest, (Beat::Wait, Duration::from_secs(5)));
        let end = next(&mut pulse, vitals(5, 2_000_000, pinged)).await;
        assert_eq!(end, (Beat::Dead, Duration::from_secs(15)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_does_not_move_is_dead() {
        let mut pulse = Pulse::new(PERIOD);
        assert_eq!(next(&mut pulse, vitals(5, 3, None)).await.0, Beat::Ping);
        assert_eq!(next(&mut pulse, vitals(5, 3, None)).await.0, Beat::Dead);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_dead_to_a_server_that_does_not_read() {
        let mut pulse = Pulse::new(PERIOD);
        for _ in 0..3 {
            let pinged = Some(Instant::now());
            let stopped = Vitals {
                reads: false,
                ..vitals(5, 0, pinged)
            };
            assert_eq!(next(&mut pulse, stopped).await, (Beat::Ping, PERIOD));
        }
        advance(Duration::from_secs(19)).await;
        pulse.restart();
        let pinged = Some(Instant::now() - PERIOD);
        let beat = next(&mut pulse, vitals(5, 0, pinged)).await;
        assert_eq!(beat, (Beat::Dead, PERIOD), "but it is asked again");
    }
}
