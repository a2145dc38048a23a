//! What a front door leaves on the engine that did not end in order, and who removes it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use agentcore_docker::Engine;
use agentcore_local::{ContainerSpec, Event, end_orphan_containers};
use serde_json::json;
use tempfile::TempDir;

use crate::container_image::{self, Content};
use crate::container_support::{self as containers, Containers, assert_nothing_is_left, marked};
use crate::support::{SESSION, program};

/// A front door in a process of its own.
struct Other {
    process: Child,
    url: String,
    dir: TempDir,
    engine: Engine,
    spec: ContainerSpec,
    mark: String,
    instance: String,
}

impl Other {
    async fn start() -> Option<Self> {
        let engine = container_image::engine().await?;
        let spec = containers::spec(&engine, Content::Agent).await;
        let dir = tempfile::tempdir().unwrap();
        let mark = format!("{}#test-local", dir.path().display());
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let config = json!({
            "agent": "test-local",
            "arn": crate::support::ARN,
            "instance": instance,
            "spec": agentcore_local::SandboxSpec::from(spec.clone()),
            "run_dir": dir.path().join("killed"),
            "orphan_mark": mark,
        });
        let mut process = Command::new(program("local_test_front_door"))
            .arg(config.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        let url = format!("http://127.0.0.1:{}", port.trim());
        Some(Self {
            process,
            url,
            dir,
            engine,
            spec,
            mark,
            instance,
        })
    }

    async fn ask(&self, session: &str) {
        let request = reqwest::Client::new().post(format!("{}/invocations", self.url));
        let response = request
            .header(SESSION, session)
            .body("{}")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    }

    /// Kills the front door, which leaves two containers.
    async fn kill(&mut self) {
        self.ask("one").await;
        self.ask("two").await;
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        assert_eq!(marked(&self.engine, &self.mark).await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_front_door_removes_them() {
    let Some(mut killed) = Other::start().await else {
        return;
    };
    killed.kill().await;
    let next = containers::start_with(Content::Agent, |spec, config| {
        config.orphan_mark.clone_from(&killed.mark);
        config.run_dir = killed.dir.path().join("next");
        spec.clone_from(&killed.spec);
    });
    let next = Containers {
        network: killed.spec.network.clone(),
        ..next.await.unwrap().unwrap()
    };
    let told = |event: &Event| matches!(event, Event::OrphanContainersEnded { count: 2 });
    assert!(
        next.door.events().iter().any(told),
        "{:?}",
        next.door.events()
    );
    assert_eq!(next.containers().await.len(), 1);
    assert_eq!(next.door.ask("one", json!({})).await["count"], 1);
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_can_be_removed_without_a_front_door() {
    let Some(mut killed) = Other::start().await else {
        return;
    };
    killed.kill().await;
    let end = |mark: String, keep: Option<String>| {
        let endpoint = killed.engine.endpoint().clone();
        async move {
            end_orphan_containers(&endpoint, &mark, keep.as_deref())
                .await
                .unwrap()
        }
    };
    assert_eq!(end("another agent".into(), None).await, 0);
    assert_eq!(
        end(killed.mark.clone(), Some(killed.instance.clone())).await,
        0
    );
    assert_eq!(end(killed.mark.clone(), None).await, 2);
    assert_eq!(end(killed.mark.clone(), None).await, 0);
    assert_nothing_is_left(&killed.engine, &killed.mark, &killed.spec.network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_door_that_is_dropped_leaves_none() {
    let Some(it) = containers::start().await else {
        return;
    };
    it.door.ask("one", json!({})).await;
    let Containers {
        door,
        engine,
        mark,
        network,
    } = it;
    door.abort().await;
    // The end of the task is the end of the front door: all is done by then.
    assert_nothing_is_left(&engine, &mark, &network).await;
}

#[test]
fn a_front_door_whose_runtime_is_dropped_leaves_none() {
    for flavor in ["one thread", "many threads"] {
        let runtime = || match flavor {
            "one thread" => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let first = runtime().enable_all().build().unwrap();
        let started = first.block_on(async {
            let it = containers::start().await?;
            // Its spare's replacement is being made at this moment.
            it.door.ask("one", json!({})).await;
            Some((it.mark.clone(), it.network.clone()))
        });
        drop(first);
        let Some((mark, network)) = started else {
            return;
        };
        let second = runtime().enable_all().build().unwrap();
        second.block_on(async {
            let engine = container_image::engine().await.unwrap();
            assert_nothing_is_left(&engine, &mark, &network).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_given_up_leaves_none() {
    let Some(engine) = container_image::engine().await else {
        return;
    };
    let mut spec = containers::spec(&engine, Content::Agent).await;
    containers::set(&mut spec, "TEST_START", "never listen");
    let network = spec.network.clone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = crate::support::config(dir.path());
    containers::name(&mut config);
    config.spec = spec.into();
    let mark = config.orphan_mark.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    {
        let start = agentcore_local::FrontDoor::start(config, listener);
        tokio::select! {
            _ = start => panic!("nobody listens"),
            () = until_one_runs(&engine, &mark) => {}
        }
    }
    assert_nothing_is_left(&engine, &mark, &network).await;
}

async fn until_one_runs(engine: &Engine, mark: &str) {
    while !marked(engine, mark).await.iter().any(|it| it.running) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_stays_while_another_agent_of_the_project_uses_it() {
    let Some(one) = containers::start().await else {
        return;
    };
    let network = one.network.clone();
    let two = containers::start_with(Content::Agent, |spec, _| spec.network.clone_from(&network));
    let two = Containers {
        network: network.clone(),
        ..two.await.unwrap().unwrap()
    };
    one.door.end().await;
    assert!(containers::network_exists(&two.engine, &network));
    assert_eq!(two.door.ask("one", json!({})).await["count"], 1);
    two.end().await;
}
