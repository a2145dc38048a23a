//! An agent whose work is done elsewhere: it hands out jobs, and its own ping handler says whether some are still open.
//!
//! There is no task in this process that could be counted, so the handler tells the status: `HealthyBusy` as long as a job
//! is open, so that the platform keeps the sandbox for its result.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use agentcore_runtime::{App, PingStatus, RunError};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Request {
    /// How long the job will take.
    seconds: u64,
}

/// The other service: it knows when its jobs will be done.
#[derive(Clone, Default)]
struct Jobs(Arc<Mutex<Vec<Instant>>>);

impl Jobs {
    fn begin(&self, time: Duration) {
        self.with(|ends| ends.push(Instant::now() + time));
    }

    fn open(&self) -> usize {
        self.with(|ends| {
            ends.retain(|end| *end > Instant::now());
            ends.len()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Instant>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[tokio::main]
async fn main() -> Result<(), RunError> {
    app(&Jobs::default()).run().await
}

fn app(jobs: &Jobs) -> App {
    let (told, asked) = (jobs.clone(), jobs.clone());
    App::new(move |request: Request| {
        let jobs = told.clone();
        async move { answer(&request, &jobs) }
    })
    .ping(move || status(asked.clone()))
}

fn answer(request: &Request, jobs: &Jobs) -> Value {
    jobs.begin(Duration::from_secs(request.seconds));
    json!({ "open": jobs.open() })
}

/// Asked by every ping, on a thread of its own; an `fn` would do as well where there is nothing to wait for.
async fn status(jobs: Jobs) -> Option<PingStatus> {
    // The other service takes its time to answer; after a second the ping would not wait any longer.
    tokio::time::sleep(Duration::from_millis(5)).await;
    // `None` leaves the answer to the background tasks, as if there were no handler.
    (jobs.open() > 0).then_some(PingStatus::HealthyBusy)
}

#[cfg(test)]
mod tests {
    use agentcore_runtime::TestAgent;

    use super::*;

    #[tokio::test]
    async fn an_open_job_keeps_the_agent_busy() {
        let agent = TestAgent::new(app(&Jobs::default()));
        let (status, since) = agent.ping().await;
        assert_eq!(status, PingStatus::Healthy);
        assert_eq!(agent.ping().await, (status, since), "nothing has changed");
        let answer = agent.invoke(json!({ "seconds": 3600 })).await;
        assert_eq!(answer.json(), json!({ "open": 1 }));
        assert_eq!(agent.ping().await.0, PingStatus::HealthyBusy);
    }
}
