//! When a sandbox has lived long enough: the idle clock and the lifetime clock of one session.
//!
//! Pure logic on instants that are passed in. An open invocation or work in the background stops the idle clock, what
//! passes through a WebSocket starts it anew; nothing stops the lifetime clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::EndCause;
use crate::spec::Limits;

/// The clocks of one sandbox, and what it was used for.
#[derive(Debug)]
pub(crate) struct Clock {
    idle_timeout: Duration,
    max_lifetime: Duration,
    /// When its session began; before that, only [`wait_until`](Self::wait_until) ends it.
    begun: Option<Instant>,
    /// So long it waits for a session.
    waits_until: Option<Instant>,
    /// The last moment at which it had something to do.
    last_active: Option<Instant>,
    last_used: Option<Instant>,
    open: usize,
    /// Open WebSockets. They are no activity by themselves: what passes through them is.
    sockets: usize,
    invocations: u64,
    busy: bool,
    ended: bool,
}

/// What the clocks say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It lives; before this moment nothing that is known now can end it.
    Lives { until: Option<Instant> },
    /// It is over.
    Over(EndCause),
}

/// What a report says about the use of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) last_used: Option<Instant>,
    pub(crate) invocations: u64,
    pub(crate) open: usize,
    pub(crate) busy: bool,
}

impl Clock {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            idle_timeout: limits.idle_timeout,
            max_lifetime: limits.max_lifetime,
            begun: None,
            waits_until: None,
            last_active: None,
            last_used: None,
            open: 0,
            sockets: 0,
            invocations: 0,
            busy: false,
            ended: false,
        }
    }

    /// From then on no session takes it any more.
    pub(crate) fn wait_until(&mut self, end: Option<Instant>) {
        self.waits_until = end;
    }

    /// Starts both clocks: the session has begun.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.begun.get_or_insert(now);
        self.last_active = Some(now);
    }

    /// Notes an invocation; `false` if the sandbox has ended and takes none.
    pub(crate) fn open(&mut self, now: Instant) -> bool {
        if self.ended {
            return false;
        }
        self.open += 1;
        self.invocations += 1;
        self.last_used = Some(now);
        self.last_active = Some(now);
        true
    }

    /// Notes the end of an invocation.
    pub(crate) fn close(&mut self, now: Instant) {
        self.open = self.open.saturating_sub(1);
        self.moved(now);
    }

    /// Notes that an invocation goes on as a WebSocket; its own end is told as well.
    pub(crate) fn open_socket(&mut self, now: Instant) {
        self.sockets += 1;
        self.moved(now);
    }

    /// Notes that something passed through a WebSocket.
    pub(crate) fn moved(&mut self, now: Instant) {
        self.last_used = Some(now);
        self.last_active = Some(now);
    }

    /// Notes the end of a WebSocket.
    pub(crate) fn close_socket(&mut self, now: Instant) {
        self.sockets = self.sockets.saturating_sub(1);
        self.moved(now);
    }

    /// Notes what a ping said about work in the background.
    pub(crate) fn pinged(&mut self, busy: bool, now: Instant) {
        // The work may have ended just before this ping: until then it counts as active.
        if busy || self.busy {
            self.last_active = Some(now);
        }
        self.busy = busy;
    }

    /// From now on no invocation is taken.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            last_used: self.last_used,
            invocations: self.invocations,
            open: self.open + self.sockets,
            busy: self.busy,
        }
    }

    pub(crate) fn verdict(&self, now: Instant) -> Verdict {
        let (Some(begun), Some(last_active)) = (self.begun, self.last_active) else {
            let until = self.waits_until;
            return if until.is_some_and(|end| now >= end) {
                Verdict::Over(EndCause::max_lifetime(self.max_lifetime))
            } else {
                Verdict::Lives { until }
            };
        };
        let life_ends = begun.checked_add(self.max_lifetime);
        if life_ends.is_some_and(|end| now >= end) {
            return Verdict::Over(EndCause::max_lifetime(self.max_lifetime));
        }
        let active = self.open > 0 || self.busy;
        // Whatever it does now may stop at once, and then the idle time begins.
        let since = if active { now } else { last_active };
        let idle_ends = since.checked_add(self.idle_timeout);
        if !active && idle_ends.is_some_and(|end| now >= end) {
            return Verdict::Over(EndCause::idle(self.idle_timeout));
        }
        Verdict::Lives {
            until: [life_ends, idle_ends].into_iter().flatten().min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const MINUTE: Duration = Duration::from_mins(1);

    fn begun() -> Clock {
        let mut clock = Clock::new(&Limits {
            max_sandboxes: 1,
            spares: 0,
            idle_timeout: 15 * MINUTE,
            max_lifetime: 8 * 60 * MINUTE,
            start_limit: MINUTE,
        });
        clock.begin(Instant::now());
        clock
    }

    fn lives(clock: &Clock) -> bool {
        matches!(clock.verdict(Instant::now()), Verdict::Lives { .. })
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_when_it_was_idle_for_the_whole_time() {
        let clock = begun();
        advance(Duration::from_millis(15 * 60_000 - 1)).await;
        assert!(lives(&clock));
        advance(Duration::from_millis(1)).await;
        let over = Verdict::Over(EndCause::Idle { seconds: 900 });
        assert_eq!(clock.verdict(Instant::now()), over);
    }

    #[tokio::test(start_paused = true)]
    async fn an_invocation_starts_the_idle_time_anew_when_it_ends() {
        let mut clock = begun();
        advance(14 * MINUTE).await;
        assert!(clock.open(Instant::now()));
        advance(60 * MINUTE).await;
        assert!(lives(&clock), "an open invocation is not idle");
        clock.close(Instant::now());
        advance(14 * MINUTE).await;
        assert!(lives(&clock));
        advance(MINUTE).await;
        assert!(!lives(&clock));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_open_invocations_the_last_counts() {
        let mut clock = begun();
        clock.open(Instant::now());
        clock.open(Instant::now());
        clock.close(Instant::now());
        advance(60 * MINUTE).await;
        assert!(lives(&clock));
        clock.close(Instant::now());
        advance(15 * MINUTE).await;
        assert!(!lives(&clock));
    }

    #[tokio::test(start_paused = true)]
    async fn a_websocket_is_as_active_as_what_passes_through_it() {
        let mut clock = begun();
        clock.open(Instant::now());
        clock.open_socket(Instant::now());
        clock.close(Instant::now());
        assert_eq!(clock.usage().open, 1);
        advance(14 * MINUTE).await;
        clock.moved(Instant::now());
        advance(14 * MINUTE).await;
        assert!(lives(&clock));
        advance(MINUTE).await;
        assert!(!lives(&clock), "silence is idle, however open");
        clock.close_socket(Instant::now());
        assert!(lives(&clock), "its end is a sign of life too");
        assert_eq!(clock.usage().open, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn work_in_the_background_is_not_idle_up_to_the_ping_that_finds_it_done() {
        let mut clock = begun();
        clock.pinged(true, Instant::now());
        advance(60 * MINUTE).await;
        assert!(lives(&clock));
        clock.pinged(false, Instant::now());
        advance(14 * MINUTE).await;
        clock.pinged(false, Instant::now());
        assert!(lives(&clock));
        advance(MINUTE).await;
        assert!(!lives(&clock));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_outlives_the_longest_lifetime() {
        let mut clock = begun();
        clock.pinged(true, Instant::now());
        clock.open(Instant::now());
        advance(8 * 60 * MINUTE).await;
        let over = Verdict::Over(EndCause::MaxLifetime { seconds: 28_800 });
        assert_eq!(clock.verdict(Instant::now()), over);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_look_is_never_too_late() {
        let mut clock = begun();
        let start = Instant::now();
        let until = |clock: &Clock| match clock.verdict(Instant::now()) {
            Verdict::Lives { until } => until.unwrap() - start,
            Verdict::Over(cause) => panic!("over: {cause}"),
        };
        assert_eq!(until(&clock), 15 * MINUTE);
        advance(10 * MINUTE).await;
        clock.open(Instant::now());
        assert_eq!(until(&clock), 25 * MINUTE);
        clock.close(Instant::now());
        assert_eq!(until(&clock), 25 * MINUTE);
        advance(7 * 60 * MINUTE).await;
        clock.open(Instant::now());
        advance(45 * MINUTE).await;
        assert_eq!(
            until(&clock),
            8 * 60 * MINUTE,
            "the end of its life is nearer"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_sandbox_that_waits_for_the_first_session_does_not_age() {
        let limits = Limits::default();
        let mut clock = Clock::new(&limits);
        advance(100 * 60 * MINUTE).await;
        assert_eq!(
            clock.verdict(Instant::now()),
            Verdict::Lives { until: None }
        );
        clock.begin(Instant::now());
        assert!(lives(&clock));
    }

    #[tokio::test(start_paused = true)]
    async fn a_spare_ends_at_the_age_of_a_session_unless_one_takes_it() {
        let limits = Limits::default();
        let spare = || {
            let mut clock = Clock::new(&limits);
            clock.wait_until(Some(Instant::now() + limits.max_lifetime));
            clock
        };
        let (mut taken, waiting) = (spare(), spare());
        advance(479 * MINUTE).await;
        assert!(lives(&taken) && lives(&waiting));
        taken.begin(Instant::now());
        advance(MINUTE).await;
        assert!(lives(&taken), "its session is a minute old");
        let over = Verdict::Over(EndCause::MaxLifetime { seconds: 28_800 });
        assert_eq!(waiting.verdict(Instant::now()), over);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_takes_no_invocation() {
        let mut clock = begun();
        clock.end();
        assert!(!clock.open(Instant::now()));
        assert_eq!(clock.usage().open, 0);
    }
}
