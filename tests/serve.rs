//! `serve`: one agent in the foreground, without a project.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::live::agents::{BROKEN, COUNTING, copy_rust_example};
use crate::live::http::{free_port, is_healthy, request};
use crate::live::{Project, Running, until};

fn serve(project: &Project, args: &[&str]) -> (Running, u16) {
    let port = free_port();
    let running = project.start(&[&["serve", "--port", &port.to_string()], args].concat());
    until("it is healthy", || is_healthy(port));
    (running, port)
}

#[test]
fn a_python_file_is_served_without_a_project() {
    let project = Project::new();
    project.write("deep/agent.py", COUNTING);
    for (entrypoint, signal, code) in [
        ("deep/agent.py", Signal::INT, 130),
        ("deep/agent.py:app", Signal::TERM, 0),
        ("deep", Signal::TERM, 0),
    ] {
        let (running, port) = serve(&project, &[entrypoint]);
        let answer = request(port, "POST", "/invocations", r#"{"prompt": "hi"}"#).unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("You said: hi"), "{}", answer.body);
        running.signal(signal);
        running.finish().expect_code(code);
        assert!(!is_healthy(port));
    }
    assert!(
        !project.path().join(".agentcore").exists(),
        "no project, no state"
    );
}

#[test]
fn the_address_comes_from_flags_or_from_the_surroundings() {
    let port = free_port();
    let project = Project::new().with_variable("AGENTCORE_LISTEN", &format!("127.0.0.1:{port}"));
    project.write("agent.py", COUNTING);
    let running = project.start(&["--output", "json", "serve", "agent.py"]);
    until("it is healthy where the variable says", || is_healthy(port));
    let (other, other_port) = serve(&project, &["agent.py"]);
    assert_ne!(port, other_port, "a flag is stronger");
    running.signal(Signal::TERM);
    let finished = running.finish();
    let report: Value =
        serde_json::from_str(finished.expect_code(0).lines().last().unwrap()).unwrap();
    assert_eq!(report["ended_by"], "terminate");
    other.signal(Signal::TERM);
    other.finish().expect_code(0);

    let wrong = Project::new().with_variable("AGENTCORE_LISTEN", "nowhere");
    wrong.write("agent.py", COUNTING);
    wrong
        .run(&["serve", "agent.py"])
        .says(&["`AGENTCORE_LISTEN` is not an address"])
        .expect_code(3);
}

#[test]
fn what_cannot_be_served_is_told_clearly() {
    let project = Project::new();
    project.write("agent.py", COUNTING);
    project.write("broken.py", BROKEN);
    project.write("two/agent.py", COUNTING);
    project.write("two/main.py", COUNTING);
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (args, code, says) in [
        (&["serve", "none.py"][..], 2, "there is no `none.py`"),
        (
            &["serve", "two"],
            2,
            "more than one agent: agent.py, main.py",
        ),
        (
            &["serve", "agent.py", "--python", "/no/python"],
            1,
            "/no/python",
        ),
        (&["serve", "agent.py", "--port", &port], 1, "--port"),
        (&["serve", "agent.py", "--host", "nowhere"], 2, "nowhere"),
        (
            &["serve", "agent.py", "--engine", "sdk"],
            3,
            "bedrock-agentcore",
        ),
        (
            &["serve", "broken.py", "--port", "0"],
            8,
            "RuntimeError: the model is missing",
        ),
    ] {
        let finished = project.run(args);
        finished.expect_code(code);
        finished.says(&[says, "error: ", "hint: "]);
    }
    assert!(
        project
            .run(&["serve", "broken.py", "--port", "0"])
            .stderr
            .contains("Traceback")
    );
}

#[test]
fn without_a_home_the_cache_is_a_folder_that_nobody_else_can_write_to() {
    let project = Project::new();
    let temp = project.path().join("temp");
    let cache = temp.join(format!(
        "agentcore-cache-{}",
        rustix::process::geteuid().as_raw()
    ));
    let project = project
        .with_variable("HOME", "")
        .with_variable("XDG_CACHE_HOME", "")
        .with_variable("TMPDIR", temp.to_str().unwrap());
    project.write("agent.py", COUNTING);
    fs::create_dir_all(&cache).unwrap();
    fs::set_permissions(&cache, Permissions::from_mode(0o777)).unwrap();
    let refused = project.run(&["serve", "agent.py", "--port", "0"]);
    refused.expect_code(1);
    refused.says(&["somebody else may write to", "hint: set `HOME`"]);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);

    fs::remove_dir(&cache).unwrap();
    let (running, _) = serve(&project, &["agent.py"]);
    assert_eq!(
        fs::metadata(&cache).unwrap().permissions().mode() & 0o777,
        0o700
    );
    running.signal(Signal::TERM);
    running.finish().expect_code(0);
}

#[test]
fn a_rust_agent_is_built_and_served() {
    let project = Project::new();
    copy_rust_example(&project, "hello-rust");
    for (entrypoint, signal, code) in [(".", Signal::INT, 130), ("src/main.rs", Signal::TERM, 0)] {
        let (running, port) = serve(&project, &[entrypoint]);
        let answer = request(port, "POST", "/invocations", r#"{"prompt": "hi"}"#).unwrap();
        assert_eq!(answer.body, r#"{"result": "You said: hi"}"#);
        running.signal(signal);
        running.finish().expect_code(code);
        assert!(!is_healthy(port));
    }
}

#[test]
fn a_rust_agent_that_ends_on_its_own_has_failed() {
    let project = Project::new();
    project.write(
        "Cargo.toml",
        "[package]\nname = \"short\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    );
    project.write("src/main.rs", "fn main() { std::process::exit(3) }\n");
    let finished = project.run(&["serve", ".", "--port", "0"]);
    finished.expect_code(8);
    finished.says(&["the agent ended on its own (exit status: 3)"]);
}
