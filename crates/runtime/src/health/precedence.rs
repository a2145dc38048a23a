//! Whatever is forced, told and begun between pings: the answer is what a naive model says, and its time moves only with it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::Health;
use super::custom::Custom;
use crate::PingStatus;
use crate::ping::Pings;
use crate::tasks::{TaskId, Tasks};

/// What may happen between two pings, or one.
#[derive(Clone, Copy, Debug)]
enum Step {
    Force(PingStatus),
    Clear,
    /// What the custom handler says from now on.
    Say(Said),
    BeginTask,
    EndTask,
    Wait(u64),
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Said {
    Status(PingStatus),
    Nothing,
    Error,
    Panic,
}

fn status() -> impl Strategy<Value = PingStatus> {
    prop_oneof![Just(PingStatus::Healthy), Just(PingStatus::HealthyBusy)]
}

fn step() -> impl Strategy<Value = Step> {
    let said = prop_oneof![
        3 => status().prop_map(Said::Status),
        2 => Just(Said::Nothing),
        1 => Just(Said::Error),
        1 => Just(Said::Panic),
    ];
    prop_oneof![
        2 => status().prop_map(Step::Force),
        2 => Just(Step::Clear),
        2 => said.prop_map(Step::Say),
        2 => Just(Step::BeginTask),
        2 => Just(Step::EndTask),
        1 => (0..100_u64).prop_map(Step::Wait),
        6 => Just(Step::Ping),
    ]
}

/// The real parts, and a clock that stands until it is told.
struct Real {
    health: Health,
    tasks: Tasks,
    pings: Pings,
    now: Arc<AtomicU64>,
    says: Arc<Mutex<Said>>,
    open: Vec<TaskId>,
}

/// What the answer should be, from nothing but the steps.
struct Model {
    forced: Option<PingStatus>,
    custom: Option<Said>,
    tasks: usize,
    last: Option<(PingStatus, u64)>,
}

impl Model {
    fn status(&self) -> PingStatus {
        match (self.forced, self.custom) {
            (Some(status), _) | (None, Some(Said::Status(status))) => status,
            _ if self.tasks > 0 => PingStatus::HealthyBusy,
            _ => PingStatus::Healthy,
        }
    }

    fn body(&mut self, now: u64) -> String {
        let status = self.status();
        let since = match self.last {
            Some((last, since)) if last == status => since,
            _ => now,
        };
        self.last = Some((status, since));
        format!(r#"{{"status":"{status}","time_of_last_update":{since}}}"#)
    }
}

impl Real {
    fn new(has_custom: bool) -> Self {
        let tasks = Tasks::default();
        let health = Health::new(tasks.clone());
        let now = Arc::new(AtomicU64::new(1_000));
        let says = Arc::new(Mutex::new(Said::Nothing));
        let (clock, heard) = (Arc::clone(&now), Arc::clone(&says));
        if has_custom {
            let handler = move || {
                let said = *heard.lock().unwrap();
                match said {
                    Said::Status(status) => Ok(Some(status)),
                    Said::Nothing => Ok(None),
                    Said::Error => Err("on purpose"),
                    Said::Panic => std::panic::panic_any(()),
                }
            };
            health.set_custom(Custom::with_limit(handler, Duration::from_mins(1)));
            health.start();
        }
        Self {
            health,
            tasks,
            pings: Pings::with_clock(move || clock.load(Ordering::Relaxed)),
            now,
            says,
            open: Vec::new(),
        }
    }

    async fn ping(&self) -> Vec<u8> {
        if let Some(refreshed) = self.health.refresh() {
            refreshed.await;
        }
        self.pings.body(self.health.current_ping_status()).to_vec()
    }
}

async fn check(steps: &[Step], has_custom: bool) {
    let mut real = Real::new(has_custom);
    let mut model = Model {
        forced: None,
        custom: has_custom.then_some(Said::Nothing),
        tasks: 0,
        last: None,
    };
    for step in steps {
        match *step {
            Step::Force(status) => {
                real.health.force_ping_status(status);
                model.forced = Some(status);
            }
            Step::Clear => {
                real.health.clear_forced_ping_status();
                model.forced = None;
            }
            Step::Say(said) => {
                *real.says.lock().unwrap() = said;
                model.custom = has_custom.then_some(said);
            }
            Step::BeginTask => {
                real.open.push(real.tasks.add_async_task("t"));
                model.tasks += 1;
            }
            Step::EndTask => {
                if let Some(id) = real.open.pop() {
                    assert!(real.tasks.complete_async_task(id));
                    model.tasks -= 1;
                }
            }
            Step::Wait(seconds) => {
                real.now.fetch_add(seconds, Ordering::Relaxed);
            }
            Step::Ping => {
                let expected = model.body(real.now.load(Ordering::Relaxed));
                assert_eq!(String::from_utf8(real.ping().await).unwrap(), expected);
            }
        }
    }
    real.health.stop();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_ping_is_forced_or_custom_or_automatic_and_its_time_moves_with_its_status(
        steps in prop::collection::vec(step(), 1..60),
        has_custom: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(check(&steps, has_custom));
    }
}
