//! Front doors with containers, and what tests ask of them and of the engine.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use agentcore_docker::{Container, ContainerSummary, Endpoint, Engine};
use agentcore_local::{ContainerRoot, ContainerSpec, FrontDoorConfig, SandboxState, StartError};
use agentcore_protocol::SessionId;
use serde_json::{Value, json};

use crate::container_image::{self, Content, HOME, UID};
use crate::support::{PATIENCE, Running};

/// A front door with containers, its engine, and by which label its containers are found.
pub(crate) struct Containers {
    pub(crate) door: Running,
    pub(crate) engine: Engine,
    pub(crate) mark: String,
    pub(crate) network: String,
}

/// Starts a front door with containers; `None` if there is no engine.
pub(crate) async fn start() -> Option<Containers> {
    start_with(Content::Agent, |_, _| ())
        .await
        .map(|started| started.unwrap())
}

/// Starts one after a change.
pub(crate) async fn start_with(
    content: Content,
    change: impl FnOnce(&mut ContainerSpec, &mut FrontDoorConfig),
) -> Option<Result<Containers, StartError>> {
    let engine = container_image::engine().await?;
    let mut spec = spec(&engine, content).await;
    let network = spec.network.clone();
    let mut mark = String::new();
    let started = Running::start_with(|config| {
        name(config);
        change(&mut spec, config);
        mark.clone_from(&config.orphan_mark);
        config.spec = spec.into();
    });
    Some(started.await.map(|door| Containers {
        door,
        engine,
        mark,
        network,
    }))
}

/// Names that no other test has, and that tell whose they are.
pub(crate) fn name(config: &mut FrontDoorConfig) {
    config.agent = "test-local".into();
    config.instance = uuid::Uuid::new_v4().simple().to_string();
    config.limits.spares = 1;
}

/// Returns what most containers of tests run: the agent, in a container as for a generated image.
pub(crate) async fn spec(engine: &Engine, content: Content) -> ContainerSpec {
    let project = uuid::Uuid::new_v4().simple().to_string();
    ContainerSpec {
        endpoint: engine.endpoint().clone(),
        image: container_image::image(engine, content).await,
        port: 8080,
        env: BTreeMap::from([
            ("DOCKER_CONTAINER".into(), "1".into()),
            ("AGENTCORE_LISTEN".into(), "0.0.0.0:8080".into()),
            ("GREETING".into(), "hello".into()),
        ]),
        root: ContainerRoot::ReadOnly {
            home: HOME.into(),
            uid: UID,
        },
        project: format!("/projects/{project}"),
        network: format!("agentcore-test-local-{project}"),
        cpus: None,
        memory: 256 << 20,
    }
}

/// Adds a variable to the environment of the containers.
pub(crate) fn set(spec: &mut ContainerSpec, name: &str, value: &str) {
    spec.env.insert(name.into(), value.into());
}

/// Returns the containers that carry a mark.
pub(crate) async fn marked(engine: &Engine, mark: &str) -> Vec<ContainerSummary> {
    let labels = BTreeMap::from([("agentcore.mark".to_owned(), mark.to_owned())]);
    engine.containers_with(&labels).await.unwrap()
}

/// Fails unless containers and network are gone.
pub(crate) async fn assert_nothing_is_left(engine: &Engine, mark: &str, network: &str) {
    let left = marked(engine, mark).await;
    assert!(left.is_empty(), "{left:?}");
    assert!(!network_exists(engine, network), "`{network}` is left");
}

/// Asks the engine for a network in its own words.
pub(crate) fn network_exists(engine: &Engine, network: &str) -> bool {
    fn ask(mut stream: impl Read + Write, network: &str) -> String {
        let request = format!("GET /networks/{network} HTTP/1.0\r\nhost: docker\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
    let answer = match engine.endpoint() {
        Endpoint::Unix(path) => ask(UnixStream::connect(path).unwrap(), network),
        Endpoint::Tcp(address) => ask(TcpStream::connect(address).unwrap(), network),
    };
    let status = answer.split(' ').nth(1);
    assert!(matches!(status, Some("200" | "404")), "{answer}");
    status == Some("200")
}

impl Containers {
    pub(crate) async fn containers(&self) -> Vec<ContainerSummary> {
        marked(&self.engine, &self.mark).await
    }

    /// Returns the container of a sandbox, by its status.
    pub(crate) async fn container_of(&self, session: Option<&str>) -> Container {
        let status = self.door.status().await;
        let sandbox = status
            .sandboxes
            .iter()
            .find(|it| it.session.as_ref().map(SessionId::as_str) == session)
            .unwrap();
        self.engine.container(sandbox.container.as_deref().unwrap())
    }

    /// Has the agent of `session` look at something in its container.
    pub(crate) async fn look(&self, session: &str, at: &str, path: &str) -> Value {
        let order = json!({ "do": "look", "at": at, "path": path });
        self.door.ask(session, order).await
    }

    /// Waits until as many spares are ready as are wanted.
    pub(crate) async fn spares_are_ready(&self, wanted: usize) {
        let begun = Instant::now();
        loop {
            let status = self.door.status().await;
            let ready = status
                .sandboxes
                .iter()
                .filter(|it| it.session.is_none() && it.state == SandboxState::Ready);
            if ready.count() == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the front door and returns when nothing of it is left.
    pub(crate) async fn end(self) {
        let Self {
            door,
            engine,
            mark,
            network,
        } = self;
        door.end().await;
        assert_nothing_is_left(&engine, &mark, &network).await;
    }
}
