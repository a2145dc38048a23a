//! Tests of the crate from outside: handlers and routes without a socket, streams and shutdown over real connections.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod compile_errors;
mod connections;
mod handlers;
mod health;
mod lifecycle;
mod limits;
mod logs;
mod middleware;
mod payloads;
mod replies;
mod routes;
mod session_ends;
mod sessions;
mod streams;
mod support;
mod tasks;
mod test_agent;
mod websocket;

#[test]
fn no_test_file_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_test = path.extension().is_some_and(|it| it == "rs") && name != "main";
        assert!(
            !is_test || main.contains(&format!("mod {name};")),
            "{name}.rs is never run"
        );
    }
}
