//! The Docker engine that the tests look at, by its own interface: what they check must not come from the code under test.
//!
//! One request a connection, in HTTP/1.0, whose answers end where the connection does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{is_ci, workspace};

/// An engine that takes longer than this for one answer is broken.
const LIMIT: Duration = Duration::from_mins(2);

/// An engine on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Socket(PathBuf),
    Port(String),
}

/// The engine of this machine.
///
/// Without one, the test fails where `CI` is set; whoever runs it by hand is told, and goes on without.
pub(crate) fn engine() -> Option<&'static Engine> {
    static FOUND: OnceLock<Option<Engine>> = OnceLock::new();
    let found = FOUND.get_or_init(|| Some(Engine::of_environment()).filter(Engine::answers));
    if found.is_none() {
        not_run("no Docker engine answers; start one, or name it in `DOCKER_HOST`");
    }
    found.as_ref()
}

/// Says that a test is skipped; where `CI` is set, it fails.
pub(crate) fn not_run(reason: &str) {
    assert!(!is_ci(), "not run: {reason}");
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("not run: {reason}");
    }
}

/// The Python image that agents are built on: made by `cargo xtask test`, or by the first test that asks.
pub(crate) fn base_image() -> &'static str {
    static MADE: OnceLock<String> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = variable("AGENTCORE_TEST_BASE_IMAGE");
        made.unwrap_or_else(|| Engine::of_environment().make_base_image())
    })
}

impl Engine {
    fn of_environment() -> Self {
        let host = variable("DOCKER_HOST").unwrap_or_else(|| "unix:///var/run/docker.sock".into());
        match host.split_once("://") {
            Some(("unix", path)) => Self::at(path),
            Some(("tcp", address)) => Self {
                place: Place::Port(address.to_owned()),
            },
            _ => panic!("`DOCKER_HOST` is `{host}`, which is neither unix:// nor tcp://"),
        }
    }

    /// The engine whose socket is at `path`.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::Socket(path.into()),
        }
    }

    /// What `DOCKER_HOST` must be for this engine.
    pub(crate) fn host(&self) -> String {
        match &self.place {
            Place::Socket(path) => format!("unix://{}", path.display()),
            Place::Port(address) => format!("tcp://{address}"),
        }
    }

    /// Whether it answers.
    pub(crate) fn answers(&self) -> bool {
        self.request("GET", "/_ping")
            .is_some_and(|(status, _)| status == 200)
    }

    /// Makes the base image if it is not there, and returns its name.
    pub(crate) fn make_base_image(&self) -> String {
        let script = workspace().join("tests/docker/base_image.py");
        let made = Command::new("python3")
            .arg(script)
            .env("DOCKER_HOST", self.host())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "no base image: {told}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// What is at `path`; null if there is nothing.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        match self.request("GET", path) {
            Some((200, body)) => serde_json::from_str(&body).unwrap(),
            Some((404, _)) => Value::Null,
            other => panic!("GET {path}: {other:?}"),
        }
    }

    /// All containers with a label (`name=value`, or `name` with any value), stopped ones too.
    pub(crate) fn containers(&self, label: &str) -> Vec<Value> {
        self.list("/containers/json?all=1&filters=", label)
    }

    /// All images with a label, untagged ones too.
    pub(crate) fn images(&self, label: &str) -> Vec<Value> {
        self.list("/images/json?filters=", label)
    }

    /// All networks with a label.
    pub(crate) fn networks(&self, label: &str) -> Vec<Value> {
        self.list("/networks?filters=", label)
    }

    fn list(&self, path: &str, label: &str) -> Vec<Value> {
        let filter = json!({ "label": [label] }).to_string();
        let listed = self.get(&format!("{path}{}", encoded(&filter)));
        listed.as_array().cloned().unwrap_or_default()
    }

    /// Everything about a container.
    pub(crate) fn container(&self, id: &str) -> Value {
        self.get(&format!("/containers/{id}/json"))
    }

    /// Removes what is at `path`; what is gone already is no failure.
    pub(crate) fn remove(&self, path: &str) {
        self.request("DELETE", path);
    }

    /// Sets limits of a container that runs.
    #[track_caller]
    pub(crate) fn update(&self, container: &str, limits: &Value) {
        let path = format!("/containers/{container}/update");
        let answer = self.send("POST", &path, &limits.to_string());
        assert!(matches!(answer, Some((200, _))), "{answer:?}");
    }

    /// Kills a container, as somebody else would.
    #[track_caller]
    pub(crate) fn kill(&self, container: &str) {
        let answer = self.request("POST", &format!("/containers/{container}/kill"));
        assert!(matches!(answer, Some((204, _))), "{answer:?}");
    }

    fn request(&self, method: &str, path: &str) -> Option<(u16, String)> {
        self.send(method, path, "")
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        match &self.place {
            Place::Socket(socket) => {
                let stream = UnixStream::connect(socket).ok()?;
                stream.set_read_timeout(Some(LIMIT)).ok()?;
                exchange(stream, method, path, body)
            }
            Place::Port(address) => {
                let stream = TcpStream::connect(address).ok()?;
                stream.set_read_timeout(Some(LIMIT)).ok()?;
                exchange(stream, method, path, body)
            }
        }
    }
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    body: &str,
) -> Option<(u16, String)> {
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: docker\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The text as a part of a query.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut query = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            query.push(char::from(byte));
        } else {
            write!(query, "%{byte:02X}").unwrap();
        }
    }
    query
}

/// A variable of the test's own environment.
#[expect(
    clippy::disallowed_methods,
    reason = "where the engine and the prepared files are is told by the environment of the test itself"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}
