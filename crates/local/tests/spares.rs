//! Sandboxes that are kept waiting for sessions to come, of both kinds.

use std::time::{Duration, Instant};

use agentcore_local::{EndCause, Event, Limits, SandboxState};
use serde_json::json;

use crate::container_support as containers;
use crate::support::{Running, eventually, kill, limits, set};

async fn with_spares(spares: usize) -> Running {
    let door = Running::limited(Limits {
        spares,
        max_sandboxes: 2,
        ..limits()
    })
    .await;
    wait_for(&door, spares).await;
    door
}

/// Waits until so many are ready.
async fn wait_for(door: &Running, spares: usize) {
    let begun = Instant::now();
    while ready(door).await.len() != spares {
        assert!(begun.elapsed() < crate::support::PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The processes of the spares that are ready.
async fn ready(door: &Running) -> Vec<u32> {
    let sandboxes = door.status().await.sandboxes;
    let spares = sandboxes
        .iter()
        .filter(|it| it.session.is_none() && it.state == SandboxState::Ready);
    spares.filter_map(|it| it.pid).collect()
}

fn starts(door: &Running) -> usize {
    let is_start = |event: &&Event| matches!(event, Event::SandboxStarting { .. });
    door.events().iter().filter(is_start).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_wait_as_are_wanted_and_sessions_take_them() {
    let door = with_spares(2).await;
    let waiting = ready(&door).await;
    assert!(waiting.contains(&door.pid("one").await));
    wait_for(&door, 2).await;
    let waiting = ready(&door).await;
    assert!(waiting.contains(&door.pid("two").await));
    wait_for(&door, 2).await;
    // They are no sessions: two are allowed, and two there are.
    let refused = door.call("three", json!({})).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(door.status().await.sandboxes.len(), 4);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_spares_the_first_is_not_replaced() {
    let door = Running::limited(limits()).await;
    door.ask("one", json!({})).await;
    door.ask("two", json!({})).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(starts(&door), 2);
    assert!(ready(&door).await.is_empty());
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_dies_is_replaced_after_a_while() {
    let door = with_spares(1).await;
    let killed = ready(&door).await[0];
    let begun = Instant::now();
    kill(killed);
    eventually("it is replaced", || starts(&door) == 2).await;
    assert!(begun.elapsed() >= Duration::from_millis(900), "not at once");
    wait_for(&door, 1).await;
    assert_ne!(ready(&door).await[0], killed);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_cannot_start_is_not_tried_in_a_loop() {
    let door = Running::start_with(|config| {
        config.limits.spares = 1;
        set(config, "TEST_START", "crash the second time");
    });
    let door = door.await.unwrap();
    door.ask("one", json!({})).await;
    // At the take, a second later, and two seconds after that.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let tried = starts(&door) - 1;
    assert!((2..=3).contains(&tried), "{tried}");
    // It is tried again when a session comes, beside the one that the session needs.
    let before = starts(&door);
    assert_eq!(door.call("two", json!({})).await.status(), 424);
    assert!(starts(&door) >= before + 2);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_that_no_session_takes_is_replaced_when_it_is_old() {
    let door = Running::limited(Limits {
        spares: 1,
        max_lifetime: Duration::from_secs(1),
        ..limits()
    })
    .await;
    eventually("it is replaced twice", || starts(&door) >= 3).await;
    let old = |event: &&Event| {
        matches!(
            event,
            Event::SandboxEnded {
                session: None,
                cause: EndCause::MaxLifetime { seconds: 1 },
                ..
            }
        )
    };
    assert!(door.events().iter().filter(old).count() >= 2);
    assert_eq!(door.ask("one", json!({})).await["count"], 1);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_time_is_not_for_spares() {
    let door = Running::limited(Limits {
        spares: 1,
        idle_timeout: Duration::from_millis(200),
        ..limits()
    })
    .await;
    let waiting = ready(&door).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ready(&door).await, waiting);
    assert_eq!(door.pid("one").await, waiting[0]);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_waits_and_another_follows() {
    let Some(it) = containers::start().await else {
        return;
    };
    it.spares_are_ready(1).await;
    let spare = it.container_of(None).await.id().to_owned();
    it.door.ask("one", json!({})).await;
    assert_eq!(it.container_of(Some("one")).await.id(), spare);
    it.spares_are_ready(1).await;
    let next = it.container_of(None).await;
    assert_ne!(next.id(), spare);
    next.kill().await.unwrap();
    let starts = || starts(&it.door);
    eventually("it is replaced", || starts() == 3).await;
    it.spares_are_ready(1).await;
    it.end().await;
}
