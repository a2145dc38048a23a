//! What sessions cost, and that nothing is left of them: measured in a process of its own, because resident memory is a process's.
//!
//! The bounds are wide: they are about leaks and about a session that costs kilobytes, not about the allocator.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentcore_runtime::{
    App, Body, Context, EndReason, Router, Session, SessionId, SessionLimits, Threads,
};
use futures_util::{StreamExt, stream};
use http::Request;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;
use tower::ServiceExt;

const MB: usize = 1_000_000;
const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// How many states there are, and how many sessions had their hook.
#[derive(Default)]
struct Counts {
    live: AtomicUsize,
    hooks: AtomicUsize,
    changed: Notify,
}

impl Counts {
    /// Waits until no state is left and so many hooks have run.
    async fn settle(&self, hooks: usize) {
        let settled = async {
            while self.live.load(Ordering::SeqCst) > 0 || self.hooks.load(Ordering::SeqCst) < hooks
            {
                self.changed.notified().await;
            }
        };
        let waited = timeout(Duration::from_mins(1), settled).await;
        assert!(waited.is_ok(), "{self:?} of {hooks} hooks");
        assert_eq!(self.hooks.load(Ordering::SeqCst), hooks, "one for each");
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "live states: {:?}, hooks: {:?}", self.live, self.hooks)
    }
}

/// A session's state of `N` bytes.
struct State<const N: usize> {
    counts: Arc<Counts>,
    bytes: [u8; N],
}

impl<const N: usize> Drop for State<N> {
    fn drop(&mut self) {
        self.counts.live.fetch_sub(1, Ordering::SeqCst);
        self.counts.changed.notify_one();
    }
}

/// An app that gives each session a state of `N` bytes.
fn app<const N: usize>(counts: &Arc<Counts>) -> App {
    let (counting, ending) = (Arc::clone(counts), Arc::clone(counts));
    let app = App::new(move |_: Value, context: Context| {
        let counts = Arc::clone(&counting);
        async move {
            let state = context.session().unwrap().get_or_init(|| {
                counts.live.fetch_add(1, Ordering::SeqCst);
                let counts = Arc::clone(&counts);
                // Not zeros, so that every page is there.
                State {
                    counts,
                    bytes: [1; N],
                }
            });
            state.bytes.len()
        }
    });
    // On the test's own thread, which takes half the time.
    app.threads(Threads::Shared)
        .on_session_end(move |session: Session, _: EndReason| {
            let ending = Arc::clone(&ending);
            async move {
                assert!(session.get::<State<N>>().is_some());
                ending.hooks.fetch_add(1, Ordering::SeqCst);
                ending.changed.notify_one();
            }
        })
}

fn id(number: usize) -> String {
    format!("session-{number:0>36}")
}

/// Begins so many sessions, some at the same time.
async fn begin(router: &Router, numbers: Range<usize>) {
    let calls = stream::iter(numbers).for_each_concurrent(16, async |number| {
        let request = Request::post("/invocations").header(SESSION, id(number));
        let request = request.body(Body::from("1")).unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
        // As a socket does between two requests: on the same thread, hooks have to get their turn.
        tokio::task::yield_now().await;
    });
    calls.await;
}

/// Returns this process's resident memory in bytes; 0 where that cannot be told, so that only objects are counted.
fn resident() -> usize {
    let Ok(text) = std::fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[tokio::test]
async fn open_sessions_are_cheap_and_ended_ones_leave_nothing() {
    let before = resident();
    let counts = Arc::new(Counts::default());
    let app_of_small = app::<64>(&counts);
    let sessions = app_of_small.sessions().clone();
    let router = app_of_small.router();
    begin(&router, 0..10_000).await;
    assert_eq!(sessions.len(), 10_000);
    let cost = resident().saturating_sub(before);
    println!("10,000 open sessions: {} KB", cost / 1000);
    assert!(cost <= 15 * MB, "10,000 open sessions cost {cost} bytes");
    for number in 0..10_000 {
        assert!(sessions.end(&id(number).parse::<SessionId>().unwrap()));
    }
    counts.settle(10_000).await;
    assert!(sessions.is_empty());
    drop(router);

    let counts = Arc::new(Counts::default());
    let app = app::<1024>(&counts).session_limits(SessionLimits::default().max_open(1_000));
    let sessions = app.sessions().clone();
    let router = app.router();
    let baseline = resident();
    begin(&router, 0..100_000).await;
    assert_eq!(sessions.len(), 1_000, "the others made room");
    for number in 98_000..100_000 {
        sessions.end(&id(number).parse::<SessionId>().unwrap());
    }
    counts.settle(100_000).await;
    assert!(sessions.is_empty());
    let left = resident().saturating_sub(baseline);
    println!("left of 100,000 sessions: {} KB", left / 1000);
    assert!(left <= 8 * MB, "100,000 sessions left {left} bytes");
}
