//! Following what containers print, and what happens to those who follow and wait when the engine goes away.

use std::pin::pin;
use std::time::Duration;

use agentcore_docker::{Container, Engine, EngineError, StdStream, Unreachable};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::support::proxy::Proxy;
use crate::support::{Things, get_when_ready};

const SOON: Duration = Duration::from_secs(20);

async fn read(container: &Container, follow: bool) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut logs = pin!(container.logs(follow));
    while let Some(part) = timeout(SOON, logs.next()).await.unwrap() {
        match part.unwrap() {
            (StdStream::Stdout, bytes) => out.extend_from_slice(&bytes),
            (StdStream::Stderr, bytes) => err.extend_from_slice(&bytes),
        }
    }
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
    )
}

fn lines(start: usize) -> String {
    let lines: Vec<_> = (start..2000)
        .step_by(2)
        .map(|number| format!("line {number}\n"))
        .collect();
    lines.concat()
}

#[tokio::test]
async fn every_line_comes_in_order_and_on_its_own_stream() {
    let Some(things) = Things::new().await else {
        return;
    };
    let container = things
        .engine
        .create(&things.request(&["print", "2000"]).await)
        .await
        .unwrap();
    container.start().await.unwrap();
    let followed = read(&container, true).await;
    assert_eq!(followed, (lines(0), lines(1)));
    container.wait().await.unwrap();
    assert_eq!(read(&container, false).await, followed);
}

#[tokio::test]
async fn lines_come_as_they_are_printed_and_end_with_the_container() {
    let Some(things) = Things::new().await else {
        return;
    };
    let container = things
        .engine
        .create(&things.request(&["serve"]).await)
        .await
        .unwrap();
    container.start().await.unwrap();
    let address = container.address().await.unwrap().unwrap();
    let mut logs = pin!(container.logs(true));
    let first = timeout(SOON, logs.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first, (StdStream::Stdout, "listening\n".into()));
    for word in ["one", "two"] {
        get_when_ready(address, &format!("/say/{word}")).await;
        let said = timeout(SOON, logs.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(said, (StdStream::Stdout, format!("{word}\n").into()));
    }
    container.kill().await.unwrap();
    assert!(timeout(SOON, logs.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn who_listens_before_the_start_hears_everything() {
    let Some(things) = Things::new().await else {
        return;
    };
    let container = things
        .engine
        .create(&things.request(&["print", "2000"]).await)
        .await
        .unwrap();
    let mut parts = pin!(container.attach().await.unwrap());
    container.start().await.unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(part) = timeout(SOON, parts.next()).await.unwrap() {
        match part.unwrap() {
            (StdStream::Stdout, bytes) => out.extend_from_slice(&bytes),
            (StdStream::Stderr, bytes) => err.extend_from_slice(&bytes),
        }
    }
    assert_eq!(String::from_utf8(out).unwrap(), lines(0));
    assert_eq!(String::from_utf8(err).unwrap(), lines(1));
    container.remove().await.unwrap();
    assert!(container.attach().await.err().unwrap().is_not_found());
}

#[tokio::test]
async fn a_container_that_is_gone_has_no_log() {
    let Some(things) = Things::new().await else {
        return;
    };
    let container = things
        .engine
        .create(&things.request(&["serve"]).await)
        .await
        .unwrap();
    container.remove().await.unwrap();
    let mut logs = pin!(container.logs(true));
    let error = logs.next().await.unwrap().unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert!(logs.next().await.is_none());
}

#[tokio::test]
async fn an_engine_that_goes_away_is_an_error_to_all_who_listen() {
    let Some(things) = Things::new().await else {
        return;
    };
    let proxy = Proxy::to(things.engine.endpoint());
    let engine = Engine::open(&proxy.endpoint()).await.unwrap();
    let container = engine
        .create(&things.request(&["serve"]).await)
        .await
        .unwrap();
    container.start().await.unwrap();
    let mut logs = pin!(container.logs(true));
    timeout(SOON, logs.next()).await.unwrap().unwrap().unwrap();
    let waiting = tokio::spawn({
        let container = container.clone();
        async move { container.wait().await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;

    proxy.cut();
    let error = timeout(SOON, logs.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error, EngineError::Broken { .. }) && error.is_away(),
        "{error:?}"
    );
    let error = timeout(SOON, waiting).await.unwrap().unwrap().unwrap_err();
    assert!(error.is_away(), "{error:?}");
    let error = container.state().await.unwrap_err();
    let refused = matches!(
        &error,
        EngineError::Unreachable {
            reason: Unreachable::Refused,
            ..
        }
    );
    assert!(refused && error.is_away(), "{error:?}");
    assert!(
        error.hint().unwrap().contains("is Docker running?"),
        "{error}"
    );

    // To everybody else it is there.
    let there = things.engine.container(container.id());
    assert!(there.state().await.unwrap().running);
}

#[tokio::test]
async fn who_stops_listening_closes_the_connection() {
    let Some(things) = Things::new().await else {
        return;
    };
    let proxy = Proxy::to(things.engine.endpoint());
    let engine = Engine::open(&proxy.endpoint()).await.unwrap();
    let container = engine
        .create(&things.request(&["serve"]).await)
        .await
        .unwrap();
    container.start().await.unwrap();
    {
        let mut logs = pin!(container.logs(true));
        timeout(SOON, logs.next()).await.unwrap().unwrap().unwrap();
        assert!(
            timeout(Duration::from_millis(300), container.wait())
                .await
                .is_err()
        );
        assert!(proxy.open() >= 1);
    }
    crate::support::eventually("all connections are closed", || async { proxy.open() == 0 }).await;
}
