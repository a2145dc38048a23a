//! When sessions of an app end: too idle, too old, to make room, at shutdown; and never under an open stream.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentcore_runtime::{App, Body, Context, EndReason, Router, SessionLimits, Threads};
use futures_util::{Stream, StreamExt, future, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use crate::sessions::{Calls, SESSION, call, count, end, named, tell, told};
use crate::support::{Answer, Server, expect, send};

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

#[tokio::test(start_paused = true)]
async fn a_background_task_keeps_its_session_open_and_the_idle_time_begins_when_it_ends() {
    let answer = async |_: Value, context: Context| {
        let work = sleep(Duration::from_hours(1));
        context.tasks().spawn_task("report", work);
    };
    let (app, mut ends) = told(App::new(answer).threads(Threads::Shared));
    let sessions = app.sessions().clone();
    let router = app.router();
    let began = Instant::now();
    assert_eq!(call(&router, "a").await, "null");
    sleep(Duration::from_mins(59)).await;
    assert_eq!(sessions.len(), 1, "nobody calls, and it works");
    assert_eq!(ends.recv().await.unwrap(), end("a", EndReason::Idle, 0));
    assert_eq!(began.elapsed(), Duration::from_mins(75));
    drop(router);
}

#[tokio::test]
async fn what_is_kept_of_an_invocation_does_not_keep_its_session() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&kept);
    let app = App::new(move |_: Value, context: Context| {
        let tasks = context.tasks().clone();
        context.session().unwrap().get_or_init(|| tasks.clone());
        keeps.lock().unwrap().push((context, tasks));
    });
    let limits = SessionLimits::default().idle_timeout(Duration::ZERO);
    let (app, mut ends) = told(app.session_limits(limits));
    let router = app.router();
    assert_eq!(send(router.clone(), named("a")).await.status, 200);
    let told = expect("the hook", ends.recv()).await.unwrap();
    assert_eq!(told, end("a", EndReason::Idle, 0));
    // What is begun by it later is a task all the same.
    let (_context, tasks) = kept.lock().unwrap().pop().unwrap();
    assert_eq!(tasks.spawn_task("late", async { 1 }).await.unwrap(), 1);
}
