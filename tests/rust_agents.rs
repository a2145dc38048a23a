//! Rust agents: built by cargo, run as they are.

use serde_json::Value;

use crate::live::Project;
use crate::live::agents::copy_rust_example;

#[test]
fn a_rust_agent_is_built_launched_and_invoked() {
    let project = Project::new();
    copy_rust_example(&project, "hello-rust");
    project.configure(&["--entrypoint", "Cargo.toml", "--name", "hello"]);
    project.launch(&[]);
    let answer = project.run(&["invoke", "hi"]);
    assert_eq!(answer.expect_code(0), "{\"result\": \"You said: hi\"}\n");
}

#[test]
fn sessions_of_a_rust_agent_share_nothing() {
    let project = Project::new();
    copy_rust_example(&project, "sessions-rust");
    project.configure(&["--entrypoint", ".", "--name", "sessions"]);
    project.launch(&[]);
    let count = |session: &str| {
        let finished = project.run(&["invoke", "hi", "--session-id", session]);
        let answer: Value = serde_json::from_str(finished.expect_code(0)).unwrap();
        assert!(
            answer["session"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{session}-")),
            "{answer}"
        );
        answer["count"].as_u64().unwrap()
    };
    assert_eq!(
        [count("one"), count("one"), count("two"), count("one")],
        [1, 2, 1, 3]
    );
}

#[test]
fn the_stream_of_a_rust_agent_is_shown() {
    let project = Project::new();
    copy_rust_example(&project, "streaming-rust");
    project.configure(&["--entrypoint", "src/main.rs", "--name", "streaming"]);
    project.launch(&[]);
    let answer = project.run(&["invoke", "one two three"]);
    assert_eq!(answer.expect_code(0), "You said: one two three\n");
}

#[test]
fn a_build_that_fails_shows_the_compilers_words() {
    let project = Project::new();
    project.write(
        "Cargo.toml",
        "[package]\nname = \"wrong\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    project.write("src/main.rs", "fn main() { let number: u8 = \"text\"; }\n");
    project.configure(&["--entrypoint", "Cargo.toml", "--name", "wrong"]);
    let failed = project.run(&["launch", "--local", "--detach", "--port", "0"]);
    assert_eq!(failed.expect_code(1), "");
    failed.says(&[
        "mismatched types",
        "error: `cargo build` failed",
        "hint: repair what the compiler reports",
    ]);
}

#[test]
fn a_rust_program_that_ends_instead_of_serving_is_class_8() {
    let project = Project::new();
    project.write(
        "Cargo.toml",
        "[package]\nname = \"brief\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    project.write(
        "src/main.rs",
        "fn main() { eprintln!(\"no configuration\"); std::process::exit(4) }\n",
    );
    project.configure(&["--entrypoint", ".", "--name", "brief"]);
    let failed = project.run(&["launch", "--local", "--detach", "--port", "0"]);
    failed.expect_code(8);
    failed.says(&["no configuration", "exit status 4"]);
}
