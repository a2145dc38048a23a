//! What the tests against a real engine share: the engine, an image to run, archives, and cleaning up.

pub(crate) mod docker;
mod probe;
pub(crate) mod proxy;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agentcore_docker::{ContainerRequest, Endpoint, Engine, NetworkRequest, Surroundings, find};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The engine of this machine. Where there is none, the test says that it was not run; in CI that is a failure.
pub(crate) async fn engine() -> Option<Engine> {
    match find(&surroundings()).await {
        Ok(engine) => Some(engine),
        Err(error) if variable("CI").is_some_and(|it| it == "true" || it == "1") => {
            panic!("CI needs a Docker engine: {error}")
        }
        Err(error) => {
            eprintln!("not run: no Docker engine: {error}");
            None
        }
    }
}

/// What the docker command would read in this environment.
pub(crate) fn surroundings() -> Surroundings {
    let home = variable("HOME").map(PathBuf::from);
    Surroundings {
        host: variable("DOCKER_HOST"),
        context: variable("DOCKER_CONTEXT"),
        config_dir: variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|it| it.join(".docker"))),
        home,
        runtime_dir: variable("XDG_RUNTIME_DIR").map(PathBuf::from),
        tls_verify: variable("DOCKER_TLS_VERIFY").is_some(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told about their machine"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The things of one test on the engine: they share a label, by which all of them are removed when this is dropped, also
/// by a failing test.
pub(crate) struct Things {
    pub(crate) engine: Engine,
    /// Unique among all tests and their runs.
    pub(crate) name: String,
}

impl Things {
    pub(crate) async fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let engine = engine().await?;
        let name = format!("agentcore-test-a-{}-{count}", std::process::id());
        Some(Self { engine, name })
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(LABEL.to_owned(), self.name.clone())])
    }

    /// A container of the probe: `things.request(&["exit", "3"])`.
    pub(crate) async fn request(&self, command: &[&str]) -> ContainerRequest {
        ContainerRequest {
            name: self.name.clone(),
            image: probe::image(&self.engine).await,
            command: Some(command.iter().map(|&word| word.to_owned()).collect()),
            labels: self.labels(),
            port: 8080,
            ..ContainerRequest::default()
        }
    }

    pub(crate) fn network(&self) -> NetworkRequest {
        NetworkRequest {
            name: self.name.clone(),
            labels: self.labels(),
        }
    }
}

const LABEL: &str = "agentcore.test";

impl Drop for Things {
    fn drop(&mut self) {
        let (endpoint, labels, name) = (
            self.engine.endpoint().clone(),
            self.labels(),
            self.name.clone(),
        );
        // A thread of its own: this may be dropped inside a runtime, which must not be blocked by another one.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(clean(&endpoint, &labels, &name));
        });
        cleaning.join().unwrap();
    }
}

async fn clean(endpoint: &Endpoint, labels: &BTreeMap<String, String>, name: &str) {
    let engine = Engine::open(endpoint).await.unwrap();
    for found in engine.containers_with(labels).await.unwrap() {
        found.container.remove().await.unwrap();
    }
    engine.remove_network(name).await.unwrap();
    for image in engine.images_with(labels).await.unwrap() {
        engine.remove_image(&image.id).await.unwrap();
    }
}

/// A build context of these files, mode 755.
pub(crate) fn context(
    files: &[(&str, &[u8])],
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static + use<> {
    let parts: Vec<_> = archive(files)
        .chunks(64 * 1024)
        .map(Bytes::copy_from_slice)
        .collect();
    stream::iter(parts.into_iter().map(Ok))
}

/// A tar archive of these files, mode 755.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The program that containers of tests run.
pub(crate) fn probe_program() -> Vec<u8> {
    std::fs::read(probe::program()).unwrap()
}

/// The body of the answer to `GET path`.
pub(crate) async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

/// The same, asked again until the program in the container listens.
pub(crate) async fn get_when_ready(address: SocketAddr, path: &str) -> String {
    for _ in 0..500 {
        if let Ok(body) = get(address, path).await {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody answers at {address}")
}

/// Sends a request to the engine as it is, for what this crate never asks of one; returns the body of the answer.
pub(crate) async fn raw(engine: &Engine, method: &str, path: &str, body: &str) -> String {
    let Endpoint::Unix(socket) = engine.endpoint() else {
        panic!("these tests need an engine on a Unix socket");
    };
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let length = body.len();
    let head = "host: engine\r\nconnection: close\r\ncontent-type: application/json";
    let request =
        format!("{method} {path} HTTP/1.0\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 20"), "{method} {path}: {answer}");
    body.to_owned()
}

/// Waits until `condition` holds, for at most ten seconds.
pub(crate) async fn eventually<F>(what: &str, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    for _ in 0..200 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within ten seconds: {what}");
}
