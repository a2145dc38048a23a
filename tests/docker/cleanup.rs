//! Nothing is left behind, however an agent's front door ends.

use rustix::process::Signal;
use serde_json::Value;

use super::Contained;
use super::agents::OBEDIENT;
use crate::live::{is_alive, kill, number, until};

const FOREGROUND: [&str; 6] = ["launch", "--local", "--port", "0", "--sandbox", "docker"];

#[test]
fn ctrl_c_and_sigterm_remove_every_container_and_the_network() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 0)] {
        let mut launch = project.start(&FOREGROUND);
        assert!(launch.read_line().contains(" is ready at "));
        for session in ["a", "b", "c"] {
            project.script(session, "import signal\nresult = 1");
        }
        assert!(project.containers().len() >= 3);
        assert_eq!(project.networks().len(), 1);
        launch.signal(signal);
        launch.finish().expect_code(code);
        project.left_nothing();
        assert_eq!(project.status()["state"], "not_running");
    }
}

#[test]
fn ctrl_c_during_the_build_ends_it_and_leaves_nothing() {
    let dockerfile = "FROM [BASE]\nCOPY agent.py /\nRUN echo building-now && sleep 600\n";
    let Some(project) = Contained::own_dockerfile(dockerfile, OBEDIENT) else {
        return;
    };
    let launch = project.start(&FOREGROUND);
    let log = project.path().join(".agentcore/logs/my_agent.build.log");
    until("the build is in its long step", || {
        std::fs::read_to_string(&log).is_ok_and(|it| it.contains("building-now\n"))
    });
    launch.signal(Signal::INT);
    launch.finish().expect_code(130);
    project.left_nothing();
    assert_eq!(project.images(), [] as [Value; 0]);
    assert_eq!(project.status()["state"], "not_running");
}

#[test]
fn ctrl_c_while_the_agent_loads_leaves_nothing() {
    let loading = "import time\nprint('loading', flush=True)\ntime.sleep(600)\n";
    let Some(project) = Contained::python(loading) else {
        return;
    };
    let launch = project.start(&FOREGROUND);
    until("the agent loads", || {
        project.run(&["logs", "--local"]).stdout.contains("loading")
    });
    assert_eq!(project.containers().len(), 1);
    launch.signal(Signal::INT);
    launch.finish().expect_code(130);
    project.left_nothing();
}

#[test]
fn containers_of_a_killed_front_door_are_removed_by_the_next_launch() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let orphans = launch_and_kill(&project);
    assert!(!orphans.is_empty());
    project.launch(&[]);
    let left = ids(&project);
    assert!(
        orphans.iter().all(|it| !left.contains(it)),
        "{orphans:?} in {left:?}"
    );
    assert_eq!(project.script("a", "result = state.get('n', 0)"), 0);
    project.run(&["stop", "--local"]).expect_code(0);
    project.left_nothing();
}

#[test]
fn containers_of_a_killed_front_door_are_removed_by_stop() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    launch_and_kill(&project);
    let stopped = project.run(&["stop", "--local"]);
    let told = stopped.expect_code(0);
    assert!(told.contains("container"), "{told}");
    project.left_nothing();
    assert_eq!(
        project.run(&["stop", "--local"]).expect_code(0),
        "my_agent did not run on this machine\n"
    );
}

#[test]
fn one_project_leaves_another_ones_containers_alone() {
    let (Some(one), Some(two)) = (Contained::python(OBEDIENT), Contained::python(OBEDIENT)) else {
        return;
    };
    one.launch(&[]);
    two.launch(&[]);
    two.script("s", "state['n'] = 1");
    let of_two = two.container("s")["Id"].clone();
    one.run(&["stop", "--local", "--all"]).expect_code(0);
    one.left_nothing();
    assert_eq!(two.script("s", "result = state['n']"), 1);
    assert_eq!(two.container("s")["Id"], of_two);
    // Orphans are told apart in the same way.
    launch_and_kill(&one);
    two.launch(&["--restart"]);
    assert!(!one.containers().is_empty(), "they are not two's to remove");
    one.run(&["stop", "--local"]).expect_code(0);
    one.left_nothing();
    assert_eq!(two.status()["state"], "running");
}

#[test]
fn a_container_that_ignores_sigterm_is_removed_all_the_same() {
    let stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n";
    let Some(project) = Contained::python(&format!("{stubborn}{OBEDIENT}")) else {
        return;
    };
    let report = project.launch(&[]);
    project.script("a", "result = 1");
    project.run(&["stop", "--local"]).expect_code(0);
    assert!(!is_alive(number(&report, "pid")));
    project.left_nothing();
}

#[test]
fn a_container_that_somebody_else_removed_is_replaced() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let count = "state['n'] = state.get('n', 0) + 1\nresult = state['n']";
    project.script("a", count);
    let id = project.container("a")["Id"].as_str().unwrap().to_owned();
    project
        .engine()
        .remove(&format!("/containers/{id}?force=1"));
    until("the front door has noticed", || {
        project
            .run(&["logs", "--local"])
            .stdout
            .contains("sandbox has ended")
    });
    assert_eq!(project.script("a", count), 1);
    project.run(&["stop", "--local"]).expect_code(0);
    project.left_nothing();
}

/// Launches, opens a session, kills the front door, and returns the containers that it left.
fn launch_and_kill(project: &Contained) -> Vec<Value> {
    let report = project.launch(&["--restart"]);
    project.script("a", "state['n'] = 1");
    // What is being made in the moment of the kill may come into being after everybody has looked.
    until("the next spare waits", || project.spares() == 1);
    kill(number(&report, "pid"));
    let left = ids(project);
    assert!(!left.is_empty(), "nobody has removed them yet");
    assert_eq!(project.status()["state"], "not_running");
    left
}

fn ids(project: &Contained) -> Vec<Value> {
    project
        .containers()
        .iter()
        .map(|it| it["Id"].clone())
        .collect()
}
