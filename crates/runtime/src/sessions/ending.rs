//! What goes on around the table: the clock, the hooks and their log, and what an app that is gone leaves behind.

use std::future::pending;
use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::*;
use crate::app::App;
use crate::log::Captured;

/// An app with a hook, only for its sessions; they run on the test's own thread.
fn sessions<R, M>(hook: impl Fn(Session, EndReason) -> R + Send + Sync + 'static) -> App
where
    R: hook::HookReturn<M>,
{
    let app = App::new(|payload: Value| payload).on_session_end(hook);
    app.sessions().start(&Handle::current());
    app
}

fn name(id: &str) -> SessionId {
    id.parse().unwrap()
}

fn touch(sessions: &Sessions, id: &str) {
    sessions.open(&name(id)).unwrap();
}

/// Lets everything go on that can.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_hook_is_logged_and_the_others_run() {
    let log = Captured::start();
    let (sender, mut ended) = mpsc::unbounded_channel();
    let app = sessions(move |session: Session, _| {
        let sender = sender.clone();
        async move {
            assert_ne!(session.id().as_str(), "bad", "cannot be saved");
            tracing::info!(target: "my_agent", "saved");
            sender.send(session.id().clone()).unwrap();
        }
    });
    for id in ["bad", "good"] {
        touch(app.sessions(), id);
    }
    assert_eq!(ended.recv().await.unwrap(), name("good"));
    settle().await;
    let lines = log.lines();
    let wanted = [
        r#""level": "ERROR", "message": "The hook for the end of a session panicked", "logger": "bedrock_agentcore.app", "sessionId": "bad", "errorType": "Panic""#,
        r#""level": "INFO", "message": "saved", "logger": "my_agent", "sessionId": "good"}"#,
        r#""level": "DEBUG", "message": "Session ended: idle timeout", "logger": "bedrock_agentcore.app", "sessionId": "good"}"#,
    ];
    for line in wanted {
        let count = lines.iter().filter(|it| it.contains(line)).count();
        assert_eq!(count, 1, "{line} in {lines:#?}");
    }
    assert!(
        lines.iter().any(|line| line.contains("cannot be saved")),
        "{lines:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn state_that_panics_when_it_is_dropped_is_logged_and_the_rest_is_dropped() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("still in use");
        }
    }
    let log = Captured::start();
    let good = Arc::new(());
    let kept = Arc::downgrade(&good);
    let app = sessions(|_, _| async { panic!("not saved") });
    let lease = app.sessions().open(&name("a")).unwrap();
    lease.session.insert(Bad);
    lease.session.insert(good);
    drop(lease);
    assert!(app.sessions().end(&name("a")));
    settle().await;
    assert_eq!(kept.strong_count(), 0);
    let lines = log.lines();
    for (message, panic) in [
        ("The hook for the end of a session panicked", "not saved"),
        (
            "The state of a session panicked when it was dropped",
            "still in use",
        ),
    ] {
        let is_it = |line: &&String| line.contains(message) && line.contains(panic);
        assert_eq!(lines.iter().filter(is_it).count(), 1, "{lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_that_take_too_long_are_cut_and_counted() {
    let log = Captured::start();
    let app = sessions(|session: Session, _| async move {
        if session.id().as_str() != "quick" {
            pending::<()>().await;
        }
    });
    let sessions = app.sessions();
    for id in ["slow", "slower", "quick"] {
        touch(sessions, id);
    }
    let began = Instant::now();
    sessions.begin_shutdown(Duration::from_mins(1));
    sessions.shutdown().await;
    assert_eq!(began.elapsed(), HOOK_TIME);
    settle().await;
    assert_eq!(tasks(), 0, "the clock has ended, and nothing goes on");
    let lines = log.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("take longer than 5s, ending without them (sessions: 2)")),
        "{lines:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_invocations_up_to_its_deadline() {
    for (leaves_after, ends_after) in [(3, 3), (60, 10)] {
        let (sender, mut ended) = mpsc::unbounded_channel();
        let app = sessions(move |_, reason| {
            let sender = sender.clone();
            async move { sender.send((reason, Instant::now())).unwrap() }
        });
        let lease = app.sessions().open(&name("a")).unwrap();
        tokio::spawn(async move {
            sleep(Duration::from_secs(leaves_after)).await;
            drop(lease);
        });
        let began = Instant::now();
        app.sessions().begin_shutdown(Duration::from_secs(10));
        assert_eq!(app.sessions().len(), 1, "its invocation goes on");
        app.sessions().shutdown().await;
        let (reason, at) = ended.recv().await.unwrap();
        assert_eq!(reason, EndReason::Shutdown);
        assert_eq!(at - began, Duration::from_secs(ends_after));
        assert!(app.sessions().is_empty());
        let refused = app.sessions().open(&name("a")).unwrap_err();
        assert_eq!(refused.error_type(), Some("ServerShutdown"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bounded_number_of_hooks_runs_at_a_time() {
    const SESSIONS: usize = 1_000;
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    static DONE: AtomicUsize = AtomicUsize::new(0);
    let app = sessions(|_, _| async {
        let running = RUNNING.fetch_add(1, Ordering::Relaxed) + 1;
        MOST.fetch_max(running, Ordering::Relaxed);
        sleep(Duration::from_millis(10)).await;
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        DONE.fetch_add(1, Ordering::Relaxed);
    });
    for number in 0..SESSIONS {
        touch(app.sessions(), &number.to_string());
    }
    app.sessions().shutdown().await;
    assert_eq!(DONE.load(Ordering::Relaxed), SESSIONS);
    assert_eq!(MOST.load(Ordering::Relaxed), 128);
}

#[tokio::test(start_paused = true)]
async fn one_clock_serves_all_sessions_and_ends_with_the_app() {
    let app = sessions(|_, _| ());
    for number in 0..1_000 {
        touch(app.sessions(), &number.to_string());
    }
    settle().await;
    assert_eq!(tasks(), 1);
    let handle = app.sessions().clone();
    assert_eq!(handle.len(), 1_000);
    drop(app);
    settle().await;
    assert_eq!(tasks(), 0);
    assert!(handle.is_empty(), "a handle keeps no sessions");
    assert!(!handle.end(&name("1")));
    assert!(handle.open(&name("1")).is_err());
}

#[tokio::test]
async fn an_app_that_is_dropped_leaks_nothing_though_its_parts_know_each_other() {
    /// State that holds its own session, and the app's sessions.
    struct Knows(#[expect(dead_code, reason = "held")] Session, Sessions);
    impl Drop for Knows {
        fn drop(&mut self) {
            self.1.end(&name("other"));
        }
    }
    let app = App::new(|payload: Value| payload);
    let sessions = app.sessions().clone();
    let (table, known) = (Arc::downgrade(&sessions.shared), sessions.clone());
    let app = app.on_session_end(move |_, _| {
        known.len();
    });
    app.sessions().start(&Handle::current());
    let lease = sessions.open(&name("a")).unwrap();
    let state = Knows(lease.session.clone(), sessions.clone());
    let state: Weak<Knows> = {
        lease.session.insert(state);
        Arc::downgrade(&lease.session.get::<Knows>().unwrap())
    };
    drop((app, lease, sessions));
    assert_eq!(state.strong_count(), 0);
    settle().await;
    assert_eq!(table.strong_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn copies_of_a_lease_keep_the_session_and_a_copy_of_the_session_does_not() {
    let limits = SessionLimits::default().idle_timeout(Duration::ZERO);
    let app = App::new(|payload: Value| payload).session_limits(limits);
    let sessions = app.sessions();
    let lease = sessions.open(&name("a")).unwrap();
    let (copy, session) = (lease.clone(), lease.session.clone());
    session.insert(1_u8);
    drop(lease);
    assert_eq!(sessions.len(), 1);
    drop(copy);
    assert_eq!(sessions.len(), 0);
    assert_eq!(session.get::<u8>(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_at_once_mix_no_sessions_up_and_lose_no_end() {
    const ROUNDS: usize = 2_000;
    let (made, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let ending = Arc::clone(&ended);
    let app = sessions(move |session: Session, _| {
        let owner = session.get::<SessionId>().unwrap();
        assert_eq!(&*owner, session.id());
        ending.fetch_add(1, Ordering::SeqCst);
    });
    let app = app.session_limits(SessionLimits::default().max_open(4));
    let sessions = app.sessions();
    std::thread::scope(|scope| {
        for thread in 0..6_usize {
            let made = &made;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let id = name(&((thread * 31 + round * 7) % 12).to_string());
                    // Six threads may find four sessions that all have an invocation.
                    let Ok(lease) = sessions.open(&id) else {
                        continue;
                    };
                    let owner = lease.session.get_or_init(|| {
                        made.fetch_add(1, Ordering::SeqCst);
                        id.clone()
                    });
                    assert_eq!(*owner, id);
                    assert!(sessions.len() <= 4);
                    if round % 5 == 0 {
                        sessions.end(&id);
                    }
                }
            });
        }
    });
    sessions.begin_shutdown(Duration::from_secs(20));
    sessions.shutdown().await;
    let ended = ended.load(Ordering::SeqCst);
    assert_eq!(ended, made.load(Ordering::SeqCst));
    assert!(ended > 100, "{ended}");
}
