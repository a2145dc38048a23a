//! The least HTTP that a test needs: one request, one answer, over a connection of its own.

use std::io::{Read, Write};
use std::net::TcpStream;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Sends one request to a port of this machine; none if nothing answers there.
pub(crate) fn request(port: u16, method: &str, path: &str, body: &str) -> Option<Answer> {
    send(port, method, path, "", body)
}

/// Invokes the agent on a port of this machine in a session.
pub(crate) fn invoke_in(port: u16, session: &str, body: &str) -> Answer {
    let header = format!("x-amzn-bedrock-agentcore-runtime-session-id: {session}\r\n");
    send(port, "POST", "/invocations", &header, body).unwrap()
}

fn send(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n{headers}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: body.to_owned(),
    })
}

/// Whether what listens on the port is healthy.
pub(crate) fn is_healthy(port: u16) -> bool {
    request(port, "GET", "/ping", "").is_some_and(|it| it.status == 200)
}

/// A port on which nobody listens at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
