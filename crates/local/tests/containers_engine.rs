//! Engines that go away and come back. Between front door and engine stands a relay that can be cut, so the containers
//! themselves live on.

use std::net::SocketAddr;
use std::time::Duration;

use agentcore_docker::{Endpoint, Engine};
use agentcore_local::{EndCause, Event, OutputStream};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::container_image::{self, Content};
use crate::container_support::{self as containers, Containers};
use crate::support::{body_of, eventually};

/// Passes everything on to an engine, until it is cut.
struct Relay {
    address: SocketAddr,
    engine: Engine,
    passing: JoinHandle<()>,
}

impl Relay {
    async fn start(engine: &Engine) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            engine: engine.clone(),
            passing: tokio::spawn(pass(listener, engine.endpoint().clone())),
        }
    }

    /// Refuses connections from now on, and breaks those that are open.
    async fn cut(&mut self) {
        self.passing.abort();
        let _ = (&mut self.passing).await;
    }

    async fn restore(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.passing = tokio::spawn(pass(listener, self.engine.endpoint().clone()));
    }
}

async fn pass(listener: TcpListener, endpoint: Endpoint) {
    // Dropped with this task, it aborts them all.
    let mut connections = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let endpoint = endpoint.clone();
        connections.spawn(async move {
            let _ = match endpoint {
                Endpoint::Unix(path) => {
                    let mut far = UnixStream::connect(path).await.unwrap();
                    copy_bidirectional(&mut near, &mut far).await
                }
                Endpoint::Tcp(address) => {
                    let mut far = TcpStream::connect(address).await.unwrap();
                    copy_bidirectional(&mut near, &mut far).await
                }
            };
        });
    }
}

/// A front door that reaches its engine through a relay.
async fn start() -> Option<(Containers, Relay)> {
    let engine = container_image::engine().await?;
    let relay = Relay::start(&engine).await;
    let address = relay.address;
    let started = containers::start_with(Content::Agent, |spec, _| {
        spec.endpoint = Endpoint::Tcp(address);
    });
    Some((started.await?.unwrap(), relay))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_not_the_end_of_a_container() {
    let Some((it, mut relay)) = start().await else {
        return;
    };
    assert_eq!(it.door.ask("one", json!({})).await["count"], 1);
    it.spares_are_ready(1).await;
    relay.cut().await;
    let print = |line: &str| json!({ "do": "print", "stdout": format!("{line}\n"), "stderr": "" });
    it.door.ask("one", print("while it is away")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    relay.restore().await;
    it.door.ask("one", print("when it is back")).await;
    let told = |wanted: &str| {
        let is_line = |event: &&Event| matches!(event, Event::Output { stream: OutputStream::Stdout, line, .. } if line == wanted);
        it.door.events().iter().filter(is_line).count()
    };
    eventually("both lines are told", || {
        told("while it is away") > 0 && told("when it is back") > 0
    })
    .await;
    // Longer than it would take to give up.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(it.door.ask("one", json!({})).await["count"], 4);
    assert_eq!(told("while it is away"), 1);
    assert_eq!(told("when it is back"), 1);
    let ended = |event: &Event| matches!(event, Event::SandboxEnded { .. });
    assert!(!it.door.events().iter().any(ended));
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stays_away_takes_its_containers_and_one_that_is_back_starts_others() {
    let Some((it, mut relay)) = start().await else {
        return;
    };
    it.door.ask("one", json!({})).await;
    it.spares_are_ready(1).await;
    let left = it.containers().await.len();
    assert_eq!(left, 2);
    let order = json!({ "do": "hang", "dir": "/tmp" });
    let hanging = tokio::spawn(it.door.post("/invocations", "one", &order).send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.cut().await;

    let response = hanging.await.unwrap().unwrap();
    assert_eq!(response.status(), 424);
    let body = body_of(response).await;
    assert_eq!(
        body["error"],
        "the sandbox of this session ended: the Docker engine went away"
    );
    assert_eq!(body["engine_away"], true);
    let gone = |event: &Event| {
        matches!(
            event,
            Event::SandboxEnded {
                cause: EndCause::EngineGone { .. },
                ..
            }
        )
    };
    eventually("both ends are told", || {
        it.door.events().iter().filter(|event| gone(event)).count() == 2
    })
    .await;
    let refused = it.door.call("one", json!({})).await;
    assert_eq!(refused.status(), 503);
    let body = body_of(refused).await;
    assert_eq!(body["error_type"], "EngineAway");
    assert_eq!(body["engine_away"], true);
    let error = body["error"].as_str().unwrap();
    let expected =
        "the sandbox could not start: the Docker engine does not answer: tcp://127.0.0.1:";
    assert!(error.starts_with(expected), "{error}");

    let before: Vec<_> = it
        .containers()
        .await
        .iter()
        .map(|it| it.container.id().to_owned())
        .collect();
    assert_eq!(before.len(), left, "nobody could remove them");
    relay.restore().await;
    assert_eq!(it.door.ask("one", json!({})).await["count"], 1);
    it.spares_are_ready(1).await;
    for _ in 0..100 {
        let now = it.containers().await;
        if !now
            .iter()
            .any(|it| before.iter().any(|id| id == it.container.id()))
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(it.containers().await.len(), 2, "what was left is removed");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_door_ends_without_its_engine() {
    let Some((it, mut relay)) = start().await else {
        return;
    };
    it.door.ask("one", json!({})).await;
    it.spares_are_ready(1).await;
    relay.cut().await;
    let begun = std::time::Instant::now();
    it.door.end().await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    let endpoint = it.engine.endpoint();
    let ended = agentcore_local::end_orphan_containers(endpoint, &it.mark, None).await;
    assert_eq!(ended.unwrap(), 2);
    containers::assert_nothing_is_left(&it.engine, &it.mark, &it.network).await;
}
