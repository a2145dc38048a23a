//! Workers that die: one clear error for each open call, a fresh worker for the next, nothing made twice.

use agentcore_protocol::PingStatus;
use agentcore_runtime::{Agent, AgentStatus};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{BOTH, Fixture, next};

#[tokio::test]
async fn the_cause_is_told_and_the_next_call_has_a_fresh_worker() {
    for (mode, how, cause) in [
        ("thread", "kill", "signal 9 (SIGKILL)"),
        ("thread", "exit", "exit status 3"),
        ("thread", "segfault", "signal 11 (SIGSEGV)"),
        ("thread", "fork", "exit status 3"),
        ("loop", "kill", "signal 9 (SIGKILL)"),
        ("loop", "exit", "exit status 3"),
        ("loop", "fork", "exit status 3"),
    ] {
        let worker = Fixture::start(&[mode]);
        let first = worker.ask(json!({"do": "pid"})).await;
        let failure = worker.fail(json!({"do": "die", "how": how})).await;
        assert_eq!(
            failure.to_string(),
            format!("the agent's worker process ended: {cause}"),
            "{mode} {how}"
        );
        assert_eq!(failure.error_type(), Some("WorkerDied"));
        assert_eq!(failure.status(), 500);
        assert_eq!(
            worker.agent.status(),
            AgentStatus::Ready(PingStatus::Healthy)
        );

        let second = worker.ask(json!({"do": "pid"})).await;
        assert_ne!(first, second, "{mode} {how}");
    }
}

#[tokio::test]
async fn a_stream_ends_in_the_cause() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        let mut events = worker
            .stream(json!({"do": "dying-stream", "how": "kill"}))
            .await;
        assert_eq!(next(&mut events).await, 1);
        let failure = events.next().await.unwrap().unwrap_err();
        assert_eq!(
            failure.to_string(),
            "the agent's worker process ended: signal 9 (SIGKILL)"
        );
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn every_open_call_fails_once_and_none_is_made_again() {
    for mode in BOTH {
        let worker = Fixture::start(&[mode]);
        // All of them are in the worker before it dies: one of the nine is the one that kills it.
        let mut waiting: Vec<_> = (0..8)
            .map(|_| Box::pin(worker.fail(json!({"do": "wait"}))))
            .collect();
        let together = join_all(waiting.iter_mut());
        let death = async {
            worker.ask(json!({"do": "barrier", "n": 1})).await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            worker.fail(json!({"do": "die", "how": "kill"})).await
        };
        let (failures, failure) = tokio::join!(together, death);
        for failed in failures {
            assert_eq!(failed, failure, "{mode}");
        }
        // The fresh worker has had no call but this one.
        assert_eq!(worker.counter("calls").await, 1, "{mode}");
    }
}

#[tokio::test]
async fn many_deaths_under_load_lose_only_the_calls_inside() {
    let worker = Fixture::start(&["thread"]);
    let rounds = (0..4).map(async |number: usize| {
        let mut died = 0;
        for round in 0..12 {
            let body = if round % 4 == number {
                json!({"do": "die", "how": "exit"})
            } else {
                json!({"do": "echo"})
            };
            match worker.call(body).await {
                agentcore_runtime::Outcome::Json(_) => {}
                agentcore_runtime::Outcome::Failed(failure) => {
                    assert_eq!(failure.error_type(), Some("WorkerDied"), "{failure:?}");
                    died += 1;
                }
                _ => panic!("neither an answer nor a failure"),
            }
        }
        died
    });
    let died: Vec<i32> = join_all(rounds).await;
    assert!(
        died.iter().all(|died| *died >= 3),
        "each killed its worker three times: {died:?}"
    );
    assert_eq!(worker.ask(json!({"do": "echo"})).await["do"], "echo");
}
