//! What a front door leaves behind that is killed itself, and who ends it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use agentcore_local::{Event, FrontDoorConfig, end_orphans};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{self, Running, SESSION, eventually, is_alive, program, read_pid};

/// A front door in a process of its own.
struct Other {
    process: Child,
    url: String,
    dir: TempDir,
    mark: String,
}

impl Other {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let FrontDoorConfig {
            arn,
            spec,
            orphan_mark,
            ..
        } = support::config(dir.path());
        let config = json!({
            "arn": arn,
            "instance": "killed",
            "spec": spec,
            "run_dir": dir.path().join("killed"),
            "orphan_mark": orphan_mark,
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
        Self {
            process,
            url,
            dir,
            mark: orphan_mark,
        }
    }

    async fn ask(&self, session: &str, order: Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}/invocations", self.url));
        let response = request
            .header(SESSION, session)
            .body(order.to_string())
            .send()
            .await
            .unwrap();
        support::body_of(response).await
    }

    /// Kills the front door and returns the ids of what it left: two agents and a daemon.
    async fn kill(&mut self) -> [u32; 3] {
        let pid = |report: Value| u32::try_from(report["pid"].as_u64().unwrap()).unwrap();
        let one = pid(self.ask("one", json!({})).await);
        let two = pid(self.ask("two", json!({})).await);
        let pid_file = self.dir.path().join("daemon.pid");
        let order = json!({ "do": "daemon", "kind": "daemon's parent", "pid_file": pid_file });
        self.ask("two", order).await;
        let daemon = read_pid(&pid_file).await;
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let left = [one, two, daemon];
        assert!(left.iter().all(|&pid| is_alive(pid)));
        left
    }

    fn run_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("killed")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_front_door_ends_them_and_removes_their_folder() {
    let mut killed = Other::start();
    let left = killed.kill().await;
    assert!(killed.run_dir().join("1").is_dir());

    let next = Running::start_with(|config| {
        config.orphan_mark = killed.mark.clone();
        config.run_dir = killed.dir.path().join("next");
    });
    let next = next.await.unwrap();
    assert!(!left.iter().any(|&pid| is_alive(pid)));
    assert!(!killed.run_dir().exists());
    let told =
        |event: &Event| matches!(event, Event::OrphansEnded { count } if *count >= left.len());
    assert!(next.events().iter().any(told), "{:?}", next.events());
    assert_eq!(next.ask("one", json!({})).await["count"], 1);
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_can_be_ended_without_a_front_door() {
    let mut killed = Other::start();
    let left = killed.kill().await;
    let mark = killed.mark.clone();
    let end = |mark: String, keep: Option<&'static str>| {
        tokio::task::spawn_blocking(move || end_orphans(&mark, keep))
    };
    assert_eq!(end("another agent".into(), None).await.unwrap().unwrap(), 0);
    assert_eq!(end(mark.clone(), Some("killed")).await.unwrap().unwrap(), 0);
    assert!(left.iter().all(|&pid| is_alive(pid)));
    assert_eq!(end(mark.clone(), None).await.unwrap().unwrap(), left.len());
    assert!(!left.iter().any(|&pid| is_alive(pid)));
    assert_eq!(end(mark, None).await.unwrap().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_door_that_is_asked_to_end_leaves_none() {
    let mut other = Other::start();
    let report = other.ask("one", json!({})).await;
    let pid = u32::try_from(report["pid"].as_u64().unwrap()).unwrap();
    terminate(other.process.id());
    let status =
        tokio::task::spawn_blocking(move || other.process.wait().map(|it| (it, other.run_dir())));
    let (status, run_dir) = status.await.unwrap().unwrap();
    assert!(status.success());
    assert!(!is_alive(pid));
    assert!(!Path::new(&run_dir).exists());
    eventually("nothing comes back", || !is_alive(pid)).await;
}

fn terminate(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}
