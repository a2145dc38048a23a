//! How `launch --local` chooses between containers and processes, and what it says: on machines without an engine, or with
//! one that cannot be used. What an engine does is tested where there is one.

use std::fs;
use std::os::unix::net::UnixListener;

use serde_json::{Value, json};

use crate::live::agents::COUNTING;
use crate::live::{Finished, Project, kill, number, until};

const DOCKER: [&str; 4] = ["launch", "--local", "--sandbox", "docker"];
const AUTO: [&str; 5] = ["launch", "--local", "--detach", "--port", "0"];

/// A project of a shell that names an engine.
fn with_engine(host: &str) -> Project {
    Project::python(COUNTING).with_variable("DOCKER_HOST", host)
}

/// The address of a socket on which nobody listens any more.
fn dead_socket(project: &Project) -> String {
    let path = project.path().join("docker.sock");
    drop(UnixListener::bind(&path).unwrap());
    format!("unix://{}", path.display())
}

fn launch(project: &Project, args: &[&str]) -> Finished {
    project.run(&[&AUTO[..], args].concat())
}

#[test]
fn without_an_engine_containers_are_class_9_and_everything_that_needs_none_is_done() {
    let project = Project::python(COUNTING);
    let finished = project.run(&DOCKER);
    assert_eq!(finished.expect_code(9), "");
    finished.says(&[
        "error: the Docker engine of DOCKER_HOST does not answer (unix:///nonexistent/docker.sock: ",
        "hint: ",
        "run each session in a process instead, with `--sandbox process`",
    ]);
    assert!(!finished.stderr.contains("gets a"), "{finished:?}");
    let dockerfile = fs::read_to_string(project.path().join(".agentcore/my_agent/Dockerfile"));
    assert!(dockerfile.unwrap().contains("FROM python:3.13-slim"));
    assert!(
        !project.path().join(".agentcore/local").exists(),
        "nothing half-written"
    );

    let failure = project.json(&DOCKER, 9);
    assert_eq!(failure["error"]["kind"], "engine");
    assert_eq!(failure["error"]["exit_code"], 9);
    let hint = failure["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("--sandbox process"), "{hint}");
}

#[test]
fn without_an_engine_auto_takes_processes_and_says_why() {
    let project = Project::python(COUNTING);
    let finished = launch(&project, &[]);
    finished.expect_code(0);
    finished.says(&[
        "Each session of `my_agent` gets a process of its own: the Docker engine of DOCKER_HOST does not answer \
         (unix:///nonexistent/docker.sock: ",
        "A process is no security boundary",
    ]);
    assert!(
        !project.path().join(".agentcore/my_agent").exists(),
        "a process needs no Dockerfile"
    );
}

#[test]
fn a_socket_on_which_nobody_listens_is_no_engine() {
    let project = Project::new();
    let host = dead_socket(&project);
    let project = with_engine(&host);
    project
        .run(&DOCKER)
        .says(&["does not answer", &host])
        .expect_code(9);
    launch(&project, &[])
        .says(&["gets a process of its own", &host])
        .expect_code(0);
}

#[test]
fn an_engine_on_another_machine_is_named_and_refused_whatever_was_asked_for() {
    for host in ["ssh://me@build.example", "tcp://192.0.2.7:2375"] {
        let project = with_engine(host);
        for sandbox in ["auto", "docker"] {
            let finished = launch(&project, &["--sandbox", sandbox]);
            assert_eq!(finished.expect_code(9), "");
            finished.says(&[
                "error: DOCKER_HOST names a Docker engine on another machine",
                host,
                "hint: ",
                "--sandbox process",
            ]);
        }
        launch(&project, &["--sandbox", "process"])
            .says(&["gets a process of its own: as told by `--sandbox`."])
            .expect_code(0);
    }
}

#[test]
fn what_names_an_engine_and_cannot_be_read_is_refused() {
    let nothing = Project::python(COUNTING)
        .with_variable("DOCKER_HOST", "")
        .with_variable("DOCKER_CONTEXT", "nowhere");
    launch(&nothing, &[])
        .says(&[
            "the Docker context `nowhere` cannot be read",
            "docker context ls",
            "--sandbox process",
        ])
        .expect_code(9);
    launch(&with_engine("no address"), &[])
        .says(&["DOCKER_HOST is not the address of a Docker engine (`no address`)"])
        .expect_code(9);
}

#[test]
fn a_flag_for_one_kind_of_sandbox_chooses_it() {
    let project = Project::python(COUNTING);
    launch(&project, &["--python", "python3"])
        .says(&["gets a process of its own: `--python` names an interpreter of this machine."])
        .expect_code(0);
    project.run(&["stop", "--local"]).expect_code(0);
    // Nothing falls back when an image was asked for.
    launch(&project, &["--base-image", "python:3.12-slim"])
        .says(&["does not answer", "--sandbox process"])
        .expect_code(9);
    let dockerfile = fs::read_to_string(project.path().join(".agentcore/my_agent/Dockerfile"));
    assert!(dockerfile.unwrap().contains("FROM python:3.12-slim\n"));
}

#[test]
fn flags_that_do_not_go_together_are_told_apart_from_an_engine_that_is_not_there() {
    let project = Project::python(COUNTING);
    for (args, says) in [
        (
            &["--sandbox", "docker", "--python", "python3"][..],
            "`--python` names an interpreter of this machine, and a container has its own",
        ),
        (
            &["--base-image", "python:3.12", "--python", "python3"],
            "a container has its own",
        ),
        (
            &["--sandbox", "process", "--base-image", "python:3.12"],
            "`--base-image` is for containers",
        ),
        (
            &["--base-image", "Not An Image"],
            "`Not An Image` is not the name of an image",
        ),
        (&["--spares", "many"], "many"),
        (&["--spares", "-1"], "-1"),
    ] {
        let finished = launch(&project, args);
        assert_eq!(finished.expect_code(2), "", "{args:?}");
        finished.says(&[says, "error: ", "hint: "]);
    }
    project.write("Dockerfile", "FROM scratch\n");
    launch(&project, &["--base-image", "python:3.12"])
        .says(&["`--base-image` has no effect", "`Dockerfile`"])
        .expect_code(2);
    assert!(!project.path().join(".agentcore/local").exists());
}

#[test]
fn an_agent_that_is_not_there_is_told_before_any_engine_is_asked() {
    let project = with_engine("ssh://me@build.example");
    fs::remove_file(project.path().join("agent.py")).unwrap();
    launch(&project, &[])
        .says(&["there is no `agent.py`"])
        .expect_code(3);
}

#[test]
fn spare_processes_wait_for_sessions_to_come_when_asked_for() {
    let project = Project::python(COUNTING);
    project.launch(&["--spares", "2"]);
    let waiting = || {
        let status = project.status();
        let sandboxes = status["sandboxes"].as_array().unwrap();
        let free = sandboxes.iter().filter(|it| it["session"].is_null());
        (sandboxes.len(), free.count())
    };
    until("both are there", || waiting() == (2, 2));
    project
        .run(&["invoke", "x", "--session-id", "a"])
        .expect_code(0);
    until("the one that was taken is replaced", || waiting() == (3, 2));
}

/// Writes into the record of the killed front door that it had containers.
fn remember_engine(project: &Project, engine: &Value) {
    let path = project.path().join(".agentcore/local/my_agent.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["engine"] = engine.clone();
    fs::write(path, record.to_string()).unwrap();
}

#[test]
fn containers_that_cannot_be_looked_for_are_told_and_stay_remembered() {
    let project = Project::python(COUNTING);
    let engine = json!({ "unix": "/nonexistent/other.sock" });
    kill(number(&project.launch(&[]), "pid"));
    remember_engine(&project, &engine);

    // What can be ended is ended all the same.
    let stopped = project.run(&["stop", "--local"]);
    assert!(
        stopped.expect_code(9).starts_with("my_agent did not run"),
        "{stopped:?}"
    );
    stopped.says(&[
        "warning: containers of `my_agent` may be left on the Docker engine at unix:///nonexistent/other.sock",
        "hint: start that engine and run the command again",
    ]);
    let report = project.json(&["stop", "--local"], 9);
    assert_eq!(report["agents"][0]["orphan_containers"], 0);
    assert_eq!(
        report["agents"][0]["unseen"][0]["engine"],
        "unix:///nonexistent/other.sock"
    );

    // Neither a launch without containers nor its end forgets them.
    launch(&project, &["--sandbox", "process"])
        .says(&[
            "warning: containers of an earlier launch may be left on the Docker engine at unix:///nonexistent/other.sock",
        ])
        .expect_code(0);
    assert_eq!(project.status()["state"], "running");
    let stopped = project.run(&["stop", "--local"]);
    stopped.says(&["unix:///nonexistent/other.sock"]);
    assert_eq!(stopped.expect_code(9), "Stopped my_agent\n");
    assert_eq!(project.status()["state"], "not_running");
}
