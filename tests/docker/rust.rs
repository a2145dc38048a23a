//! Rust agents in containers: built by cargo into an image of nothing but the program.

use serde_json::{Value, json};

use super::Contained;
use crate::live::agents::copy_rust_example;

#[test]
fn a_rust_agent_is_built_and_runs_in_an_image_of_its_own() {
    let Some(project) = Contained::new() else {
        return;
    };
    copy_rust_example(&project, "hello-rust");
    project.configure(&["--entrypoint", "Cargo.toml", "--name", "hello"]);
    project.launch_auto(&[]);
    let answer = project.run(&["invoke", "hi", "--session-id", "s"]);
    assert_eq!(answer.expect_code(0), "{\"result\": \"You said: hi\"}\n");

    let images = project.images();
    assert_eq!(images.len(), 1);
    let image = project.engine().get(&format!(
        "/images/{}/json",
        images[0]["Id"].as_str().unwrap()
    ));
    let size = image["Size"].as_u64().unwrap();
    assert!(
        size < 30_000_000,
        "the program, certificates and no more: {size} bytes"
    );
    let user = image["Config"]["User"].as_str().unwrap();
    assert_eq!(user.split(':').next(), Some("10001"));
    let container = project.container("s");
    assert_eq!(container["HostConfig"]["ReadonlyRootfs"], true);
    project.run(&["stop", "--local"]).expect_code(0);
    project.left_nothing();
}

#[test]
fn sessions_of_a_rust_agent_share_nothing_and_streams_are_shown() {
    let Some(project) = Contained::new() else {
        return;
    };
    copy_rust_example(&project, "sessions-rust");
    project.configure(&["--entrypoint", ".", "--name", "sessions"]);
    project.launch(&[]);
    let count = |session: &str| {
        let finished = project.run(&["invoke", "hi", "--session-id", session]);
        let answer: Value = serde_json::from_str(finished.expect_code(0)).unwrap();
        answer["count"].clone()
    };
    assert_eq!(
        [count("one"), count("one"), count("two"), count("one")],
        [json!(1), json!(2), json!(1), json!(3)]
    );
}

#[test]
fn a_rust_agent_writes_to_tmp_and_nowhere_else() {
    let Some(project) = Contained::new() else {
        return;
    };
    // A package of another name than the other tests build: all builds go into one folder.
    copy_rust_example(&project, "streaming-rust");
    project.write(
        "src/main.rs",
        r#"
use agentcore_runtime::App;
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), agentcore_runtime::RunError> {
    App::new(|_: Value| async {
        let write = |path: &str| std::fs::write(path, "x").is_ok();
        json!({ "tmp": write("/tmp/x"), "root": write("/x"), "temp_dir": write(&std::env::temp_dir().join("y").display().to_string()) })
    })
    .run()
    .await
}
"#,
    );
    project.configure(&["--entrypoint", ".", "--name", "writing"]);
    project.launch(&[]);
    let answer = project.ask("s", &json!({}));
    assert_eq!(
        answer,
        json!({ "tmp": true, "root": false, "temp_dir": true })
    );
}

#[test]
fn a_build_that_fails_shows_the_compilers_words() {
    let Some(project) = Contained::new() else {
        return;
    };
    project.write(
        "Cargo.toml",
        "[package]\nname = \"wrong\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    project.write("src/main.rs", "fn main() { let number: u8 = \"text\"; }\n");
    project.configure(&["--entrypoint", "Cargo.toml", "--name", "wrong"]);
    let failed = project.launch_fails(&[], 1);
    failed.says(&["mismatched types", "error: ", "hint: "]);
    project.left_nothing();
}
