//! Networks: made once, whoever asks and however often, and their containers kept apart.

use agentcore_docker::{Container, EngineError};
use futures_util::future::join_all;

use crate::support::{Things, get, get_when_ready, raw};

async fn ids(things: &Things) -> Vec<String> {
    let filters = format!("{{%22name%22:[%22{}%22]}}", things.name);
    let answer = raw(
        &things.engine,
        "GET",
        &format!("/networks?filters={filters}"),
        "",
    )
    .await;
    let networks: Vec<serde_json::Value> = serde_json::from_str(&answer).unwrap();
    networks
        .iter()
        .map(|network| network["Id"].as_str().unwrap().to_owned())
        .collect()
}

async fn serving(
    things: &Things,
    name: &str,
    network: Option<&str>,
) -> (Container, std::net::SocketAddr) {
    let mut request = things.request(&["serve"]).await;
    request.name = format!("{}-{name}", things.name);
    request.network = network.map(str::to_owned);
    let container = things.engine.create(&request).await.unwrap();
    container.start().await.unwrap();
    let address = container.address().await.unwrap().unwrap();
    (container, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_get_the_same_network() {
    let Some(things) = Things::new().await else {
        return;
    };
    let asking = (0..8).map(|_| {
        let (engine, request) = (things.engine.clone(), things.network());
        tokio::spawn(async move { engine.ensure_network(&request).await.unwrap() })
    });
    let told: Vec<String> = join_all(asking)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let there = ids(&things).await;
    let [only] = there.as_slice() else {
        panic!("{there:?}")
    };
    assert!(told.iter().all(|id| id == only), "{told:?}");

    things.engine.remove_network(&things.name).await.unwrap();
    things.engine.remove_network(&things.name).await.unwrap();
    assert!(ids(&things).await.is_empty());
}

#[tokio::test]
async fn containers_of_one_network_cannot_reach_each_other() {
    let Some(things) = Things::new().await else {
        return;
    };
    let network = things
        .engine
        .ensure_network(&things.network())
        .await
        .unwrap();
    let (one, one_address) = serving(&things, "one", Some(&network)).await;
    let (_two, two_address) = serving(&things, "two", Some(&network)).await;
    let one_inside = get_when_ready(one_address, "/address").await;
    get_when_ready(two_address, "/address").await;
    let reached = get(two_address, &format!("/connect/{one_inside}:8080"))
        .await
        .unwrap();
    assert_ne!(reached, "connected");
    // It is the network that keeps them apart: itself it can reach there.
    let reached = get(one_address, &format!("/connect/{one_inside}:8080"))
        .await
        .unwrap();
    assert_eq!(reached, "connected");

    // In use, it stays.
    things.engine.remove_network(&things.name).await.unwrap();
    assert_eq!(ids(&things).await, [network]);
    assert!(one.state().await.unwrap().running);
}

#[tokio::test]
async fn a_network_that_lets_containers_talk_is_not_taken() {
    let Some(things) = Things::new().await else {
        return;
    };
    let body = format!("{{\"Name\":\"{}\",\"Driver\":\"bridge\"}}", things.name);
    raw(&things.engine, "POST", "/networks/create", &body).await;
    let error = things
        .engine
        .ensure_network(&things.network())
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Conflict { .. }), "{error:?}");
    assert!(error.to_string().contains(&things.name), "{error}");
}
