//! A running front door with its agent, and what tests ask of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agentcore_local::{
    Event, FrontDoor, FrontDoorConfig, Limits, ProcessSpec, SandboxKind, StartError, StatusReport,
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
pub(crate) const ARN: &str =
    "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/my_agent-a1B2c3D4e5";

/// How long anything may take that has no limit of its own.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A front door that serves until it is ended.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) dir: TempDir,
    pub(crate) client: reqwest::Client,
    events: Arc<Mutex<Vec<Event>>>,
    run_dir: PathBuf,
    end: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Returns the limits of most tests: nothing ends by itself.
pub(crate) fn limits() -> Limits {
    Limits {
        max_sandboxes: 16,
        ..Limits::default()
    }
}

/// Returns a program of this package that was built with the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let program = target.join("examples").join(name);
    assert!(program.exists(), "{} was not built", program.display());
    program
}

/// Returns the configuration of a front door that lives in `dir`.
pub(crate) fn config(dir: &Path) -> FrontDoorConfig {
    let dir_text = dir.to_str().unwrap().to_owned();
    FrontDoorConfig {
        agent: "my_agent".into(),
        arn: ARN.into(),
        instance: "instance-1".into(),
        spec: ProcessSpec {
            program: program("local_test_agent"),
            args: vec![],
            cwd: dir.to_owned(),
            env: BTreeMap::from([
                ("HOME".into(), "/overruled".into()),
                ("GREETING".into(), "hello".into()),
                ("TEST_DIR".into(), dir_text.clone()),
            ]),
        }
        .into(),
        limits: limits(),
        run_dir: dir.join("run"),
        orphan_mark: format!("{dir_text}#my_agent"),
        events: Arc::new(|_| ()),
    }
}

/// Adds a variable to the environment of the sandboxes.
pub(crate) fn set(config: &mut FrontDoorConfig, name: &str, value: &str) {
    let SandboxKind::Process(process) = &mut config.spec.kind else {
        panic!("the tests run processes");
    };
    process.env.insert(name.into(), value.into());
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await.unwrap()
    }

    /// A front door with other limits.
    pub(crate) async fn limited(limits: Limits) -> Self {
        Self::start_with(|config| config.limits = limits)
            .await
            .unwrap()
    }

    pub(crate) async fn start_with(
        change: impl FnOnce(&mut FrontDoorConfig),
    ) -> Result<Self, StartError> {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let heard = Arc::clone(&events);
        config.events = Arc::new(move |event| heard.lock().unwrap().push(event));
        change(&mut config);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let run_dir = config.run_dir.clone();
        let front_door = FrontDoor::start(config, listener).await?;
        let url = format!("http://{}", front_door.local_addr());
        let (end, ended) = oneshot::channel();
        let serving = tokio::spawn(front_door.serve(async move { drop(ended.await) }));
        Ok(Self {
            url,
            dir,
            client: reqwest::Client::new(),
            events,
            run_dir,
            end,
            serving,
        })
    }

    /// Ends the front door and returns when it has returned.
    pub(crate) async fn end(self) {
        let Self {
            dir,
            end,
            serving,
            run_dir,
            ..
        } = self;
        end.send(()).unwrap();
        let served = tokio::time::timeout(PATIENCE, serving).await;
        served.unwrap().unwrap().unwrap();
        assert!(!run_dir.exists(), "the folder is left");
        drop(dir);
    }

    /// Drops the front door while it serves.
    pub(crate) async fn abort(self) {
        self.serving.abort();
        assert!(self.serving.await.unwrap_err().is_cancelled());
    }

    pub(crate) fn post(&self, path: &str, session: &str, order: &Value) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.url));
        request.header(SESSION, session).body(order.to_string())
    }

    /// Makes a plain invocation.
    pub(crate) async fn call(&self, session: &str, order: Value) -> Response {
        self.post("/invocations", session, &order)
            .send()
            .await
            .unwrap()
    }

    /// Makes a plain invocation that succeeds, and returns what the agent answered.
    pub(crate) async fn ask(&self, session: &str, order: Value) -> Value {
        let response = self.call(session, order).await;
        let status = response.status();
        let body = response.text().await.unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Returns the id of the main process of a session's sandbox.
    pub(crate) async fn pid(&self, session: &str) -> u32 {
        let report = self.ask(session, json!({})).await;
        u32::try_from(report["pid"].as_u64().unwrap()).unwrap()
    }

    pub(crate) async fn status(&self) -> StatusReport {
        let address = self.url.strip_prefix("http://").unwrap().parse().unwrap();
        StatusReport::fetch(address, PATIENCE).await.unwrap()
    }

    /// Closes the connections that were kept for further calls.
    pub(crate) fn with_fresh_client(mut self) -> Self {
        self.client = reqwest::Client::new();
        self
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// Returns the file in the test's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Has the agent of `session` start a daemon, and returns the daemon's id.
    pub(crate) async fn daemon(&self, session: &str, kind: &str, bare: bool) -> u32 {
        let pid_file = self.file("daemon.pid");
        let order = json!({ "do": "daemon", "kind": kind, "bare": bare, "pid_file": pid_file });
        self.ask(session, order).await;
        read_pid(&pid_file).await
    }
}

pub(crate) async fn body_of(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Returns the id in a file, once it is there.
pub(crate) async fn read_pid(file: &Path) -> u32 {
    eventually("the daemon notes its id", || file.exists()).await;
    let pid = std::fs::read_to_string(file).unwrap().parse().unwrap();
    std::fs::remove_file(file).unwrap();
    pid
}

/// Waits until something is so, and fails after a long time.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < PATIENCE,
            "in {PATIENCE:?} it did not happen that {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Tells whether a process runs; one that has ended and was not collected does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let handle = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let exists = rustix::process::test_kill_process(handle).is_ok();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|it| it.chars().next());
    exists && !matches!(state, Some('Z' | 'X'))
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
