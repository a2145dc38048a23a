//! A Python file that is served over HTTP by the native engine, and short ways to call it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use agentcore_host::{
    Capacity, EngineChoice, Interpreter, PythonAgent, Search, ServeError, ServeOptions, serve,
    unpack_python_package,
};
use agentcore_runtime::Address;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{eventually, free_port, real_path};

const SESSION: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// A file that is being served.
pub(crate) struct Served {
    pub(crate) folder: TempDir,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) serving: JoinHandle<Result<(), ServeError>>,
}

/// A caller of a served file.
pub(crate) struct Caller {
    url: String,
    client: reqwest::Client,
}

impl Served {
    pub(crate) fn start(code: &str) -> Self {
        Self::start_as(code, None)
    }

    pub(crate) fn start_as(code: &str, app: Option<&str>) -> Self {
        Self::begin(code, app, Capacity::default())
    }

    pub(crate) fn start_with(code: &str, capacity: Capacity) -> Self {
        Self::begin(code, None, capacity)
    }

    fn begin(code: &str, app: Option<&str>, capacity: Capacity) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.py");
        fs::write(&file, code).unwrap();
        let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let port = free_port();
        let search = Search {
            path: real_path(),
            ..Search::default()
        };
        let options = ServeOptions {
            agent: PythonAgent {
                file,
                app: app.map(str::to_owned),
                source_root: folder.path().to_owned(),
            },
            interpreter: Interpreter::find(&search).unwrap(),
            engine: EngineChoice::Native,
            address: Address::Tcp(format!("127.0.0.1:{port}")),
            package_dir: unpack_python_package(&cache).unwrap(),
            capacity,
            environment: None,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(options, async {
            let _ = stopped.await;
        }));
        let url = format!("http://127.0.0.1:{port}");
        let client = reqwest::Client::new();
        Self {
            folder,
            url,
            client,
            stop: Some(stop),
            serving,
        }
    }

    /// Waits until the port is bound.
    pub(crate) async fn bound(&self) {
        eventually(async || {
            self.client
                .get(format!("{}/ping", self.url))
                .send()
                .await
                .is_ok()
        })
        .await;
    }

    pub(crate) async fn post(&self, body: &str) -> reqwest::Response {
        self.bound().await;
        self.invocation(body).send().await.unwrap()
    }

    fn invocation(&self, body: &str) -> reqwest::RequestBuilder {
        self.caller().invocation(body)
    }

    /// Somebody who can call it from another task, once it is bound.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            url: format!("{}/invocations", self.url),
            client: self.client.clone(),
        }
    }

    /// Asks in a session.
    pub(crate) async fn ask_in(&self, session: &str, body: Value) -> (u16, Value) {
        self.bound().await;
        let request = self.invocation(&body.to_string()).header(SESSION, session);
        told(request.send().await.unwrap()).await
    }

    pub(crate) async fn ask(&self, body: Value) -> (u16, Value) {
        let response = self.post(&body.to_string()).await;
        told(response).await
    }

    pub(crate) async fn ping(&self) -> (u16, Value) {
        let response = self
            .client
            .get(format!("{}/ping", self.url))
            .send()
            .await
            .unwrap();
        told(response).await
    }

    pub(crate) async fn end(mut self) -> Result<(), ServeError> {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(Duration::from_secs(30), self.serving)
            .await
            .unwrap()
            .unwrap()
    }
}

impl Caller {
    pub(crate) async fn post(&self, body: &str) -> reqwest::Response {
        self.invocation(body).send().await.unwrap()
    }

    fn invocation(&self, body: &str) -> reqwest::RequestBuilder {
        self.client.post(&self.url).body(body.to_owned())
    }
}

async fn told(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body = response.text().await.unwrap();
    (status, serde_json::from_str(&body).unwrap())
}
