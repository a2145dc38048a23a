//! The crate from outside: real worker processes, real sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod attach;
mod attached;
mod back_pressure;
mod binary;
mod calls;
mod cancel;
mod containment;
mod death;
mod flood;
mod interpreter;
mod kills;
mod launchers;
mod load;
mod misbehaviour;
mod python;
mod sdk;
mod support;
mod websockets;

#[test]
fn no_test_file_is_forgotten() {
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_test = path.extension().is_some_and(|it| it == "rs") && name != "main";
        assert!(
            !is_test || main.contains(&format!("mod {name};")),
            "{name}.rs is never run"
        );
    }
}
