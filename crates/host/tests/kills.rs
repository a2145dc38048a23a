//! `kill -9` of the worker at a hundred random moments under load: every request gets an answer, every later one succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::served::{Caller, Served};

const AGENT: &str = r"
import asyncio, os, time
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


def stream():
    for number in range(20):
        time.sleep(0.001)
        yield number


async def async_stream():
    for number in range(20):
        await asyncio.sleep(0.001)
        yield number
";

const PLAIN: &str = r#"
@app.entrypoint
def main(payload):
    if payload["do"] == "stream":
        return stream()
    if payload["do"] == "async_stream":
        return async_stream()
    time.sleep(payload.get("sleep", 0))
    return os.getpid()
"#;

const ASYNC: &str = r#"
@app.entrypoint
async def main(payload):
    if payload["do"] == "stream":
        return stream()
    if payload["do"] == "async_stream":
        return async_stream()
    await asyncio.sleep(payload.get("sleep", 0))
    return os.getpid()
"#;

/// For each kind of agent.
const KILLS: usize = 50;

#[derive(Debug, Default)]
struct Count {
    whole: AtomicUsize,
    failed: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_agent_that_is_killed_under_load_loses_its_open_calls_and_no_more() {
    kill_under_load(PLAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_async_agent_that_is_killed_under_load_loses_its_open_calls_and_no_more() {
    kill_under_load(ASYNC).await;
}

async fn kill_under_load(handler: &str) {
    let agent = Served::start(&format!("{AGENT}{handler}"));
    agent.ask(json!({"do": "pid"})).await;
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(Count::default()));
    let callers: Vec<_> = (0..8)
        .map(|number| tokio::spawn(call(number, agent.caller(), done.clone(), count.clone())))
        .collect();
    for _ in 0..KILLS {
        let (status, pid) = agent.ask(json!({"do": "pid"})).await;
        assert_eq!(status, 200, "a request after a kill: {pid}");
        let pause = fastrand::u64(0..25);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        kill(&pid).await;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(count.whole.load(Ordering::Relaxed) > KILLS, "{count:?}");
    assert!(count.failed.load(Ordering::Relaxed) > 0, "{count:?}");
}

/// Makes requests of every kind, one after the other; each has to end as an answer.
async fn call(number: usize, caller: Caller, done: Arc<AtomicBool>, count: Arc<Count>) {
    for turn in number.. {
        let body = match turn % 4 {
            0 => json!({"do": "pid"}),
            1 => json!({"do": "pid", "sleep": 0.01}),
            2 => json!({"do": "stream"}),
            _ => json!({"do": "async_stream"}),
        };
        if done.load(Ordering::Relaxed) {
            return;
        }
        let response = caller.post(&body.to_string()).await;
        let status = response.status().as_u16();
        let text = response.text().await.expect("an answer has an end");
        let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
        let last = last.strip_prefix("data: ").unwrap_or(last);
        let last: Value = serde_json::from_str(last).expect("an answer is JSON");
        let died = last["error_type"] == "WorkerDied";
        assert!(
            died || (status == 200 && last.is_number()),
            "{status} {text}"
        );
        let counter = if died { &count.failed } else { &count.whole };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Kills a process, and waits until it is no more.
async fn kill(pid: &Value) {
    let number = pid
        .as_i64()
        .and_then(|pid| i32::try_from(pid).ok())
        .unwrap();
    kill_process(Pid::from_raw(number).unwrap(), Signal::KILL).unwrap();
    // Not as soon as it is a zombie: some of its threads may still be there, and its connections with them.
    let gone = format!("/proc/{number}");
    eventually(async || !std::path::Path::new(&gone).exists()).await;
}
