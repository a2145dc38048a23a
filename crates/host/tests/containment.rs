//! What real Python agents do to their process: each ends as a clear error, and the next request is answered.

use std::num::NonZeroUsize;
use std::time::Duration;

use agentcore_host::Capacity;
use agentcore_runtime::{Agent, Context, Invocation};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::served::Served;
use crate::support::{Fixture, eventually};

const DEADLY: &str = r#"
import asyncio, ctypes, os, signal, sys, threading
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
gate = threading.Event()


class Deep:
    def __getattr__(self, name):
        return getattr(self, name)


def end(how):
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "abort":
        os.abort()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "overflow":
        sys.setrecursionlimit(2**31 - 1)
        return Deep().anything
    if how == "sys.exit":
        sys.exit(4)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "cancelled":
        raise asyncio.CancelledError
    if how == "memory":
        return bytearray(1 << 60)
    while how == "loop":
        pass
    return os.getpid()
"#;

const PLAIN: &str = r#"
@app.entrypoint
def main(payload):
    if payload.get("how") == "wait":
        gate.wait(60)
    if payload.get("how") == "open":
        gate.set()
    return end(payload.get("how"))
"#;

const ASYNC: &str = r#"
@app.entrypoint
async def main(payload):
    while payload.get("how") == "wait" and not gate.is_set():
        await asyncio.sleep(0.01)
    if payload.get("how") == "open":
        gate.set()
    return end(payload.get("how"))
"#;

async fn pid(agent: &Served) -> Value {
    let (status, pid) = agent.ask(json!({})).await;
    assert_eq!(status, 200, "{pid}");
    pid
}

#[tokio::test]
async fn what_ends_the_process_is_told_with_its_cause_and_the_next_call_is_answered() {
    for handler in [PLAIN, ASYNC] {
        let agent = Served::start(&format!("{DEADLY}{handler}"));
        for (how, cause) in [
            ("exit", "exit status 3"),
            ("segfault", "signal 11 (SIGSEGV)"),
            ("abort", "signal 6 (SIGABRT)"),
            ("kill", "signal 9 (SIGKILL)"),
        ] {
            let before = pid(&agent).await;
            let (status, answer) = agent.ask(json!({ "how": how })).await;
            assert_eq!(status, 500);
            let expected = format!("the agent's worker process ended: {cause}");
            assert_eq!(answer["error"], expected, "{how}");
            assert_eq!(answer["error_type"], "WorkerDied", "{how}");
            assert_ne!(pid(&agent).await, before, "{how}");
        }
        // Newer interpreters count the C stack and raise instead of dying.
        let (status, answer) = agent.ask(json!({"how": "overflow"})).await;
        assert_eq!(status, 500, "{answer}");
        let kind = answer["error_type"].as_str().unwrap_or_default();
        assert!(
            ["WorkerDied", "RecursionError", ""].contains(&kind),
            "{answer}"
        );
        pid(&agent).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_worker_goes_before_the_server_when_memory_runs_out() {
    let agent = Served::start(&format!("{DEADLY}{PLAIN}"));
    let score = |pid: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        text.trim_end().parse::<i32>().unwrap()
    };
    let worker = pid(&agent).await.to_string();
    assert_eq!(score(&worker), 500);
    assert!(score("self") < 500);
}

#[tokio::test]
async fn what_ends_a_call_only_leaves_the_process_as_it_is() {
    for handler in [PLAIN, ASYNC] {
        let agent = Served::start(&format!("{DEADLY}{handler}"));
        let before = pid(&agent).await;
        for how in ["sys.exit", "interrupt", "cancelled", "memory"] {
            let (status, answer) = agent.ask(json!({ "how": how })).await;
            assert_eq!(status, 500, "{how}: {answer}");
            assert_ne!(answer["error_type"], "WorkerDied", "{how}");
        }
        assert_eq!(pid(&agent).await, before);
    }
}

/// Long enough for a fresh worker to start beside a loop that burns the processor.
const LIMIT: Duration = Duration::from_secs(6);

fn limited() -> Capacity {
    Capacity {
        invocation_timeout: Some(LIMIT),
        ..Capacity::default()
    }
}

/// Waits until another worker answers than `before`.
async fn replaced(agent: &Served, before: &Value) {
    eventually(async || {
        let (status, answer) = agent.ask(json!({})).await;
        status == 200 && answer != *before
    })
    .await;
    eventually(async || !is_alive(before)).await;
}

#[tokio::test]
async fn an_infinite_loop_ends_with_its_worker_at_the_limit() {
    for (handler, others_end) in [(PLAIN, true), (ASYNC, false)] {
        let agent = Served::start_with(&format!("{DEADLY}{handler}"), limited());
        let before = pid(&agent).await;
        let (looped, waited) = tokio::join!(agent.ask(json!({"how": "loop"})), async {
            // Beside it, in the same worker.
            tokio::time::sleep(Duration::from_millis(500)).await;
            agent.ask(json!({})).await
        });
        assert_eq!(looped.0, 504, "{}", looped.1);
        if others_end {
            assert_eq!(waited, (200, before.clone()));
        } else {
            assert_eq!(waited.0, 504, "a loop that is blocked answers nobody");
        }
        replaced(&agent, &before).await;
    }
}

#[tokio::test]
async fn sessions_have_a_worker_each_and_only_those_of_a_dead_one_notice() {
    let agent = Served::start_with(
        &format!("{DEADLY}{PLAIN}"),
        Capacity {
            workers: NonZeroUsize::new(3).unwrap(),
            ..Capacity::default()
        },
    );
    let of =
        async |session: usize, body: Value| agent.ask_in(&format!("session-{session}"), body).await;
    let mut homes = Vec::new();
    for session in 0..12 {
        let (status, home) = of(session, json!({})).await;
        assert_eq!(status, 200);
        homes.push(home);
    }
    let mut different = homes.clone();
    different.sort_by_key(Value::to_string);
    different.dedup();
    assert_eq!(
        different.len(),
        3,
        "twelve sessions are on all three: {homes:?}"
    );
    let (status, _) = of(0, json!({"how": "kill"})).await;
    assert_eq!(status, 500);
    for (session, home) in homes.iter().enumerate() {
        let (status, now) = of(session, json!({})).await;
        assert_eq!(status, 200);
        assert_eq!(now == *home, *home != homes[0], "session {session}");
    }
}

#[tokio::test]
async fn a_call_that_waits_for_a_thread_of_a_worker_that_is_replaced_goes_to_the_fresh_one() {
    // It has one thread.
    let worker = Fixture::start(&["thread", "0", "1"]);
    let before = worker.ask(json!({"do": "pid"})).await;
    let context = Context::from_headers(HeaderMap::new());
    let mut busy = Invocation::new(json!({"do": "wait"}).to_string(), context);
    busy.deadline = Some(Instant::now() + Duration::from_millis(200));
    let busy = worker.agent.invoke(busy);
    assert!(timeout(Duration::from_millis(400), busy).await.is_err());
    // The other one takes half a minute to come back, which is not waited for.
    let waiting = worker.ask(json!({"do": "pid"}));
    let after = timeout(Duration::from_secs(20), waiting).await;
    assert_ne!(after.expect("it went on to the fresh worker"), before);
}

#[tokio::test]
async fn an_abandoned_loop_ends_with_its_worker_too() {
    let agent = Served::start_with(&format!("{DEADLY}{PLAIN}"), limited());
    let before = pid(&agent).await;
    let left = timeout(
        Duration::from_millis(300),
        agent.ask(json!({"how": "loop"})),
    );
    assert!(left.await.is_err(), "the caller leaves");
    assert_eq!(pid(&agent).await, before);
    replaced(&agent, &before).await;
}

fn is_alive(pid: &Value) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
