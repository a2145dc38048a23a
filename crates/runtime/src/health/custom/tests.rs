//! Tests of the custom handler: what it may say, and what becomes of a ping when it fails, panics, hangs or blocks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use super::*;
use crate::log::Captured;

/// More than any answer takes here: a test that hits it has found something that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks a handler once, on this thread; returns what it said and what was logged.
fn asked<M>(handler: impl PingHandler<M>) -> (Option<PingStatus>, Vec<String>) {
    let captured = Captured::start();
    let custom = Custom::with_limit(handler, PATIENCE);
    custom.desk.ask(&PingThread::new(PATIENCE));
    (custom.answer(), captured.lines())
}

fn warning(text: &str) -> String {
    format!(r#""level": "WARNING", "message": "{text}", "logger": "bedrock_agentcore.app"}}"#)
}

#[derive(Debug, thiserror::Error)]
#[error("no route")]
struct Unreachable;

#[test]
fn a_handler_may_return_a_status_an_option_or_a_result_and_be_asynchronous() {
    const BUSY: PingStatus = PingStatus::HealthyBusy;
    type Failing<T> = Result<T, Box<dyn std::error::Error>>;
    let told = [
        asked(|| BUSY),
        asked(|| Some(BUSY)),
        asked(|| Ok::<_, Unreachable>(BUSY)),
        asked(|| Failing::Ok(Some(BUSY))),
        asked(async || BUSY),
        asked(async || Some(BUSY)),
        asked(async || "HealthyBusy".parse::<PingStatus>()),
        asked(async || Failing::Ok(Some(BUSY))),
        asked(async || {
            // Not `Send`, and that is fine on a thread of its own.
            let status = std::rc::Rc::new(BUSY);
            sleep(Duration::ZERO).await;
            *status
        }),
    ];
    for (status, logged) in told {
        assert_eq!((status, logged), (Some(BUSY), vec![]));
    }
    assert_eq!(asked(|| None), (None, vec![]), "automatic, and no warning");
    assert_eq!(asked(async || None), (None, vec![]));
}

#[test]
fn an_error_or_a_panic_is_logged_and_the_status_automatic() {
    const FAILED: &str = "Custom ping handler failed, falling back to automatic";
    let status = || PingStatus::Healthy;
    let table = [
        (
            asked(|| Err::<PingStatus, _>(Unreachable)),
            "Unreachable: no route",
        ),
        (
            asked(async || Err::<Option<PingStatus>, _>("no text".to_owned())),
            "Error: no text",
        ),
        (
            asked(|| "healthybusy".parse::<PingStatus>()),
            "UnknownPingStatus: unknown ping status `healthybusy`, expected `Healthy` or `HealthyBusy`",
        ),
        (
            asked(move || {
                assert_eq!(status(), PingStatus::HealthyBusy, "boom");
                status()
            }),
            "",
        ),
        (
            asked(async || -> PingStatus { panic!("boom") }),
            "Panic: the agent panicked: boom",
        ),
    ];
    for ((status, logged), text) in table {
        assert_eq!(status, None);
        assert_eq!(logged.len(), 1);
        if text.is_empty() {
            assert!(
                logged[0].contains("Panic: the agent panicked: "),
                "{logged:?}"
            );
        } else {
            assert_eq!(logged, [warning(&format!("{FAILED}: {text}"))]);
        }
    }
}

/// A handler that tells each time it is asked, and says `HealthyBusy` when the test lets it.
fn held() -> (
    impl Fn() -> PingStatus + Send + Sync,
    UnboundedReceiver<()>,
    Sender<()>,
) {
    let (enter, entered) = unbounded_channel();
    let (release, released) = channel();
    let released: Mutex<Receiver<()>> = Mutex::new(released);
    let handler = move || {
        enter.send(()).unwrap();
        let _ = released.lock().unwrap().recv();
        PingStatus::HealthyBusy
    };
    (handler, entered, release)
}

async fn ping(custom: &Custom) -> Option<PingStatus> {
    if let Some(refreshed) = custom.refresh() {
        refreshed.await;
    }
    custom.answer()
}

/// Waits, on the thread's own clock, until nothing is under way.
async fn until_answered(custom: &Custom) {
    let mut state = custom.desk.state.subscribe();
    state.wait_for(|state| state.due.is_none()).await.unwrap();
}

// The paused clock goes to the limit as soon as nothing but the limit is waited for.
#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_delays_one_ping_and_counts_again_when_it_is_back() {
    let captured = Captured::start();
    let (handler, mut entered, release) = held();
    let custom = Custom::with_limit(handler, LIMIT);
    custom.start();

    let began = Instant::now();
    let refreshed = custom.refresh().unwrap();
    entered.recv().await.unwrap();
    refreshed.await;
    assert_eq!(began.elapsed(), LIMIT);
    assert_eq!(custom.answer(), None);
    for _ in 0..3 {
        assert!(custom.refresh().is_none(), "nothing to wait for");
        assert_eq!(custom.answer(), None);
    }
    let text = "Custom ping handler did not answer within 1s, falling back to automatic";
    assert_eq!(captured.lines(), [warning(text)]);

    release.send(()).unwrap();
    until_answered(&custom).await;
    let busy = Some(PingStatus::HealthyBusy);
    assert_eq!(custom.answer(), busy, "late is not never");
    assert!(entered.try_recv().is_err(), "asked once, and no more");

    drop(custom.refresh());
    entered.recv().await.unwrap();
    release.send(()).unwrap();
    until_answered(&custom).await;
    assert_eq!(custom.answer(), busy);
    assert_eq!(captured.lines().len(), 1);
}

#[tokio::test]
async fn a_handler_that_is_slow_each_time_is_believed_and_one_that_hangs_is_not() {
    let (handler, mut entered, release) = held();
    // Long enough that a machine that stands still for a moment makes no answer stale.
    let limit = Duration::from_millis(50);
    let custom = Custom::with_limit(handler, limit);
    custom.start();
    let busy = Some(PingStatus::HealthyBusy);
    for before in [None, busy, busy] {
        drop(custom.refresh());
        entered.recv().await.unwrap();
        sleep(2 * limit).await;
        assert!(custom.refresh().is_none(), "nothing to wait for");
        assert_eq!(custom.answer(), before);
        release.send(()).unwrap();
        until_answered(&custom).await;
        assert_eq!(custom.answer(), busy);
    }
    drop(custom.refresh());
    entered.recv().await.unwrap();
    sleep((STALE + 2) * limit).await;
    assert!(custom.refresh().is_none());
    assert_eq!(custom.answer(), None);
    release.send(()).unwrap();
}

#[tokio::test]
async fn an_asynchronous_handler_that_hangs_is_cancelled_at_the_limit() {
    let hangs = Arc::new(AtomicBool::new(true));
    let (dropped, mut was_dropped) = unbounded_channel();
    let (flag, limit) = (Arc::clone(&hangs), Duration::from_millis(20));
    let handler = move || {
        let (hangs, dropped) = (flag.load(Ordering::Relaxed), dropped.clone());
        async move {
            if hangs {
                let _tells = Tells(dropped);
                std::future::pending::<()>().await;
            }
            PingStatus::HealthyBusy
        }
    };
    let custom = Custom::with_limit(handler, limit);
    custom.start();
    assert_eq!(ping(&custom).await, None);
    was_dropped.recv().await.unwrap();
    until_answered(&custom).await;

    hangs.store(false, Ordering::Relaxed);
    assert!(custom.refresh().is_none(), "the next ping does not wait");
    until_answered(&custom).await;
    // On a machine so slow that this takes 20 ms, it would count as slow, and the status be the same.
    assert_eq!(custom.answer(), Some(PingStatus::HealthyBusy));
}

/// Tells when it is dropped.
struct Tells(UnboundedSender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn concurrent_pings_share_one_answer_and_a_panic_leaves_the_thread_alive() {
    let gate = Arc::new(Semaphore::new(0));
    let calls = Arc::new(AtomicUsize::new(0));
    let (entering, counted) = (Arc::clone(&gate), Arc::clone(&calls));
    let handler = move || {
        let (gate, call) = (
            Arc::clone(&entering),
            counted.fetch_add(1, Ordering::Relaxed),
        );
        async move {
            gate.acquire().await.unwrap().forget();
            assert_ne!(call, 0, "the first call panics");
            PingStatus::HealthyBusy
        }
    };
    let custom = Custom::with_limit(handler, PATIENCE);
    custom.start();
    for answer in [None, Some(PingStatus::HealthyBusy)] {
        let waiting: Vec<_> = (0..50).map(|_| custom.refresh().unwrap()).collect();
        gate.add_permits(1);
        for refreshed in waiting {
            refreshed.await;
        }
        assert_eq!(custom.answer(), answer);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn the_thread_ends_with_its_owner() {
    let (ended, end) = oneshot::channel::<()>();
    let custom = Custom::new(move || {
        assert!(!ended.is_closed());
        PingStatus::Healthy
    });
    custom.start();
    assert_eq!(ping(&custom).await, Some(PingStatus::Healthy));
    drop(custom);
    // The handler, and the sender in it, is dropped by its thread.
    let gone = tokio::time::timeout(PATIENCE, end).await.unwrap();
    assert!(gone.is_err());
}
