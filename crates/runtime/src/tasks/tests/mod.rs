//! Tests of the background tasks: what ends them, and what the log says.

mod shutdown;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::{advance, sleep};

use super::*;
use crate::log::Captured;

/// The lines so far as `LEVEL message`, with `ID: N` for every id and the error behind it, if there is one.
fn lines(captured: &Captured) -> Vec<String> {
    let one = |line: String| {
        let line: Value = serde_json::from_str(&format!("{{{line}")).unwrap();
        let (level, text) = (&line["level"], line["message"].as_str().unwrap());
        let text = match text.split_once("ID: ") {
            Some((before, after)) => {
                let after = after.trim_start_matches(|it: char| it.is_ascii_digit());
                format!("{before}ID: N{after}")
            }
            None => text.to_owned(),
        };
        let error = match (&line["errorType"], &line["errorMessage"]) {
            (Value::String(kind), Value::String(said)) => format!(" [{kind}: {said}]"),
            _ => String::new(),
        };
        format!("{} {text}{error}", level.as_str().unwrap())
    };
    captured.lines().into_iter().map(one).collect()
}

/// Says when it is dropped.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn gone() -> (Gone, Arc<AtomicBool>) {
    let flag = Arc::new(AtomicBool::new(false));
    (Gone(Arc::clone(&flag)), flag)
}

#[tokio::test(start_paused = true)]
async fn a_manual_task_lasts_until_it_is_completed_and_only_once() {
    let captured = Captured::start();
    let tasks = Tasks::default();
    assert!(!tasks.is_busy());
    let id = tasks.add_async_task("import");
    assert!(tasks.is_busy());
    advance(Duration::from_millis(520)).await;
    assert!(tasks.complete_async_task(id));
    assert!(!tasks.is_busy());
    assert!(!tasks.complete_async_task(id));
    assert_eq!(
        lines(&captured),
        [
            "INFO Async task started: import (ID: N)",
            "INFO Async task completed: import (ID: N, Duration: 0.52s)",
            "WARNING Attempted to complete unknown task ID: N",
        ]
    );
    assert!(captured.lines()[0].contains(&format!("(ID: {id})")));
}

#[tokio::test(start_paused = true)]
async fn the_info_has_names_and_seconds_in_the_order_of_the_starts() {
    let tasks = Tasks::default();
    let mut ids = Vec::new();
    for name in ["b", "a", "b", "c"] {
        ids.push(tasks.add_async_task_with(name, json!({ "of": name })));
        advance(Duration::from_millis(250)).await;
    }
    assert_eq!(tasks.metadata(ids[1]), Some(json!({ "of": "a" })));
    assert!(tasks.complete_async_task(ids[1]));
    assert_eq!(tasks.metadata(ids[1]), None, "gone with its task");
    assert_eq!(
        serde_json::to_value(tasks.info()).unwrap(),
        json!({
            "active_count": 3,
            "running_jobs": [
                { "name": "b", "duration": 1.0 },
                { "name": "b", "duration": 0.5 },
                { "name": "c", "duration": 0.25 },
            ]
        })
    );
}

#[tokio::test]
async fn a_guard_ends_its_task_by_a_drop_a_panic_and_a_cancellation() {
    let tasks = Tasks::default();
    let guard = tasks.guard("scope");
    assert!(tasks.is_busy());
    drop(guard);
    assert!(!tasks.is_busy());

    let panics = || {
        let _guard = tasks.guard("panics");
        assert!(tasks.is_busy());
        panic!("on purpose");
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(!tasks.is_busy());

    let mut work = Box::pin(async {
        let _guard = tasks.guard("cancelled");
        std::future::pending::<()>().await;
    });
    assert!(futures_util::poll!(&mut work).is_pending());
    assert!(tasks.is_busy());
    drop(work);
    assert!(!tasks.is_busy());
}

#[tokio::test]
async fn only_a_manual_task_can_be_completed_by_its_id() {
    let tasks = Tasks::default();
    let guard = tasks.guard("guard");
    let spawned = tasks.spawn_task("spawned", std::future::pending::<()>());
    for id in tasks.shared.list(|id, _| id) {
        assert!(!tasks.complete_async_task(id));
    }
    assert_eq!(tasks.info().active_count, 2);
    drop((guard, spawned));
}

#[tokio::test(start_paused = true)]
async fn a_spawned_task_has_a_result_and_its_lines() {
    let captured = Captured::start();
    let tasks = Tasks::default();
    let handle = tasks.spawn_task("sum", async {
        sleep(Duration::from_secs(2)).await;
        1 + 1
    });
    assert!(tasks.is_busy() && !handle.is_finished());
    assert_eq!(handle.await, Ok(2));
    assert!(!tasks.is_busy(), "gone before its result is told");
    assert_eq!(
        lines(&captured),
        [
            "INFO Async task started: sum (ID: N)",
            "DEBUG Starting async task: sum",
            "INFO Async task completed: sum (2.000s)",
            "INFO Async task completed: sum (ID: N, Duration: 2.00s)",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_fails_is_logged_with_its_error() {
    let captured = Captured::start();
    let tasks = Tasks::default();
    let panicked = tasks.spawn_task("n", async { panic!("boom") }).await;
    let said = "the agent panicked: boom".to_owned();
    assert_eq!(panicked, Err::<(), _>(TaskError::Panicked(said)));

    let typed = async { Err::<(), _>(fmt::Error) };
    assert_eq!(
        tasks.spawn_fallible_task("n", typed).await,
        Ok(Err(fmt::Error))
    );
    let boxed = async { Err::<(), Box<dyn std::error::Error + Send + Sync>>("boxed".into()) };
    assert!(
        tasks
            .spawn_fallible_task("n", boxed)
            .await
            .unwrap()
            .is_err()
    );
    let text = async { Err::<(), _>("a text".to_owned()) };
    assert!(tasks.spawn_fallible_task("n", text).await.unwrap().is_err());
    let fine = async { Ok::<_, &'static str>(7) };
    assert_eq!(tasks.spawn_fallible_task("n", fine).await, Ok(Ok(7)));

    let lines = lines(&captured);
    let ends: Vec<_> = lines.iter().skip(2).step_by(4).collect();
    assert_eq!(
        ends,
        [
            "ERROR Async task failed: n (0.000s) [Panic: the agent panicked: boom]",
            "ERROR Async task failed: n (0.000s) [Error: an error occurred when formatting an argument]",
            "ERROR Async task failed: n (0.000s) [Error: boxed]",
            "ERROR Async task failed: n (0.000s) [Error: a text]",
            "INFO Async task completed: n (0.000s)",
        ]
    );
    assert_eq!(lines.len(), 20, "and each is completed: {lines:#?}");
    assert!(!tasks.is_busy());
}

#[tokio::test]
async fn a_task_goes_on_without_its_handle_and_ends_by_abort() {
    let tasks = Tasks::default();
    let (tell, told) = tokio::sync::oneshot::channel();
    drop(tasks.spawn_task("left", async move { tell.send(()) }));
    told.await.unwrap();

    let (held, is_gone) = gone();
    let handle = tasks.spawn_task("aborted", async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    handle.abort();
    assert_eq!(handle.await, Err(TaskError::Cut));
    assert!(is_gone.load(Ordering::Acquire));
    assert!(!tasks.is_busy());
}

#[tokio::test]
async fn the_lines_of_a_task_carry_the_ids_of_the_invocation_that_started_it() {
    let captured = Captured::start();
    let tasks = Tasks::default();
    let span = tracing::error_span!(
        target: LOGGER, crate::log::INVOCATION, request_id = "r-1", session_id = "s-1"
    );
    let (id, handle) = span.in_scope(|| {
        let work = async {
            tokio::task::yield_now().await;
            tracing::info!(target: "my_agent", "from within");
        };
        (
            tasks.add_async_task("manual"),
            tasks.spawn_task("own", work),
        )
    });
    let other = tracing::error_span!(
        target: LOGGER, crate::log::INVOCATION, request_id = "r-2", session_id = "s-2"
    );
    other.in_scope(|| tasks.complete_async_task(id));
    handle.await.unwrap();
    let lines = captured.lines();
    assert_eq!(lines.len(), 7);
    for line in lines {
        assert!(
            line.contains(r#""requestId": "r-1", "sessionId": "s-1""#),
            "{line}"
        );
    }
}

#[test]
fn a_task_that_is_spawned_before_there_is_a_runtime_waits_for_the_app() {
    let tasks = Tasks::default();
    let handle = tasks.spawn_task("early", async { tokio::spawn(async { 5 }).await });
    assert!(tasks.is_busy() && !handle.is_finished());
    let runtime = Runtime::new().unwrap();
    tasks.start(runtime.handle());
    assert_eq!(runtime.block_on(handle).unwrap().unwrap(), 5);
}

#[test]
fn a_task_whose_threads_end_is_cut_and_no_longer_counts() {
    let tasks = Tasks::default();
    let runtime = Runtime::new().unwrap();
    tasks.start(runtime.handle());
    let handle = tasks.spawn_task("orphan", std::future::pending::<()>());
    drop(runtime);
    assert!(!tasks.is_busy());
    assert_eq!(handle.now_or_never(), Some(Err(TaskError::Cut)));
}
