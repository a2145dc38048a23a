//! Background tasks as handlers use them: guards under panics and disconnects, many tasks at once, and the end of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agentcore_runtime::{App, Context, PingStatus, TaskError, Tasks};
use futures_util::{StreamExt, future, stream};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use crate::support::{Dropped, Server, expect, invocation, send};

/// Waits until no task is left, and fails the test if that does not happen.
async fn until_idle(tasks: &Tasks) {
    let idle = async {
        while tasks.info().active_count > 0 {
            tokio::task::yield_now().await;
        }
    };
    expect("the tasks to end", idle).await;
}

#[tokio::test]
async fn a_spawned_task_outlives_its_invocation_and_keeps_the_app_busy() {
    let go_on = Arc::new(Notify::new());
    let signal = Arc::clone(&go_on);
    let app = App::new(move |name: String, context: Context| {
        let go_on = Arc::clone(&signal);
        let work = async move { go_on.notified().await };
        context.tasks().spawn_task(name, work);
        async { "accepted" }
    });
    let (tasks, health) = (app.tasks().clone(), app.health().clone());
    // Kept, because the agent's threads end with it.
    let router = app.router();
    let answer = send(router.clone(), invocation("\"import\"")).await;
    assert_eq!(answer.body, "\"accepted\"");
    assert_eq!(health.current_ping_status(), PingStatus::HealthyBusy);
    assert_eq!(tasks.info().running_jobs[0].name, "import");
    go_on.notify_one();
    until_idle(&tasks).await;
    assert_eq!(health.current_ping_status(), PingStatus::Healthy);
    drop(router);
}

#[tokio::test]
async fn a_guard_in_a_handler_is_released_by_a_panic() {
    let app = App::new(|_: Value, context: Context| async move {
        let _task = context.tasks().guard("panics");
        assert_eq!(context.tasks().info().active_count, 2, "on purpose");
    });
    let tasks = app.tasks().clone();
    let answer = send(app.router(), invocation("1")).await;
    assert_eq!(answer.status, 500);
    assert_eq!(tasks.info().active_count, 0);
}

#[tokio::test]
async fn a_guard_in_a_stream_is_released_when_the_caller_leaves() {
    let app = App::streaming(|_: Value, context: Context| {
        let task = context.tasks().guard("stream");
        stream::iter([1])
            .chain(stream::pending())
            .inspect(move |_| {
                let _held = &task;
            })
    });
    let tasks = app.tasks().clone();
    let server = Server::start(app).await;
    let call = reqwest::Client::new().post(server.url("/invocations"));
    let mut answer = call.body("1").send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    assert_eq!(tasks.info().active_count, 1);
    drop(answer);
    until_idle(&tasks).await;
}

#[tokio::test]
async fn a_hundred_tasks_run_together() {
    const COUNT: usize = 100;
    let gate = Arc::new(Semaphore::new(0));
    let inner = Arc::clone(&gate);
    let app = App::new(move |number: usize, context: Context| {
        let gate = Arc::clone(&inner);
        let work = async move { gate.acquire_owned().await.is_ok() };
        context.tasks().spawn_task(format!("task-{number}"), work);
        async { "started" }
    });
    let tasks = app.tasks().clone();
    let router = app.router();
    let calls = (0..COUNT).map(|number| send(router.clone(), invocation(&number.to_string())));
    for answer in future::join_all(calls).await {
        assert_eq!(answer.status, 200);
    }
    let info = tasks.info();
    assert_eq!(info.active_count, COUNT);
    let mut names: Vec<_> = info.running_jobs.iter().map(|job| &job.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), COUNT);
    assert!(
        info.running_jobs
            .is_sorted_by(|one, two| one.duration >= two.duration)
    );
    gate.add_permits(COUNT);
    until_idle(&tasks).await;
}

#[tokio::test]
async fn manual_tasks_may_begin_and_end_on_any_thread() {
    let tasks = Tasks::default();
    let work = |_| {
        let tasks = tasks.clone();
        tokio::task::spawn_blocking(move || {
            let ids: Vec<_> = (0..100).map(|_| tasks.add_async_task("t")).collect();
            ids.into_iter().all(|id| tasks.complete_async_task(id))
        })
    };
    for completed in future::join_all((0..8).map(work)).await {
        assert!(completed.unwrap());
    }
    assert_eq!(tasks.info().active_count, 0);
}

#[tokio::test]
async fn a_server_that_ends_tells_the_tasks_and_waits_for_them() {
    let saved = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&saved);
    let app = App::new(move |_: Value, context: Context| {
        let (tasks, saved) = (context.tasks().clone(), Arc::clone(&counted));
        let stopping = tasks.stopping();
        tasks.spawn_task("saves", async move {
            stopping.await;
            saved.fetch_add(1, Ordering::Relaxed);
        });
        async { json!(null) }
    });
    // Longer than the test would wait: the server ends because the tasks do.
    let server = Server::start(app.drain(Duration::from_hours(1))).await;
    let call = reqwest::Client::new().post(server.url("/invocations"));
    assert_eq!(call.body("1").send().await.unwrap().status(), 200);
    expect("the server to end", server.stop())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(saved.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_task_that_is_begun_by_the_last_invocation_is_awaited_too() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let done = Arc::new(AtomicUsize::new(0));
    let (entering, going, counted) = (entered.clone(), go_on.clone(), done.clone());
    let app = App::new(move |_: Value, context: Context| {
        let (entered, go_on, done) = (entering.clone(), going.clone(), counted.clone());
        async move {
            entered.notify_one();
            go_on.notified().await;
            context.tasks().spawn_task("late", async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    let tasks = app.tasks().clone();
    let server = Server::start(app.drain(Duration::from_hours(1))).await;
    let call = reqwest::Client::new().post(server.url("/invocations"));
    let call = tokio::spawn(call.body("1").send());
    expect("the handler to begin", entered.notified()).await;
    let serving = server.stop();
    expect("the tasks to be told", tasks.stopping()).await;
    go_on.notify_one();
    assert_eq!(
        expect("the answer", call).await.unwrap().unwrap().status(),
        200
    );
    expect("the server to end", serving).await.unwrap().unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_task_that_a_stream_begins_during_the_drain_is_awaited_too() {
    let (go_on, done) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (going, counted) = (go_on.clone(), done.clone());
    let app = App::streaming(move |_: Value, context: Context| {
        let (go_on, done) = (going.clone(), counted.clone());
        let last = async move {
            go_on.notified().await;
            context.tasks().spawn_task("save", async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                done.fetch_add(1, Ordering::Relaxed);
            });
            "last"
        };
        stream::iter(["first"]).chain(stream::once(last))
    });
    let tasks = app.tasks().clone();
    let server = Server::start(app.drain(Duration::from_hours(1))).await;
    let call = reqwest::Client::new().post(server.url("/invocations"));
    let mut answer = call.body("1").send().await.unwrap();
    assert_eq!(
        answer.chunk().await.unwrap().unwrap(),
        "data: \"first\"\n\n"
    );
    let serving = server.stop();
    expect("the tasks to be told", tasks.stopping()).await;
    // Long enough for a shutdown that finds no task to be through with them.
    tokio::time::sleep(Duration::from_millis(50)).await;
    go_on.notify_one();
    assert_eq!(answer.text().await.unwrap(), "data: \"last\"\n\n");
    expect("the server to end", serving).await.unwrap().unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_task_that_does_not_listen_is_cut_within_the_grace() {
    let dropped = Arc::new(Notify::new());
    let held = Dropped(Arc::clone(&dropped));
    let app = App::new(async |payload: Value| payload).drain(Duration::from_millis(100));
    let tasks = app.tasks().clone();
    let server = Server::start(app).await;
    let task = tasks.spawn_task("deaf", async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    let began = Instant::now();
    expect("the server to end", server.stop())
        .await
        .unwrap()
        .unwrap();
    assert!(
        began.elapsed() >= Duration::from_millis(100),
        "not before the grace is over"
    );
    expect("the task's end", dropped.notified()).await;
    assert_eq!(expect("the handle", task).await, Err(TaskError::Cut));
}
