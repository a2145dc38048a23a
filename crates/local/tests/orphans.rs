//! What a front door leaves behind that is killed itself, and who ends it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use agentcore_local::{Event, FrontDoorConfig, end_orphans};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{self, Running, SESSION, is_alive, kill, program, read_pid};

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

    async fn pid(&self, session: &str) -> u32 {
        let report = self.ask(session, json!({})).await;
        u32::try_from(report["pid"].as_u64().unwrap()).unwrap()
    }

    async fn daemon(&self, session: &str, bare: bool) -> u32 {
        let pid_file = self.dir.path().join("daemon.pid");
        let kind = "daemon's parent";
        let order = json!({ "do": "daemon", "kind": kind, "bare": bare, "pid_file": pid_file });
        self.ask(session, order).await;
        read_pid(&pid_file).await
    }

    /// Kills the front door and returns the ids of what it left: two agents and a daemon.
    async fn kill(&mut self) -> [u32; 3] {
        let left = [
            self.pid("one").await,
            self.pid("two").await,
            self.daemon("two", false).await,
        ];
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        assert!(left.iter().all(|&pid| is_alive(pid)));
        left
    }

    /// Asks the front door to end and waits until it has.
    async fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = tokio::task::spawn_blocking(move || self.process.wait()).await;
        assert!(status.unwrap().unwrap().success());
    }

    fn run_dir(&self) -> PathBuf {
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
    let other = Other::start();
    let pid = other.pid("one").await;
    let run_dir = other.run_dir();
    other.end().await;
    assert!(!is_alive(pid));
    assert!(!run_dir.exists());
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "only Linux lets a process adopt its descendants"
)]
async fn a_daemon_without_any_trace_ends_with_the_front_door() {
    let other = Other::start();
    let daemon = other.daemon("one", true).await;
    kill(other.pid("one").await);
    assert!(is_alive(daemon));
    other.end().await;
    assert!(!is_alive(daemon));
}
