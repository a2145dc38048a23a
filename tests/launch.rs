//! `launch --local`: an agent comes up, in the foreground or behind it, or says why not.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::Value;

use crate::live::agents::{BROKEN, COUNTING};
use crate::live::http::is_healthy;
use crate::live::{Project, finish, is_alive, kill, number, until};

#[test]
fn a_detached_agent_answers_when_launch_returns() {
    let project = Project::python(COUNTING);
    let report = project.launch(&[]);
    assert_eq!(report["agent"], "my_agent");
    assert_eq!(report["sandbox"]["kind"], "process");
    assert_eq!(report["detached"], true);
    let port = u16::try_from(number(&report, "port")).unwrap();
    assert_eq!(report["address"], format!("http://127.0.0.1:{port}"));
    assert!(is_healthy(port));

    let status = project.status();
    assert_eq!(status["state"], "running");
    assert_eq!(status["pid"], report["pid"]);
    assert_eq!(
        status["sandboxes"].as_array().unwrap().len(),
        1,
        "one waits for the first session"
    );
}

#[test]
fn the_background_program_holds_nothing_of_its_starter() {
    let project = Project::python(COUNTING);
    let script = format!(
        "x=$({} launch --local --detach --port 0) && echo \"got: $x\"",
        env!("CARGO_BIN_EXE_agentcore")
    );
    // This returns only when nobody holds stdout and stderr any more.
    let finished = finish(&mut project.shell(&script));
    assert!(
        finished
            .expect_code(0)
            .starts_with("got: my_agent is ready at http://127.0.0.1:"),
        "{finished:?}"
    );
    finished.says(&[
        "Each session of `my_agent` gets a process of its own",
        "no security boundary",
    ]);
    assert_eq!(project.status()["state"], "running");
}

#[test]
fn in_the_foreground_the_agent_is_seen_and_ctrl_c_ends_everything() {
    let project = Project::python(COUNTING);
    let mut launch = project.start(&["launch", "--local", "--port", "0"]);
    assert!(
        launch
            .read_line()
            .starts_with("my_agent is ready at http://127.0.0.1:")
    );
    project
        .run(&["invoke", "hello", "--session-id", "conversation-123"])
        .expect_code(0);
    let sandboxes = project.sandbox_pids();
    assert!(!sandboxes.is_empty());

    launch.signal(Signal::INT);
    let finished = launch.finish();
    finished.expect_code(130);
    finished.says(&["[conversation-123] was told hello"]);
    assert!(sandboxes.into_iter().all(|pid| !is_alive(pid)));
    assert_eq!(project.status()["state"], "not_running");
}

#[test]
fn being_asked_to_end_is_no_failure() {
    let project = Project::python(COUNTING);
    let mut launch = project.start(&["--output", "json", "launch", "--local", "--port", "0"]);
    let report: Value = serde_json::from_str(&launch.read_line()).unwrap();
    assert_eq!(report["detached"], false);
    launch.signal(Signal::TERM);
    let finished = launch.finish();
    assert_eq!(
        finished.expect_code(0),
        "",
        "one object on stdout and no more"
    );
}

#[test]
fn ctrl_c_while_the_agent_loads_leaves_nothing_behind() {
    let project = Project::python(
        "import time, os\nprint('loading as', os.getpid(), flush=True)\ntime.sleep(600)\n",
    );
    let launch = project.start(&["launch", "--local", "--port", "0"]);
    let mut loading = None;
    until("the agent loads", || {
        let logs = project.run(&["logs", "--local"]).stdout;
        loading = logs
            .split("loading as ")
            .nth(1)
            .and_then(|it| it.lines().next()?.trim().parse().ok());
        loading.is_some()
    });
    launch.signal(Signal::INT);
    launch.finish().expect_code(130);
    let loading = loading.unwrap();
    until("its process is gone", || !is_alive(loading));
    project.run(&["invoke", "--local", "x"]).expect_code(5);
}

#[test]
fn an_agent_that_is_being_started_can_be_stopped() {
    let project = Project::python("import time\ntime.sleep(600)\n");
    let launch = project.start(&["launch", "--local", "--detach", "--port", "0"]);
    until("it is being started", || {
        project.status()["state"] == "starting" && project.status()["address"].is_string()
    });
    let second = project.run(&["launch", "--local"]);
    second
        .says(&["`my_agent` is already running at http://127.0.0.1:"])
        .expect_code(1);

    assert_eq!(
        project.run(&["stop", "--local"]).expect_code(0),
        "Stopped my_agent\n"
    );
    let finished = launch.finish();
    finished
        .says(&["the agent was stopped before it was ready"])
        .expect_code(1);
    assert_eq!(project.status()["state"], "not_running");
}

#[test]
fn a_front_door_that_is_killed_before_it_is_ready_leaves_its_log_with_the_launch() {
    let project =
        Project::python("import time\nprint('still loading', flush=True)\ntime.sleep(600)\n");
    let launch = project.start(&["launch", "--local", "--detach", "--port", "0"]);
    let state = project.path().join(".agentcore");
    until("the agent loads, and the front door has said so", || {
        fs::read_to_string(state.join("logs/my_agent.front-door.log"))
            .is_ok_and(|it| it.contains("still loading"))
    });
    let record = fs::read(state.join("local/my_agent.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    kill(number(&record, "pid"));
    let finished = launch.finish();
    finished.expect_code(1);
    finished.says(&[
        "still loading",
        "the front door ended before it was ready (signal: 9 (SIGKILL))",
    ]);
}

#[test]
fn an_agent_that_cannot_be_loaded_shows_its_traceback_and_is_class_8() {
    let project = Project::python(BROKEN);
    for place in [&[][..], &["--detach"]] {
        let args = [&["launch", "--local", "--port", "0"], place].concat();
        let finished = project.run(&args);
        assert_eq!(finished.expect_code(8), "");
        finished.says(&[
            "Traceback (most recent call last)",
            "agent.py",
            "RuntimeError: the model is missing",
            "error: ",
        ]);
        let seen = finished.stderr.matches("Traceback").count();
        assert_eq!(seen, 1, "{}", finished.stderr);
    }
    let failure = project.json(&["launch", "--local", "--detach", "--port", "0"], 8);
    assert_eq!(failure["error"]["kind"], "agent");
    assert!(
        failure["error"]["message"]
            .as_str()
            .unwrap()
            .contains("RuntimeError: the model is missing")
    );
    assert!(
        failure["error"]["details"]
            .as_str()
            .unwrap()
            .contains("Traceback")
    );
    assert_eq!(project.status()["state"], "not_running");
}

#[test]
fn an_agent_that_ends_instead_of_serving_is_class_8() {
    let project = Project::python("import sys\nsys.exit(3)\n");
    let finished = project.run(&["launch", "--local", "--detach", "--port", "0"]);
    finished.expect_code(8);
    assert!(
        finished.stderr.lines().any(|it| it.starts_with("error: ")),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_running_agent_is_not_launched_twice_and_can_be_replaced() {
    let project = Project::python(COUNTING);
    let first = project.launch(&[]);
    project.run(&["invoke", "a"]).expect_code(0);

    let second = project.run(&["launch", "--local"]);
    second.expect_code(1);
    second.says(&[
        "`my_agent` is already running at http://127.0.0.1:",
        first["address"].as_str().unwrap(),
        "--restart",
    ]);

    let replaced = project.json(&["launch", "--local", "--detach", "--restart"], 0);
    assert_ne!(replaced["pid"], first["pid"]);
    assert_eq!(replaced["port"], first["port"], "its callers need not know");
    assert!(!is_alive(number(&first, "pid")));
    let answer: Value = serde_json::from_str(&project.run(&["invoke", "a"]).stdout).unwrap();
    assert_eq!(answer["calls"], 1, "a new launch begins a new session");
}

#[test]
fn a_replacement_that_cannot_be_made_ready_to_start_leaves_the_old_one_alone() {
    let project = Project::python(COUNTING);
    let first = project.launch(&[]);
    project
        .run(&[
            "launch",
            "--local",
            "--detach",
            "--restart",
            "--python",
            "/no/python",
        ])
        .expect_code(1);
    assert_eq!(project.status()["pid"], first["pid"]);
}

#[test]
fn a_port_that_is_taken_is_an_error_and_the_default_one_is_passed_over() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let project = Project::python(COUNTING);
    let finished = project.run(&["launch", "--local", "--detach", "--port", &port.to_string()]);
    finished.expect_code(1);
    finished.says(&[
        &format!("port {port} is in use by another program"),
        "hint: ",
    ]);

    // Whoever has it, it is taken.
    let _default = TcpListener::bind(("127.0.0.1", 8080));
    let finished = project.run(&["launch", "--local", "--detach"]);
    finished.expect_code(0);
    finished.says(&["Port 8080 is in use; listening on 80"]);
}

#[test]
fn what_a_killed_front_door_left_behind_is_ended_by_the_next() {
    let project = Project::python(COUNTING);
    let first = project.launch(&[]);
    project.run(&["invoke", "a"]).expect_code(0);
    let orphans = project.sandbox_pids();
    kill(number(&first, "pid"));
    assert_eq!(
        project.status()["state"],
        "not_running",
        "the record is stale"
    );
    project.run(&["invoke", "--local", "a"]).expect_code(5);

    let second = project.launch(&[]);
    assert_ne!(second["pid"], first["pid"]);
    assert!(
        orphans.into_iter().all(|pid| !is_alive(pid)),
        "the orphans were ended before it was ready"
    );
    project
        .run(&["logs", "--local"])
        .expect_code(0)
        .lines()
        .find(|it| it.contains("ended processes of a killed front door"))
        .unwrap();
}

#[test]
fn mistakes_on_the_command_line_are_told_apart_from_other_failures() {
    let project = Project::python(COUNTING);
    project.write("bad.env", "GOOD=1\nBAD\n");
    for (args, code, says) in [
        (
            &["launch"][..],
            2,
            "this version runs agents on this machine only",
        ),
        (
            &["launch", "--local", "--sandbox", "docker"],
            9,
            "`--sandbox process`",
        ),
        (&["launch", "--local", "--sandbox", "cage"], 2, "cage"),
        (
            &["launch", "--local", "--port", "70000"],
            2,
            "`70000` is not a port",
        ),
        (
            &["launch", "--local", "--port", "-1"],
            2,
            "`-1` is not a port",
        ),
        (&["launch", "--local", "--max-sandboxes", "0"], 2, "0"),
        (
            &["launch", "--local", "--env", "NOT_IN_THE_SHELL"],
            2,
            "is not set in this shell",
        ),
        (&["launch", "--local", "--env", "1=2"], 2, "1"),
        (
            &["launch", "--local", "--env", "AGENTCORE_LISTEN=x"],
            2,
            "is set by the sandbox itself",
        ),
        (
            &["launch", "--local", "--env-file", "none.env"],
            2,
            "cannot read `none.env`",
        ),
        (
            &["launch", "--local", "--env-file", "bad.env"],
            3,
            "`bad.env`, line 2: there is no `=`",
        ),
        (
            &["launch", "--local", "--agent", "other"],
            5,
            "the project has no agent `other`",
        ),
        (&["launch", "--local", "--engine", "java"], 2, "java"),
        (
            &["launch", "--local", "--python", "/no/python"],
            1,
            "/no/python",
        ),
    ] {
        let finished = project.run(args);
        finished.expect_code(code);
        finished.says(&[says, "error: ", "hint: "]);
    }
    assert!(
        !project.path().join(".agentcore/local").exists(),
        "nothing half-written"
    );
}

#[test]
fn the_reason_of_a_sandbox_that_cannot_start_is_the_agents_own() {
    for (code, reason) in [
        ("x = 1\n", "the file makes no app"),
        ("raise SystemExit(4)\n", "exit status 4"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
    ] {
        let project = Project::python(code);
        let failure = project.json(&["launch", "--local", "--detach", "--port", "0"], 8);
        let message = failure["error"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
        assert!(!message.contains("hint: "), "{message}");
    }
}

#[test]
fn an_entrypoint_that_is_gone_is_the_project_files_mistake() {
    let project = Project::python(COUNTING);
    fs::remove_file(project.path().join("agent.py")).unwrap();
    project
        .run(&["launch", "--local"])
        .says(&[
            "there is no `agent.py`",
            "correct `entrypoint` in the project file",
        ])
        .expect_code(3);
    assert!(
        !project.path().join(".agentcore/local").exists(),
        "nothing half-written"
    );
}

#[test]
fn a_project_with_an_authorizer_runs_and_says_that_nobody_enforces_it() {
    let project = Project::python(COUNTING);
    let authorizer = r#"{"customJWTAuthorizer": {"discoveryUrl": "https://idp.example/.well-known/openid-configuration", "allowedAudience": ["a"]}}"#;
    project.configure(&[
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--authorizer-config",
        authorizer,
    ]);
    let finished = project.run(&["launch", "--local", "--detach", "--port", "0"]);
    finished.expect_code(0);
    finished.says(&["The authorizer of `my_agent` is not enforced on this machine yet."]);
}
