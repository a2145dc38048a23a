//! Tests of the end of background tasks: told, awaited, cut and named.

use std::sync::mpsc;

use futures_util::FutureExt;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::{Instant, advance, sleep};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_shutdown_tells_the_tasks_and_waits_for_them() {
    let captured = Captured::start();
    let tasks = Tasks::default();
    let inner = tasks.clone();
    let handle = tasks.spawn_task("saves", async move {
        inner.stopping().await;
        sleep(Duration::from_secs(3)).await;
        "saved"
    });
    let id = tasks.add_async_task("manual");
    let inner = tasks.clone();
    let completing = async move {
        sleep(Duration::from_secs(5)).await;
        assert!(inner.is_stopping());
        inner.complete_async_task(id)
    };
    let began = Instant::now();
    let (completed, ()) = tokio::join!(completing, tasks.shutdown(Duration::from_secs(10)));
    assert!(completed);
    assert_eq!(began.elapsed(), Duration::from_secs(5), "and no longer");
    assert_eq!(handle.await, Ok("saved"));
    assert!(
        lines(&captured)
            .iter()
            .all(|line| !line.starts_with("WARN"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_the_grace_is_cut_and_named_in_one_line() {
    let captured = Captured::start();
    let tasks = Tasks::default();
    let (held, is_gone) = gone();
    let cut = tasks.spawn_task("deaf", async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    advance(Duration::from_millis(1500)).await;
    let _other = tasks.spawn_task("deaf too", std::future::pending::<()>());
    let id = tasks.add_async_task("manual");
    let guard = tasks.guard("guard");
    tasks.shutdown(Duration::from_secs(10)).await;
    assert!(
        is_gone.load(Ordering::Acquire),
        "dropped by the end of the shutdown"
    );
    assert_eq!(cut.now_or_never(), Some(Err(TaskError::Cut)));

    let refused = tasks.spawn_task("late", async { panic!("never begins") });
    assert!(refused.is_finished());
    assert_eq!(refused.await, Err::<(), _>(TaskError::Cut));
    assert!(tasks.complete_async_task(id), "the others can still end");
    drop(guard);
    let warnings: Vec<_> = lines(&captured)
        .into_iter()
        .filter(|line| line.starts_with("WARN"))
        .collect();
    assert_eq!(
        warnings,
        [
            "WARNING Background tasks took longer than the shutdown waits: \
             cut: deaf (11.500s), deaf too (10.000s); not completed: manual (10.000s), guard (10.000s)",
            "WARNING Async task not started, the server has shut down: late",
        ]
    );
    let completed = lines(&captured)
        .iter()
        .filter(|line| line.contains("completed: deaf"))
        .count();
    assert_eq!(completed, 0, "a task that was cut was not completed");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_blocks_its_thread_is_left_behind_and_named() {
    let captured = Captured::start();
    let tasks = Tasks::default();
    let threads = Runtime::new().unwrap();
    tasks.start(threads.handle());
    let (release, released) = mpsc::channel::<()>();
    let (entered, entering) = oneshot::channel();
    let stuck = tasks.spawn_task("stuck", async move {
        entered.send(()).unwrap();
        released.recv().is_err()
    });
    entering.await.unwrap();
    tasks.shutdown(Duration::from_secs(1)).await;
    let lines = lines(&captured);
    let warning = lines.last().unwrap();
    let start = "WARNING Background tasks took longer than the shutdown waits: blocked, left behind: stuck (";
    assert!(warning.starts_with(start), "{warning}");
    drop(release);
    assert_eq!(stuck.await, Ok(true), "it ends all the same");
    assert!(!tasks.is_busy());
    threads.shutdown_background();
}
