//! The crate against a real engine and real files.

#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is the test's failure"
)]
#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod build;
mod build_failures;
mod containers;
mod containers_logs;
mod containers_network;
mod context_archive;
mod context_cases;
mod context_walk;
mod find;
mod find_sockets;
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
