//! An agent that works in the background: it answers at once, and writes its report after that.
//!
//! As long as the report is being written, `/ping` says `HealthyBusy`, so that the platform leaves the sandbox alone though
//! nobody calls. When the server shuts down, the task hears of it and ends in an orderly way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentcore_runtime::{App, Context, RunError, Tasks};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long a page takes.
const PAGE: Duration = Duration::from_millis(100);

/// How many pages were written so far.
static PAGES: AtomicU64 = AtomicU64::new(0);

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Request {
    Write { pages: u64 },
    State,
}

#[tokio::main]
async fn main() -> Result<(), RunError> {
    App::new(answer).run().await
}

async fn answer(request: Request, context: Context) -> Value {
    let tasks = context.tasks();
    match request {
        Request::Write { pages } => {
            tasks.spawn_task("report", write(pages, tasks.clone()));
            json!({ "accepted": pages })
        }
        Request::State => json!({
            "pages": PAGES.load(Ordering::Relaxed),
            "tasks": tasks.info(),
        }),
    }
}

async fn write(pages: u64, tasks: Tasks) {
    for page in 1..=pages {
        tokio::select! {
            () = tokio::time::sleep(PAGE) => PAGES.fetch_add(1, Ordering::Relaxed),
            () = tasks.stopping() => {
                tracing::info!("Stopping before page {page} of {pages}");
                return;
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use agentcore_runtime::{PingStatus, TestAgent};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_report_is_written_after_the_answer_and_keeps_the_agent_busy() {
        let agent = TestAgent::new(App::new(answer));
        let accepted = agent.invoke(json!({ "action": "write", "pages": 2 })).await;
        assert_eq!(accepted.json(), json!({ "accepted": 2 }));
        assert_eq!(agent.ping().await.0, PingStatus::HealthyBusy);
        let state = agent.invoke(json!({ "action": "state" })).await.json();
        assert_eq!(state["tasks"]["running_jobs"][0]["name"], "report");
        while agent.ping().await.0 == PingStatus::HealthyBusy {
            tokio::task::yield_now().await;
        }
        let state = agent.invoke(json!({ "action": "state" })).await.json();
        assert_eq!(state["tasks"]["active_count"], 0);
        assert!(state["pages"].as_u64() >= Some(2), "{state}");
    }

    #[tokio::test]
    async fn a_report_of_an_hour_does_not_hold_up_the_end() {
        let app = App::new(answer);
        let tasks = app.tasks().clone();
        tasks.spawn_task("report", write(36_000, tasks.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port of this machine");
        let served = app.serve(listener, std::future::ready(())).await;
        served.expect("the server to end in order");
        assert_eq!(tasks.info().active_count, 0);
        assert!(tasks.is_stopping());
    }
}
