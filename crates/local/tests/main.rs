//! The front door from outside: real processes, real sockets, real signals.
//!
//! The agent that runs in the sandboxes is `programs/agent.rs`, which does what a test tells it.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is the test's failure"
)]

mod calls;
mod container_image;
mod container_support;
mod containers;
mod containers_ends;
mod containers_engine;
mod containers_left;
mod endings;
mod orphans;
mod service;
mod sessions;
mod socket_support;
mod sockets;
mod sockets_ends;
mod sockets_service;
mod spares;
mod starting;
mod streams;
mod support;

#[test]
fn no_test_file_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_module = path.extension().is_some_and(|it| it == "rs") && name != "main";
        assert!(
            !is_module || main.contains(&format!("mod {name};")),
            "{name}.rs is never run"
        );
    }
}
