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
