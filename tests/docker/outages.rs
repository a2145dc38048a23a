//! An engine that goes away, comes back, or runs out of disk: on private engines, which each test has for itself.

use serde_json::{Value, json};

use super::agents::OBEDIENT;
use super::private::Private;
use super::{Contained, host_dir};
use crate::live::{Project, until};

/// A Python project on a private engine, with the base image on it.
fn private(size: &str) -> Option<Private> {
    let folder = host_dir()?;
    let project = Project::new().with_variable("AGENTCORE_HOST_DIR", folder.to_str().unwrap());
    project.write("agent.py", OBEDIENT);
    let private = Private::start(size, project)?;
    let base = private.engine.make_base_image();
    private.project.configure(&[
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--base-image",
        &base,
    ]);
    Some(private)
}

fn launch(private: &Private) {
    let launch = [
        "launch",
        "--local",
        "--detach",
        "--port",
        "0",
        "--sandbox",
        "docker",
    ];
    private.run(&launch).expect_code(0);
}

fn count(private: &Private, session: &str) -> Value {
    let run =
        json!({ "run": "state['n'] = state.get('n', 0) + 1\nresult = state['n']" }).to_string();
    let finished = private.run(&["invoke", &run, "--session-id", session]);
    let answer: Value = serde_json::from_str(finished.expect_code(0)).unwrap();
    answer["result"].clone()
}

fn containers(private: &Private) -> usize {
    let label = private.project.path().display().to_string();
    private
        .engine
        .containers(&format!("agentcore.project={label}"))
        .len()
}

#[test]
fn an_engine_that_is_stopped_and_started_again_serves_new_sessions() {
    let Some(private) = private("1g") else {
        return;
    };
    launch(&private);
    assert_eq!([count(&private, "s"), count(&private, "s")], [1, 2]);

    private.stop_engine();
    let invoke = ["invoke", r#"{"run": "result = 1"}"#, "--session-id", "s"];
    until("the front door has noticed", || {
        private
            .run(&["logs", "--local"])
            .stdout
            .contains("sandbox has ended")
    });
    let failed = private.run(&invoke);
    assert_ne!(failed.code, 0);
    failed.says(&["error: ", "engine"]);
    let status = private.run(&["status", "--local"]);
    status.expect_code(0);

    private.start_engine();
    assert_eq!(
        count(&private, "s"),
        1,
        "a new sandbox, without another launch"
    );
    private.run(&["stop", "--local"]).expect_code(0);
    assert_eq!(containers(&private), 0, "those of before are gone too");
}

#[test]
fn what_an_engine_kept_while_it_was_away_is_removed_when_it_is_back() {
    let Some(private) = private("1g") else {
        return;
    };
    launch(&private);
    count(&private, "s");
    private.kill_engine();
    // Everything ends in bounded time without the engine too, and does not claim that nothing is left.
    let stopped = private.run(&["stop", "--local"]);
    assert!(
        stopped.code == 9 || stopped.stderr.contains("engine"),
        "{stopped:?}"
    );
    let status = private.run(&["status", "--local"]);
    assert!(status.stdout.contains("does not run"), "{status:?}");

    private.start_engine();
    assert!(containers(&private) > 0, "they have outlived both");
    private.run(&["stop", "--local"]).expect_code(0);
    assert_eq!(containers(&private), 0);
}

#[test]
fn a_launch_without_an_engine_names_what_was_tried_and_a_later_one_works() {
    let Some(private) = private("1g") else {
        return;
    };
    private.stop_engine();
    let launch_only = [
        "launch",
        "--local",
        "--detach",
        "--port",
        "0",
        "--sandbox",
        "docker",
    ];
    let failed = private.run(&launch_only);
    failed.expect_code(9);
    failed.says(&["error: ", "docker.sock", "hint: ", "--sandbox process"]);
    let written = private
        .project
        .path()
        .join(".agentcore/my_agent/Dockerfile");
    assert!(written.exists(), "written before the engine is asked for");

    private.start_engine();
    launch(&private);
    assert_eq!(count(&private, "s"), 1);
    private.run(&["stop", "--local"]).expect_code(0);
}

#[test]
fn a_disk_that_is_full_is_named_and_auto_does_not_fall_back() {
    let Some(private) = private("160m") else {
        return;
    };
    let large = vec![b'x'; 200_000_000];
    std::fs::write(private.project.path().join("model.bin"), large).unwrap();
    for sandbox in ["docker", "auto"] {
        let launch = [
            "launch",
            "--local",
            "--detach",
            "--port",
            "0",
            "--sandbox",
            sandbox,
        ];
        let failed = private.run(&launch);
        failed.expect_code(9);
        failed.says(&["error: ", "disk", "hint: "]);
    }
    // With room again, the same command works.
    std::fs::remove_file(private.project.path().join("model.bin")).unwrap();
    launch(&private);
    assert_eq!(count(&private, "s"), 1);
    private.run(&["stop", "--local"]).expect_code(0);
    assert_eq!(containers(&private), 0);
}

#[test]
fn an_engine_elsewhere_is_refused_by_name() {
    let Some(contained) = Contained::python(OBEDIENT) else {
        return;
    };
    for host in ["ssh://me@build.example", "tcp://192.0.2.1:2375"] {
        let elsewhere = |sandbox: &str| {
            let args = [
                "launch",
                "--local",
                "--detach",
                "--port",
                "0",
                "--sandbox",
                sandbox,
            ];
            let mut command = contained.command(&args);
            crate::live::finish(command.env("DOCKER_HOST", host))
        };
        let failed = elsewhere("docker");
        failed.expect_code(9);
        failed.says(&["error: ", host, "hint: "]);
    }
}
