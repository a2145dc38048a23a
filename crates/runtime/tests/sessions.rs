//! Sessions of an app as its invocations see them: their state, and the hook at their end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use agentcore_runtime::{
    App, Body, Context, EndReason, Router, Session, SessionId, SessionLimits, Sessions,
};
use futures_util::future;
use http::Request;
use serde_json::Value;
use tokio::sync::{Barrier, mpsc};

use crate::support::{expect, send};

pub(crate) const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// How often a session was called.
#[derive(Default)]
pub(crate) struct Calls(AtomicUsize);

impl Calls {
    pub(crate) fn count(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

pub(crate) async fn count(_: Value, context: Context) -> Option<usize> {
    Some(context.session()?.get_or_init(Calls::default).count())
}

pub(crate) fn named(id: &str) -> Request<Body> {
    let request = Request::post("/invocations").header(SESSION, id);
    request.body(Body::from("1")).unwrap()
}

fn id(id: &str) -> SessionId {
    id.parse().unwrap()
}

/// Calls an app that counts.
pub(crate) async fn call(router: &Router, id: &str) -> String {
    expect("an answer", send(router.clone(), named(id)))
        .await
        .body
}

/// The sessions that ended: which, why, and how often each was called.
pub(crate) type Ends = mpsc::UnboundedReceiver<(String, EndReason, usize)>;

/// Adds an asynchronous hook that tells the test of each end.
pub(crate) fn told(app: App) -> (App, Ends) {
    let (sender, ends) = mpsc::unbounded_channel();
    let app = app.on_session_end(move |session: Session, reason| {
        let sender = sender.clone();
        async move { tell(&sender, &session, reason) }
    });
    (app, ends)
}

pub(crate) fn tell(
    sender: &mpsc::UnboundedSender<(String, EndReason, usize)>,
    session: &Session,
    reason: EndReason,
) {
    let calls = session.get::<Calls>();
    let calls = calls.map_or(0, |calls| calls.0.load(Ordering::Relaxed));
    let _ = sender.send((session.id().to_string(), reason, calls));
}

pub(crate) fn end(id: &str, reason: EndReason, calls: usize) -> (String, EndReason, usize) {
    (id.to_owned(), reason, calls)
}

fn is_agents_thread() -> bool {
    std::thread::current().name() == Some("agent")
}

#[tokio::test]
async fn state_survives_between_invocations_and_no_session_sees_anothers() {
    let app = App::new(count);
    let sessions = app.sessions().clone();
    let router = app.router();
    for (id, count) in [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("b", "2")] {
        assert_eq!(call(&router, id).await, count, "{id}");
    }
    assert_eq!(sessions.len(), 2);
    assert!(sessions.end(&id("a")) && !sessions.end(&id("a")));
    assert_eq!(call(&router, "a").await, "1", "a new session");
    assert_eq!(call(&router, "b").await, "3");
}

#[tokio::test]
async fn a_plain_function_has_the_session_too() {
    let router = App::new(|_: Value, context: Context| {
        let session = context.session().unwrap();
        let before = session.insert(context.request_id().to_owned());
        before.is_some()
    })
    .router();
    assert_eq!(call(&router, "a").await, "false");
    assert_eq!(call(&router, "a").await, "true");
}

#[tokio::test]
async fn without_a_session_id_there_is_no_session() {
    let app = App::new(count);
    let sessions = app.sessions().clone();
    let router = app.router();
    assert_eq!(call(&router, "").await, "null");
    let request = Request::post("/invocations").body(Body::from("1")).unwrap();
    assert_eq!(send(router, request).await.body, "null");
    assert!(sessions.is_empty());
}

#[tokio::test]
async fn invocations_at_the_same_time_share_one_value() {
    const CALLS: usize = 32;
    let (made, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(CALLS)));
    let making = Arc::clone(&made);
    let router = App::new(move |_: Value, context: Context| {
        let (made, all) = (Arc::clone(&making), Arc::clone(&all));
        async move {
            all.wait().await;
            let calls = context.session().unwrap().get_or_init(|| {
                made.fetch_add(1, Ordering::Relaxed);
                Calls::default()
            });
            calls.count()
        }
    })
    .router();
    let calls = (0..CALLS).map(|_| call(&router, "a"));
    let mut counts: Vec<usize> = future::join_all(calls)
        .await
        .iter()
        .map(|count| count.parse().unwrap())
        .collect();
    counts.sort_unstable();
    assert!(counts.into_iter().eq(1..=CALLS));
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn hooks_of_either_kind_get_the_state_and_a_panic_ends_nothing_else() {
    let (sender, ends) = mpsc::unbounded_channel();
    let plain = App::new(count).on_session_end(move |session: Session, reason: EndReason| {
        assert_ne!(session.id().as_str(), "bad");
        assert!(is_agents_thread());
        tell(&sender, &session, reason);
    });
    let (sender, other_ends) = mpsc::unbounded_channel();
    let later = App::new(count).on_session_end(move |session: Session, reason| {
        assert_ne!(session.id().as_str(), "worse");
        let sender = sender.clone();
        async move {
            tokio::task::yield_now().await;
            assert_ne!(session.id().as_str(), "bad");
            assert!(is_agents_thread());
            tell(&sender, &session, reason);
        }
    });
    for (app, mut ends) in [(plain, ends), (later, other_ends)] {
        let sessions = app.sessions().clone();
        let router = app.router();
        for id in ["bad", "worse", "good", "good"] {
            call(&router, id).await;
        }
        for bad in ["bad", "worse"] {
            assert!(sessions.end(&id(bad)));
        }
        assert!(sessions.end(&id("good")));
        loop {
            let told = expect("the hook", ends.recv()).await.unwrap();
            if told == end("good", EndReason::Ended, 2) {
                break;
            }
            assert_eq!(told, end("worse", EndReason::Ended, 1));
        }
        assert_eq!(call(&router, "bad").await, "1");
    }
}

#[tokio::test]
async fn an_invocation_may_end_its_own_session_and_keeps_its_state() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let slot = Arc::new(OnceLock::<Sessions>::new());
    let filled = Arc::clone(&slot);
    let app = App::new(move |_: Value, context: Context| {
        let session = context.session().unwrap();
        session.get_or_init(Calls::default).count();
        assert!(filled.get().unwrap().end(session.id()));
        session.get_or_init(Calls::default).count()
    });
    let app = app.on_session_end(move |session: Session, reason: EndReason| {
        tell(&sender, &session, reason);
    });
    slot.set(app.sessions().clone()).unwrap();
    let router = app.router();
    assert_eq!(call(&router, "a").await, "2");
    let told = expect("the hook", ends.recv()).await.unwrap();
    assert_eq!(told, end("a", EndReason::Ended, 2));
    assert_eq!(call(&router, "a").await, "2", "a new session");
}

#[tokio::test]
async fn state_may_look_at_the_sessions_when_it_is_dropped() {
    struct Last(Sessions, mpsc::UnboundedSender<bool>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.end(&id("other"));
            assert!(self.0.len() <= 2);
            let _ = self.1.send(is_agents_thread());
        }
    }
    let (sender, mut dropped) = mpsc::unbounded_channel();
    let slot = Arc::new(OnceLock::<Sessions>::new());
    let filled = Arc::clone(&slot);
    let app = App::new(move |_: Value, context: Context| {
        let sessions = filled.get().unwrap().clone();
        let session = context.session().unwrap();
        session.insert(Last(sessions, sender.clone())).is_some()
    });
    slot.set(app.sessions().clone()).unwrap();
    let sessions = app.sessions().clone();
    let router = app
        .session_limits(SessionLimits::default().max_open(2))
        .router();
    call(&router, "other").await;
    call(&router, "a").await;
    call(&router, "b").await;
    let is_agents = expect("the evicted one's", dropped.recv()).await;
    assert_eq!(is_agents, Some(true));
    assert!(sessions.end(&id("a")));
    let is_agents = expect("the ended one's", dropped.recv()).await;
    assert_eq!(is_agents, Some(true));
    drop(router);
    expect("the last one's", dropped.recv()).await.unwrap();
    assert!(sessions.is_empty());
}
