//! `status`, `logs` and `stop`: looking after what runs.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::live::agents::COUNTING;
use crate::live::{Project, is_alive, kill, number, until};

#[test]
fn stop_returns_when_everything_is_gone_and_succeeds_when_nothing_ran() {
    let project = Project::python(COUNTING);
    let report = project.launch(&[]);
    for session in ["a", "b", "c"] {
        project
            .run(&["invoke", "x", "--session-id", session])
            .expect_code(0);
    }
    let mut processes = project.sandbox_pids();
    assert_eq!(processes.len(), 3);
    processes.push(number(&report, "pid"));

    assert_eq!(
        project.run(&["stop", "--local"]).expect_code(0),
        "Stopped my_agent\n"
    );
    assert!(processes.into_iter().all(|pid| !is_alive(pid)));
    assert_eq!(
        project.run(&["stop", "--local"]).expect_code(0),
        "my_agent did not run on this machine\n"
    );
    let report = project.json(&["stop", "--local"], 0);
    assert_eq!(report["agents"][0]["was_running"], false);
}

#[test]
fn stop_ends_what_a_killed_front_door_left_behind() {
    let project = Project::python(COUNTING);
    let report = project.launch(&[]);
    project.run(&["invoke", "x"]).expect_code(0);
    let orphans = project.sandbox_pids();
    kill(number(&report, "pid"));

    let report = project.json(&["stop", "--local"], 0);
    assert_eq!(report["agents"][0]["was_running"], false);
    assert!(
        report["agents"][0]["orphans"].as_u64().unwrap() >= 1,
        "{report}"
    );
    assert!(orphans.into_iter().all(|pid| !is_alive(pid)));
    assert!(
        !project
            .path()
            .join(".agentcore/local/my_agent.json")
            .exists()
    );
}

#[test]
fn a_front_door_that_hangs_is_ended_all_the_same() {
    let project = Project::python(COUNTING);
    let report = project.launch(&[]);
    let pid = number(&report, "pid");
    let target = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(target, Signal::STOP).unwrap();
    project
        .run(&["status", "--local"])
        .says(&["does not answer", "agentcore stop --local"])
        .expect_code(7);
    // The signal to end is delivered when it goes on.
    let stop = project.start(&["stop", "--local"]);
    until("it is asked to end", || {
        std::fs::read_to_string(format!("/proc/{pid}/status"))
            .map_or(true, |it| pending(&it) & (1 << 14) != 0)
    });
    kill_process(target, Signal::CONT).unwrap();
    assert_eq!(stop.finish().expect_code(0), "Stopped my_agent\n");
    assert!(!is_alive(pid));
}

/// The signals that wait for a process, as bits, from Linux's description of it.
fn pending(status: &str) -> u64 {
    let line = status
        .lines()
        .find_map(|it| it.strip_prefix("ShdPnd:"))
        .unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn every_agent_of_a_project_has_its_own_front_door() {
    let project = Project::python(COUNTING);
    project.write("other.py", COUNTING);
    project.configure(&["--entrypoint", "other.py", "--name", "other"]);
    let other = project.launch(&[]);
    let mine = project.launch(&["--agent", "my_agent"]);
    assert_eq!(
        (&other["agent"], &mine["agent"]),
        (&"other".into(), &"my_agent".into())
    );
    assert_ne!(other["port"], mine["port"]);

    project
        .run(&["invoke", "x", "--agent", "my_agent"])
        .expect_code(0);
    assert_eq!(
        project.json(&["status", "--local", "--agent", "my_agent"], 0)["state"],
        "running"
    );
    project
        .run(&["stop", "--local", "--agent", "my_agent"])
        .expect_code(0);
    assert_eq!(
        project.status()["state"],
        "running",
        "the other one, which is the default"
    );
    let report = project.json(&["stop", "--local", "--all"], 0);
    let stopped: Vec<&Value> = report["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["was_running"])
        .collect();
    assert_eq!(stopped, [&Value::Bool(false), &Value::Bool(true)]);
}

#[test]
fn status_tells_people_and_programs_what_runs() {
    let project = Project::python(COUNTING);
    let before = project.run(&["status", "--local"]);
    assert_eq!(
        before.expect_code(0),
        "my_agent does not run on this machine\n"
    );
    before.says(&["hint: start it with `agentcore launch --local`"]);

    project.launch(&["--max-sandboxes", "7"]);
    project
        .run(&["invoke", "x", "--session-id", "conversation-123"])
        .expect_code(0);
    let text = project.run(&["status", "--local"]);
    let text = text.expect_code(0);
    assert!(
        text.starts_with("my_agent runs at http://127.0.0.1:"),
        "{text}"
    );
    assert!(text.contains("1 of at most 7 sessions"), "{text}");
    assert!(
        text.contains("conversation-123: ready, 1 invocation,"),
        "{text}"
    );
    let status = project.status();
    assert_eq!(status["max_sandboxes"], 7);
    assert_eq!(status["sandboxes"][0]["invocations"], 1);
}

#[test]
fn more_sessions_than_allowed_are_throttled() {
    let project = Project::python(COUNTING);
    project.launch(&["--max-sandboxes", "1"]);
    project
        .run(&["invoke", "x", "--session-id", "a"])
        .expect_code(0);
    let refused = project.run(&["invoke", "x", "--session-id", "b"]);
    assert_eq!(refused.expect_code(6), "");
    refused.says(&["error: the invocation was refused (ThrottlingException)"]);
    project
        .run(&["invoke", "x", "--session-id", "a"])
        .expect_code(0);
}

#[test]
fn a_session_whose_sandbox_was_killed_begins_again() {
    let project = Project::python(COUNTING);
    project.launch(&[]);
    let calls = || -> Value {
        let finished = project.run(&["invoke", "x", "--session-id", "a"]);
        serde_json::from_str::<Value>(finished.expect_code(0)).unwrap()["calls"].clone()
    };
    assert_eq!((calls(), calls()), (1.into(), 2.into()));
    kill(project.sandbox_pids()[0]);
    until("the front door has noticed", || {
        project
            .run(&["logs", "--local"])
            .stdout
            .contains("sandbox has ended: signal 9 (SIGKILL)")
    });
    assert_eq!(calls(), 1);
}

#[test]
fn logs_are_kept_by_session_and_followed() {
    let project = Project::python(COUNTING);
    project
        .run(&["logs", "--local"])
        .says(&["has not run on this machine yet"])
        .expect_code(5);
    project.launch(&[]);
    project
        .run(&["invoke", "apples", "--session-id", "one"])
        .expect_code(0);
    project
        .run(&["invoke", "pears", "--session-id", "two"])
        .expect_code(0);

    let logged = |args: &[&str]| {
        project
            .run(&[&["logs", "--local"], args].concat())
            .expect_code(0)
            .to_owned()
    };
    until("both lines are logged", || {
        logged(&[]).contains("apples") && logged(&[]).contains("pears")
    });
    let one = logged(&["--session", "one"]);
    assert!(
        one.contains("[one] was told apples") && !one.contains("pears"),
        "{one}"
    );

    let lines = project.run(&["--output", "json", "logs", "--local", "--session", "two"]);
    let lines: Vec<Value> = lines
        .expect_code(0)
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let told = lines
        .iter()
        .find(|it| it["line"] == "was told pears")
        .unwrap();
    assert_eq!(
        (&told["event"], &told["stream"]),
        (&"output".into(), &"stdout".into())
    );
    assert!(told["session"].as_str().unwrap().starts_with("two-"));

    let mut follow = project.start(&["logs", "--local", "--follow", "--session", "three"]);
    project
        .run(&["invoke", "plums", "--session-id", "three"])
        .expect_code(0);
    while !follow.read_line().contains("[three] was told plums") {}
    follow.signal(Signal::INT);
    follow.finish().expect_code(130);
}

#[test]
fn what_is_not_deployed_can_only_be_looked_after_here() {
    let project = Project::python(COUNTING);
    for command in ["status", "logs", "stop"] {
        let finished = project.run(&[command]);
        assert_eq!(finished.expect_code(5), "");
        finished.says(&[
            "`my_agent` is not deployed",
            &format!("agentcore {command} --local"),
        ]);
    }
}
