//! Sessions of an app as its invocations see them: state, ends and their hook, eviction, limits of time, shutdown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agentcore_runtime::{
    App, Body, Context, EndReason, Router, Session, SessionId, SessionLimits, Sessions, Threads,
};
use futures_util::{Stream, StreamExt, future, stream};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Notify, mpsc};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use crate::support::{Answer, Server, expect, send};

const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// How often a session was called.
#[derive(Default)]
struct Calls(AtomicUsize);

impl Calls {
    fn count(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

async fn count(_: Value, context: Context) -> Option<usize> {
    Some(context.session()?.get_or_init(Calls::default).count())
}

fn named(id: &str) -> Request<Body> {
    let request = Request::post("/invocations").header(SESSION, id);
    request.body(Body::from("1")).unwrap()
}

fn id(id: &str) -> SessionId {
    id.parse().unwrap()
}

/// Calls an app that counts.
async fn call(router: &Router, id: &str) -> String {
    expect("an answer", send(router.clone(), named(id)))
        .await
        .body
}

/// The sessions that ended: which, why, and how often each was called.
type Ends = mpsc::UnboundedReceiver<(String, EndReason, usize)>;

/// Adds an asynchronous hook that tells the test of each end.
fn told(app: App) -> (App, Ends) {
    let (sender, ends) = mpsc::unbounded_channel();
    let app = app.on_session_end(move |session: Session, reason| {
        let sender = sender.clone();
        async move { tell(&sender, &session, reason) }
    });
    (app, ends)
}

fn tell(
    sender: &mpsc::UnboundedSender<(String, EndReason, usize)>,
    session: &Session,
    reason: EndReason,
) {
    let calls = session.get::<Calls>();
    let calls = calls.map_or(0, |calls| calls.0.load(Ordering::Relaxed));
    let _ = sender.send((session.id().to_string(), reason, calls));
}

fn end(id: &str, reason: EndReason, calls: usize) -> (String, EndReason, usize) {
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

/// An app that streams how often its session was called, and then waits for the test.
fn held_streams(limits: SessionLimits) -> (App, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let waiting = Arc::clone(&go_on);
    let streamed = move |_: Value, context: Context| counts(&context, Arc::clone(&waiting));
    (App::streaming(streamed).session_limits(limits), go_on)
}

fn counts(context: &Context, go_on: Arc<Notify>) -> impl Stream<Item = usize> + Send + use<> {
    let session = context.session().unwrap().clone();
    let first = session.get_or_init(Calls::default).count();
    let later = async move {
        go_on.notified().await;
        session.get_or_init(Calls::default).count()
    };
    stream::iter([first]).chain(stream::once(later))
}

/// Opens a stream and reads its first event.
async fn open(router: &Router, id: &str) -> (String, Body) {
    let answer = router.clone().oneshot(named(id)).await.unwrap();
    let mut body = Body::new(answer.into_body());
    let frame = body.frame().await.unwrap().unwrap();
    let first = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    (first, body)
}

async fn rest(body: Body) -> String {
    let rest = body.collect().await.unwrap().to_bytes();
    String::from_utf8(rest.to_vec()).unwrap()
}

#[tokio::test]
async fn a_session_with_an_open_stream_is_not_evicted() {
    let (app, go_on) = held_streams(SessionLimits::default().max_open(1));
    let (app, mut ends) = told(app);
    let router = app.router();
    let (first, body) = open(&router, "a").await;
    assert_eq!(first, "data: 1\n\n");
    let Answer {
        status,
        body: refusal,
        ..
    } = send(router.clone(), named("b")).await;
    assert_eq!(status, 503);
    assert_eq!(
        serde_json::from_str::<Value>(&refusal).unwrap(),
        json!({
            "error": "too many sessions are open",
            "error_type": "TooManySessions",
            "details": "each has an invocation; try again when one has ended",
        })
    );
    go_on.notify_one();
    assert_eq!(rest(body).await, "data: 2\n\n");
    let (first, _body) = open(&router, "b").await;
    assert_eq!(first, "data: 1\n\n");
    let told = expect("the hook", ends.recv()).await.unwrap();
    assert_eq!(told, end("a", EndReason::Evicted, 2));
}

#[tokio::test]
async fn a_caller_who_leaves_a_stream_gives_the_session_back() {
    let (app, _) = held_streams(SessionLimits::default().idle_timeout(Duration::ZERO));
    let (app, mut ends) = told(app);
    let router = app.router();
    let (_, body) = open(&router, "a").await;
    assert!(ends.try_recv().is_err());
    drop(body);
    let told = expect("the hook", ends.recv()).await.unwrap();
    assert_eq!(told, end("a", EndReason::Idle, 1));
}

#[tokio::test]
async fn sessions_that_nobody_asks_for_end_by_themselves() {
    let limits = SessionLimits::default().idle_timeout(Duration::from_millis(20));
    let (app, mut ends) = told(App::new(count).session_limits(limits));
    let router = app.router();
    for _ in 0..2 {
        assert_eq!(call(&router, "a").await, "1");
        let told = expect("the hook", ends.recv()).await.unwrap();
        assert_eq!(told, end("a", EndReason::Idle, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_after_fifteen_minutes_without_an_invocation() {
    let (app, mut ends) = told(App::new(count).threads(Threads::Shared));
    let sessions = app.sessions().clone();
    let router = app.router();
    for pause in [0, 14, 14] {
        sleep(Duration::from_mins(pause)).await;
        send(router.clone(), named("a")).await;
    }
    let last = Instant::now();
    assert_eq!(ends.recv().await.unwrap(), end("a", EndReason::Idle, 3));
    assert_eq!(last.elapsed(), Duration::from_mins(15));
    assert!(sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_after_eight_hours_however_busy_it_is() {
    let (app, mut ends) = told(App::new(count).threads(Threads::Shared));
    let router = app.router();
    let began = Instant::now();
    let mut calls = 0;
    let told = loop {
        calls += 1;
        let answer = send(router.clone(), named("a")).await;
        assert_eq!(answer.body, calls.to_string());
        tokio::select! {
            told = ends.recv() => break told.unwrap(),
            () = sleep(Duration::from_mins(7)) => {}
        }
    };
    assert_eq!(told, end("a", EndReason::Lifetime, calls));
    assert_eq!(began.elapsed(), Duration::from_hours(8));
    assert_eq!(send(router, named("a")).await.body, "1");
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_the_state_of_a_session_that_is_too_old() {
    let limits = SessionLimits::default().max_lifetime(Duration::from_mins(2));
    let (app, go_on) = held_streams(limits);
    let (app, mut ends) = told(app.threads(Threads::Shared));
    let router = app.router();
    let (_, old) = open(&router, "a").await;
    sleep(Duration::from_mins(3)).await;
    let (first, new) = open(&router, "a").await;
    assert_eq!(first, "data: 1\n\n", "a new session");
    assert!(ends.try_recv().is_err());
    // The first that waits is the first that is told.
    go_on.notify_one();
    assert_eq!(rest(old).await, "data: 2\n\n");
    assert_eq!(ends.recv().await.unwrap(), end("a", EndReason::Lifetime, 2));
    go_on.notify_one();
    assert_eq!(rest(new).await, "data: 2\n\n");
    assert_eq!(ends.recv().await.unwrap(), end("a", EndReason::Lifetime, 2));
}

#[tokio::test]
async fn shutdown_ends_every_session_and_waits_for_the_hooks() {
    let (sender, mut ends) = mpsc::unbounded_channel();
    let app = App::new(count).on_session_end(move |session, reason| {
        let sender = sender.clone();
        async move {
            sleep(Duration::from_millis(50)).await;
            tell(&sender, &session, reason);
        }
    });
    let server = Server::start(app).await;
    let client = reqwest::Client::new();
    for id in ["a", "b", "c"] {
        let call = client.post(server.url("/invocations")).header(SESSION, id);
        assert_eq!(call.body("1").send().await.unwrap().status(), 200);
    }
    expect("the server to end", server.stop())
        .await
        .unwrap()
        .unwrap();
    let mut told: Vec<_> = std::iter::from_fn(|| ends.try_recv().ok()).collect();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let all = ["a", "b", "c"].map(|id| end(id, EndReason::Shutdown, 1));
    assert_eq!(told, all);
}

#[tokio::test]
async fn at_shutdown_a_stream_keeps_its_session_to_its_end() {
    let (app, go_on) = held_streams(SessionLimits::default());
    let (app, mut ends) = told(app);
    let server = Server::start(app).await;
    let client = reqwest::Client::new();
    let open = async |id: &str| {
        let call = client.post(server.url("/invocations")).header(SESSION, id);
        let mut answer = call.body("1").send().await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 1\n\n");
        answer
    };
    let idle = open("idle").await;
    go_on.notify_one();
    assert_eq!(idle.text().await.unwrap(), "data: 2\n\n");
    let streams = open("streams").await;
    let serving = server.stop();
    let told = expect("the idle session to end", ends.recv())
        .await
        .unwrap();
    assert_eq!(told, end("idle", EndReason::Shutdown, 2));
    go_on.notify_one();
    assert_eq!(streams.text().await.unwrap(), "data: 2\n\n");
    let told = expect("the other to end", ends.recv()).await.unwrap();
    assert_eq!(told, end("streams", EndReason::Shutdown, 2));
    expect("the server to end", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hook_that_never_ends_holds_up_no_shutdown() {
    let app = App::new(count)
        .drain(Duration::from_millis(200))
        .on_session_end(|_, _| future::pending());
    let server = Server::start(app).await;
    let call = reqwest::Client::new().post(server.url("/invocations"));
    let answer = call.header(SESSION, "a").body("1").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "1");
    expect("the server to end", server.stop())
        .await
        .unwrap()
        .unwrap();
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
