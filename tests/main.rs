//! Tests of the CLI from outside, one program for all of them.
//!
//! A test that cannot run says so and fails where `CI` is set; none passes by doing nothing.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, a panic with its place is the right report"
)]

mod architecture;
mod config_files;
mod configure;
mod configure_image;
mod configure_prompts;
mod configure_prompts_authorizer;
mod configure_prompts_found;
mod configure_prompts_terminal;
mod configure_refusals;
mod configure_rust;
mod configure_toolkit;
mod docker;
mod examples;
mod frameworks;
mod invoke;
mod launch;
mod launch_environment;
mod launch_progress;
mod launch_sandbox;
mod live;
mod official_sdk;
mod output;
mod peers;
mod rust_agents;
mod serve;
mod stop;
mod support;
mod usage;
mod wire;

#[test]
fn no_test_file_is_forgotten() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_test = path.extension().is_some_and(|it| it == "rs") && name != "main";
        assert!(
            !is_test || main.contains(&format!("\nmod {name};\n")),
            "{name}.rs is never run"
        );
    }
}
