//! Whatever happens in whatever order: callers are served in their order, and nobody is forgotten.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::net::UnixStream;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;

/// What happens to a pool. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Event {
    Call,
    /// The worker opens a connection that it was asked for.
    Open,
    End(usize),
    Lose(usize),
    GiveUp(usize),
    /// This many milliseconds without a judgement.
    Time(u64),
    Tick,
    Judge {
        busy_percent: Option<u32>,
    },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Call),
        4 => Just(Event::Open),
        5 => any::<usize>().prop_map(Event::End),
        1 => any::<usize>().prop_map(Event::Lose),
        2 => any::<usize>().prop_map(Event::GiveUp),
        1 => (0..40_u64).prop_map(Event::Time),
        2 => Just(Event::Tick),
        1 => proptest::option::of(0..200_u32).prop_map(|busy_percent| Event::Judge { busy_percent }),
    ]
}

/// A pool with what its callers hold.
struct World {
    state: State,
    now: Instant,
    calls: Vec<Link>,
    /// In the order in which they came.
    queue: Vec<oneshot::Receiver<Link>>,
    /// What the worker was asked for and has not opened.
    asked: usize,
    moment: (u64, Instant),
    stretch: (u64, Instant),
}

impl World {
    fn new(max: usize) -> Self {
        let now = Instant::now();
        let mut state = State::default();
        state.pace.set_max(max);
        Self {
            stretch: (state.begin_stretch(), now),
            moment: (0, now),
            now,
            state,
            calls: Vec::new(),
            queue: Vec::new(),
            asked: 0,
        }
    }

    fn apply(&mut self, event: &Event) {
        let busy_before = self.calls.len();
        match *event {
            Event::Call => {
                match self.state.take_or_wait(|| self.now).unwrap() {
                    Ok(link) => {
                        assert!(self.queue.is_empty(), "somebody came first");
                        self.calls.push(link);
                    }
                    Err(receiver) => self.queue.push(receiver),
                }
                self.asked += self.state.growth();
            }
            Event::Open if self.asked > 0 => {
                self.asked -= 1;
                self.state.add(Link::new(UnixStream::pair().unwrap().0));
            }
            Event::End(which) if busy_before > 0 => {
                let link = self.calls.swap_remove(which % busy_before);
                self.state.give_back(link);
            }
            Event::Lose(which) if busy_before > 0 => {
                drop(self.calls.swap_remove(which % busy_before));
                self.asked += self.state.lose();
            }
            Event::GiveUp(which) if !self.queue.is_empty() => {
                drop(self.queue.remove(which % self.queue.len()));
            }
            Event::Time(millis) => self.now += Duration::from_millis(millis),
            Event::Tick => {
                self.now = self.now.max(self.moment.1 + TICK);
                self.asked += self.state.tick(self.moment.0, self.now);
                self.moment = (self.state.ended, self.now);
            }
            Event::Judge { busy_percent } => {
                let (ended, begun) = self.stretch;
                self.now = self.now.max(begun + Duration::from_millis(100));
                let length = self.now - begun;
                let busy = busy_percent.map(|percent| length * percent / 100);
                self.asked += self.state.judge(ended, length, busy, self.now);
                self.stretch = (self.state.begin_stretch(), self.now);
            }
            _ => {}
        }
        self.receive();
        self.check(busy_before);
    }

    /// Has the callers take what they were handed: those that came first, and only those.
    fn receive(&mut self) {
        let mut somebody_waits = false;
        for mut receiver in std::mem::take(&mut self.queue) {
            match receiver.try_recv() {
                Ok(link) => {
                    assert!(!somebody_waits, "somebody came first");
                    self.calls.push(link);
                }
                Err(TryRecvError::Empty) => {
                    somebody_waits = true;
                    self.queue.push(receiver);
                }
                Err(TryRecvError::Closed) => panic!("forgotten"),
            }
        }
    }

    fn check(&self, busy_before: usize) {
        let Self { state, calls, .. } = self;
        let allowed = state.pace.allowed();
        assert_eq!(state.open, state.idle.len() + calls.len());
        assert_eq!(state.busy(), calls.len());
        assert_eq!(state.asked, self.asked);
        assert!(state.open + state.asked <= state.pace.max());
        assert!(allowed <= state.pace.max());
        assert!(calls.len() <= allowed.max(busy_before));
        let mut streams: Vec<_> = calls
            .iter()
            .chain(&state.idle)
            .map(|link| Arc::as_ptr(link.stream()))
            .collect();
        streams.sort_unstable();
        streams.dedup();
        assert_eq!(streams.len(), state.open, "each connection is in one place");
        if !self.queue.is_empty() && calls.len() < allowed {
            assert!(state.idle.is_empty());
            let missing = self.queue.len().min(allowed.saturating_sub(state.open));
            assert!(state.asked >= missing, "nobody asks for a thread");
        }
    }

    /// Lets everything end that runs, and the worker open what it was asked for, until nobody waits.
    fn wind_up(&mut self) {
        for _ in 0..1000 {
            if self.queue.is_empty() && self.calls.is_empty() {
                return;
            }
            self.apply(&Event::Open);
            self.apply(&Event::End(0));
            self.apply(&Event::Tick);
        }
        panic!("somebody waits for ever");
    }
}

proptest! {
    #[test]
    fn callers_are_served_in_their_order_and_nobody_is_forgotten(
        max in 1..20_usize,
        events in proptest::collection::vec(event(), 1..150),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(max);
            for event in &events {
                world.apply(event);
            }
            world.wind_up();
        });
    }
}

/// A pool whose threads, as many as may run at once, are all in calls.
fn busy(max: usize) -> World {
    let mut world = World::new(max);
    for _ in 0..EAGER.min(max) {
        world.apply(&Event::Call);
        world.apply(&Event::Open);
    }
    world
}

fn apply(world: &mut World, events: &[Event]) {
    for event in events {
        world.apply(event);
    }
}

#[tokio::test]
async fn a_thread_too_many_stays_idle_although_somebody_waits() {
    let mut world = busy(64);
    apply(
        &mut world,
        &[Event::Call, Event::Tick, Event::Open, Event::Call],
    );
    assert_eq!((world.calls.len(), world.queue.len()), (EAGER + 1, 1));
    world.state.pace = Pace::default();
    world.state.pace.set_max(64);
    apply(&mut world, &[Event::End(0), Event::End(0)]);
    assert_eq!((world.calls.len(), world.queue.len()), (EAGER, 0));
    apply(&mut world, &[Event::Call]);
    assert_eq!((world.state.idle.len(), world.queue.len()), (1, 1));
}

#[tokio::test]
async fn blocked_calls_get_their_threads_step_by_step() {
    let mut world = busy(256);
    for _ in 0..60 {
        world.apply(&Event::Call);
    }
    let mut threads = Vec::new();
    while !world.queue.is_empty() {
        world.apply(&Event::Tick);
        while world.asked > 0 {
            world.apply(&Event::Open);
        }
        threads.push(world.state.open);
    }
    assert_eq!(threads, [8, 16, 32, 64]);
}

#[tokio::test]
async fn what_was_asked_for_has_time_to_come() {
    let mut world = busy(256);
    for _ in 0..60 {
        world.apply(&Event::Call);
    }
    let mut allowed = Vec::new();
    for _ in 0..=GRACE {
        world.apply(&Event::Tick);
        allowed.push(world.state.pace.allowed());
    }
    assert_eq!(allowed, [8, 8, 8, 8, 8, 8, 8, 8, 16]);
}

#[tokio::test]
async fn a_moment_in_which_a_call_has_ended_shows_nothing() {
    let mut world = busy(64);
    let events = [
        Event::Call,
        Event::Call,
        Event::Tick,
        Event::End(0),
        Event::Tick,
    ];
    apply(&mut world, &events[..2]);
    apply(&mut world, &events[3..]);
    assert_eq!(world.state.pace.allowed(), EAGER);
    apply(&mut world, &events[2..3]);
    assert_eq!(world.state.pace.allowed(), EAGER * 2);
}

#[tokio::test]
async fn the_time_is_kept_while_somebody_waits_or_many_calls_run() {
    let mut world = World::new(64);
    let mut needs = Vec::new();
    for _ in 0..EAGER {
        world.state.add(Link::new(UnixStream::pair().unwrap().0));
        world.apply(&Event::Call);
        needs.push(world.state.need_of_time());
    }
    assert_eq!(needs, [None; EAGER]);
    world.apply(&Event::Call);
    assert_eq!(world.state.need_of_time(), Some(Need::Start));
    assert_eq!(world.state.need_of_time(), None);
    assert_eq!(world.state.next(), Some(Next::Moment { ended: 0 }));
    // Another thread: all run, and nobody waits.
    apply(&mut world, &[Event::Tick, Event::Open]);
    assert_eq!(world.state.next(), Some(Next::Stretch));
    apply(&mut world, &[Event::Call]);
    assert_eq!(world.state.need_of_time(), Some(Need::Tell));
    assert_eq!(world.state.need_of_time(), None);
    apply(&mut world, &[Event::End(0), Event::End(0)]);
    assert_eq!(world.state.next(), None);
}

#[tokio::test]
async fn that_every_thread_is_busy_is_said_once_in_a_while() {
    let mut world = busy(4);
    apply(&mut world, &[Event::Call, Event::Time(4999)]);
    assert_eq!(world.state.complaint(world.now), None);
    apply(&mut world, &[Event::Time(1)]);
    assert_eq!(world.state.complaint(world.now), Some((4, 1)));
    apply(&mut world, &[Event::Time(59_999)]);
    assert_eq!(world.state.complaint(world.now), None);
    apply(&mut world, &[Event::Time(1)]);
    assert_eq!(world.state.complaint(world.now), Some((4, 1)));
}

#[tokio::test]
async fn calls_that_go_on_through_a_stretch_are_counted() {
    let mut world = busy(64);
    let lasting = |world: &World| world.state.busy() - world.state.fresh;
    apply(&mut world, &[Event::Judge { busy_percent: None }]);
    assert_eq!(lasting(&world), EAGER);
    apply(&mut world, &[Event::End(0), Event::End(0), Event::Call]);
    assert_eq!(lasting(&world), EAGER - 2);
}
