//! What the agent of the tests sees of its sandbox: files, rights, neighbours, memory.
//!
//! Every look answers a JSON object; what fails is `error` in it, not a status.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Looks at one thing.
pub(crate) fn around(at: &Value, path: &str) -> Response {
    let seen = match at.as_str().unwrap_or_default() {
        "read" => std::fs::read_to_string(path).map(|text| json!({ "text": text })),
        "write" => std::fs::write(path, "mine").map(|()| json!({})),
        "folder" => folder(path),
        "run" => run(Path::new(path)),
        "address" => own_address().map(|address| json!({ "address": address.to_string() })),
        "reach" => reach(path).map(|()| json!({})),
        "memory" => Ok(json!({ "bytes": fill(path) })),
        other => Err(io::Error::other(format!("nothing is known of `{other}`"))),
    };
    let seen = seen.unwrap_or_else(|error| json!({ "error": error.to_string() }));
    seen.to_string().into_response()
}

fn folder(path: &str) -> io::Result<Value> {
    let found = std::fs::metadata(path)?;
    Ok(json!({
        "mode": format!("{:o}", found.permissions().mode() & 0o7777),
        "uid": found.uid(),
    }))
}

/// Copies this program to `path` and runs it there.
fn run(path: &Path) -> io::Result<Value> {
    std::fs::copy(std::env::current_exe()?, path)?;
    let output = Command::new(path).args(["say", "hello"]).output()?;
    Ok(json!({ "said": String::from_utf8_lossy(&output.stdout) }))
}

/// The address that packets would leave from; none is sent.
fn own_address() -> io::Result<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
}

fn reach(address: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).map(drop)
}

/// Takes that many bytes of memory and uses every page of them.
fn fill(bytes: &str) -> usize {
    let mut taken = vec![0_u8; bytes.parse().unwrap_or_default()];
    for page in taken.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&taken).len()
}
