//! The course of a soak: warm-up, baseline, load, and then what is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::agent::{Agent, Holds};
use crate::client::Client;
use crate::drive::{Load, fire};
use crate::pings::Pings;
use crate::plan::{Ask, End, Work};
use crate::tally::Tally;
use crate::{Args, Failure, say};

/// How long the agent may take to put away what the last callers left.
const QUIET: Duration = Duration::from_mins(1);

/// How much memory an allocator may keep in pieces, in kibibytes, and as a part of the baseline.
const MEMORY: u64 = 12 * 1024;
const MEMORY_PERCENT: u64 = 25;

/// The agent's own drain, and what a loaded machine may take longer.
const DRAIN: Duration = Duration::from_secs(2);
const LATE: Duration = Duration::from_secs(5);

/// Where the nonces of the load begin, beyond those of the warm-up.
const FIRST_NONCE: u64 = 1_000_000_000;

/// Soaks the agent, and fails if an answer was wrong or something was left.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let mut agent = Agent::start(&args.agent).await?;
    let soaked = soak(&mut agent, &args).await;
    if soaked.is_err() {
        say(&format!("The end of the agent's log:\n{}", agent.log()));
    }
    soaked
}

async fn soak(agent: &mut Agent, args: &Args) -> Result<(), Failure> {
    let Args {
        agent: _,
        invocations,
        connections,
        seed,
    } = *args;
    say(&format!(
        "{invocations} invocations from {connections} connections, --seed {seed}"
    ));
    let warm_up = Load {
        seed: seed ^ 1,
        invocations: (invocations / 10).max(1000),
        connections,
        first_nonce: 0,
    };
    // Threads and descriptors of an agent that has done nothing yet; memory of one that has done everything.
    let fresh = agent.holds()?;
    fired(agent, warm_up).await?;
    nothing_is_open(agent).await?;
    let baseline = Holds {
        memory: agent.holds()?.memory,
        ..fresh
    };
    say(&format!("Baseline: {baseline}"));
    let load = Load {
        seed,
        invocations,
        connections,
        first_nonce: FIRST_NONCE,
    };
    let tally = fired(agent, load).await?;
    say(&tally.to_string());
    let (_, again) = tally.states();
    if again == 0 {
        return Err("no state lived from one invocation of its session to another".into());
    }
    nothing_is_left(agent, baseline).await?;
    ends_in_order(agent).await
}

/// Fires a load with pings beside it.
async fn fired(agent: &Agent, load: Load) -> Result<Arc<Tally>, Failure> {
    let (tally, started) = (Arc::new(Tally::default()), Instant::now());
    let pings = Pings::start(agent.address, Arc::clone(&tally));
    let mut telling = tokio::time::interval(Duration::from_secs(10));
    telling.tick().await;
    let mut firing = std::pin::pin!(fire(load, agent.address, Arc::clone(&tally)));
    loop {
        tokio::select! {
            () = &mut firing => break,
            _ = telling.tick() => say(&format!("  {} done, {}", tally.done(), agent.holds()?)),
        }
    }
    let took = started.elapsed().as_secs_f64();
    let pings = pings.finish().await;
    let failures = tally.failures();
    if !failures.is_empty() {
        return Err(format!("{} failures:\n{}", failures.len(), failures.join("\n")).into());
    }
    say(&format!(
        "{} invocations in {took:.1} s; {}",
        tally.done(),
        pings?
    ));
    Ok(tally)
}

/// Waits until the agent's own report says that nothing is open.
async fn nothing_is_open(agent: &Agent) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let report = agent.report().await?;
        let counts = report.as_object().ok_or("the report is no object")?;
        if counts.values().all(|count| count.as_u64() == Some(0)) {
            return Ok(());
        }
        if began.elapsed() > QUIET {
            return Err(format!("after {QUIET:?} there still are {report}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the agent holds no more than it did, and fails if it goes on to.
async fn nothing_is_left(agent: &Agent, baseline: Holds) -> Result<(), Failure> {
    nothing_is_open(agent).await?;
    let most = baseline.memory + MEMORY.max(baseline.memory * MEMORY_PERCENT / 100);
    let began = Instant::now();
    loop {
        let holds = agent.holds()?;
        let is_clean = holds.threads <= baseline.threads
            && holds.descriptors <= baseline.descriptors
            && holds.memory <= most;
        if is_clean {
            say(&format!("Nothing is open, and nothing is left: {holds}"));
            return Ok(());
        }
        if began.elapsed() > QUIET {
            return Err(format!(
                "a leak: after {QUIET:?} the agent holds {holds}; the baseline was {baseline}, with {} MiB allowed",
                most / 1024
            )
            .into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Ends the agent under some open connections, and checks that it does so in time and in order.
async fn ends_in_order(agent: &mut Agent) -> Result<(), Failure> {
    let idle = Client::open(agent.address).await?;
    let mut streams = Vec::new();
    for nonce in 0..4 {
        let ask = Ask {
            nonce: 2 * FIRST_NONCE + nonce,
            session: Some(format!("session-at-the-end-{nonce}")),
            micros: 0,
            work: Work::Stream {
                events: 1,
                end: End::Silent,
            },
            leave: None,
        };
        streams.push(crate::ask::open_stream(&ask, agent.address).await?);
    }
    let (status, took) = agent.end().await?;
    if !status.success() || took > DRAIN + LATE {
        return Err(format!("on SIGTERM the agent ended by {status} after {took:.1?}").into());
    }
    for mut stream in streams {
        let last = stream
            .chunk()
            .await?
            .ok_or("a stream was cut without a word")?;
        let said: Option<Value> = last
            .strip_prefix(b"data: ")
            .and_then(|it| serde_json::from_slice(it).ok());
        if said.is_none_or(|it| it["error_type"] != "ServerShutdown")
            || stream.chunk().await?.is_some()
        {
            return Err(format!("a stream was cut with {last:?}").into());
        }
    }
    drop(idle);
    say(&format!(
        "On SIGTERM, with 4 streams open, the agent ended in order after {took:.1?}"
    ));
    Ok(())
}
