//! What a container may do and what it is called: user, files, limits, labels, ports, spares, log lines.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Contained;
use super::agents::{OBEDIENT, PLAIN_DOCKERFILE, PLAIN_SERVER};
use crate::live::http::{is_healthy, request};
use crate::live::{number, until};
use crate::output::{TALKATIVE, assert_in_order};

const GB: u64 = 1024 * 1024 * 1024;

#[test]
fn the_agent_is_a_plain_user_who_can_write_only_where_it_must() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let look = r#"
import os
def writable(folder):
    try:
        with open(os.path.join(folder, "probe"), "w") as file:
            file.write("x")
        os.remove(os.path.join(folder, "probe"))
        return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
result = {
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "writable": [it for it in ["/", "/app", "/etc", "/usr", "/tmp", "/dev/shm", os.environ["HOME"]] if writable(it)],
    "home": os.environ["HOME"], "cwd": os.getcwd(),
    "capabilities": status["CapEff"].strip(), "no_new_privileges": status["NoNewPrivs"].strip(),
}
"#;
    let seen = project.script("s", look);
    assert_eq!(
        seen,
        json!({
            "uid": 10001, "gid": 10001, "groups": seen["groups"],
            "writable": ["/tmp", "/dev/shm", "/home/agent"], "home": "/home/agent", "cwd": "/app",
            "capabilities": "0000000000000000", "no_new_privileges": "1",
        })
    );
}

#[test]
fn a_container_has_labels_limits_and_one_port_that_only_this_machine_reaches() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let report = project.launch(&[]);
    project.script("conversation-123", "result = 1");
    let container = project.container("conversation-123");
    let (config, host) = (&container["Config"], &container["HostConfig"]);
    let labels = &config["Labels"];
    assert_eq!(labels["agentcore.project"], project.label());
    assert_eq!(labels["agentcore.agent"], "my_agent");
    assert_eq!(labels["agentcore.instance"], report["instance"]);
    assert!(labels["agentcore.session"].is_string(), "{labels}");

    let info = project.engine().get("/info");
    let memory = info["MemTotal"].as_u64().unwrap().min(8 * GB);
    assert_eq!(host["Memory"], memory);
    assert_eq!(host["MemorySwap"], memory, "no swap beyond it");
    let cpus = info["NCPU"].as_u64().unwrap().min(2);
    assert_eq!(host["NanoCpus"], cpus * 1_000_000_000);
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    let options = host["SecurityOpt"].to_string();
    assert!(options.contains("no-new-privileges"), "{options}");
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["Binds"].as_array().map_or(0, Vec::len), 0);

    let ports = container["NetworkSettings"]["Ports"].as_object().unwrap();
    let published: Vec<_> = ports.iter().filter(|(_, it)| !it.is_null()).collect();
    assert_eq!(published.len(), 1, "{ports:?}");
    assert_eq!(published[0].0, "8080/tcp");
    let bindings = published[0].1.as_array().unwrap();
    assert!(
        bindings.iter().all(|it| it["HostIp"] == "127.0.0.1"),
        "{bindings:?}"
    );
}

#[test]
fn a_users_own_image_runs_as_it_is_with_the_two_variables() {
    let Some(project) = Contained::own_dockerfile(PLAIN_DOCKERFILE, PLAIN_SERVER) else {
        return;
    };
    project.launch(&["--env", "GIVEN=here"]);
    let answer = project.ask("s", &json!({ "prompt": "hi" }));
    assert_eq!(
        answer,
        json!({
            "prompt": "hi", "uid": 0,
            "environment": { "AGENTCORE_LISTEN": "0.0.0.0:8080", "DOCKER_CONTAINER": "1", "GIVEN": "here" },
        })
    );
    let container = project.container("s");
    assert_eq!(container["HostConfig"]["ReadonlyRootfs"], false);
    assert_eq!(container["Config"]["WorkingDir"], "/srv");
    project.run(&["stop", "--local"]).expect_code(0);
    project.left_nothing();
}

#[test]
fn auto_takes_containers_where_an_engine_answers_and_says_so() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let report = project.json(&["launch", "--local", "--detach", "--port", "0"], 0);
    assert_eq!(report["sandbox"]["kind"], "docker");
    assert_eq!(project.script("s", "result = 1"), 1);
    assert!(!project.containers().is_empty());

    let without = crate::live::Project::python(OBEDIENT);
    let finished = without.run(&["launch", "--local", "--detach", "--port", "0"]);
    finished.says(&["gets a process of its own"]).expect_code(0);
}

#[test]
fn in_the_foreground_log_lines_carry_their_session() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let launch = ["launch", "--local", "--port", "0", "--sandbox", "docker"];
    let mut launch = project.start(&launch);
    let ready = launch.read_line();
    assert!(
        ready.starts_with("my_agent is ready at http://127.0.0.1:"),
        "{ready}"
    );
    project.script(
        "apples",
        "import sys\nprint('a red one')\nprint('to stderr', file=sys.stderr)",
    );
    project.script("pears", "print('a green one')");
    launch.signal(Signal::INT);
    let finished = launch.finish();
    finished.expect_code(130);
    finished.says(&[
        "[apples] a red one",
        "[apples] to stderr",
        "[pears] a green one",
    ]);
    project.left_nothing();
}

#[test]
fn the_streams_of_a_container_are_in_the_log_in_order() {
    let Some(project) = Contained::python(TALKATIVE) else {
        return;
    };
    project.launch(&[]);
    let answer = project.ask("mine", &json!({ "times": 1000 }));
    assert_eq!(answer, json!({ "done": true }));
    assert_in_order(&project, 1000);
}

#[test]
fn logs_are_kept_by_session_and_followed() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let mut follow = project.start(&["logs", "--local", "--follow", "--session", "two"]);
    project.script("one", "print('apples')");
    project.script(
        "two",
        "print('pears', flush=True)\nprint('Grüße \\N{SNOWMAN}')\nprint('x' * 100_000)",
    );
    // What the server logs about the invocation may come between these.
    for line in ["[two] pears", "[two] Grüße ☃", "[two] xxxx"] {
        follow.read_up_to(line);
    }
    follow.signal(Signal::INT);
    follow.finish().expect_code(130);
    let logged = |args: &[&str]| {
        let finished = project.run(&[&["logs", "--local"], args].concat());
        finished.expect_code(0).to_owned()
    };
    until("both are logged", || {
        let all = logged(&[]);
        all.contains("apples") && all.contains("pears")
    });
    let one = logged(&["--session", "one"]);
    assert!(
        one.contains("[one] apples") && !one.contains("pears"),
        "{one}"
    );
}

#[test]
fn one_spare_is_kept_warm_and_the_next_session_takes_it() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let ids = || -> Vec<Value> {
        project
            .containers()
            .iter()
            .map(|it| it["Id"].clone())
            .collect()
    };
    assert_eq!(project.spares(), 1);
    let first = ids();
    assert_eq!(first.len(), 1);

    project.script("a", "result = 1");
    assert_eq!(
        project.container("a")["Id"],
        first[0],
        "the spare became the session's"
    );
    until("there is another spare", || project.spares() == 1);
    let second = ids();
    assert_eq!(second.len(), 2);
    project.script("b", "result = 1");
    assert!(second.contains(&project.container("b")["Id"]));
    until("and another", || project.spares() == 1);
}

#[test]
fn as_many_spares_are_kept_as_are_asked_for() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&["--spares", "2"]);
    until("two are waiting", || project.containers().len() == 2);
    project.launch(&["--spares", "0", "--restart"]);
    assert_eq!(
        project.containers().len(),
        1,
        "the first is started in any case"
    );
    project.script("a", "result = 1");
    project.script("a", "result = 1");
    assert_eq!(project.containers().len(), 1, "and not replaced");
    let wrong = project.run(&["launch", "--local", "--restart", "--spares", "many"]);
    wrong.says(&["error: ", "--spares"]).expect_code(2);
}

#[test]
fn the_front_door_of_containers_answers_as_any_http_client_expects() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let report = project.launch(&[]);
    let port = u16::try_from(number(&report, "port")).unwrap();
    assert!(is_healthy(port));
    let body = r#"{"run": "result = [1, 2]"}"#;
    let answer = request(port, "POST", "/invocations", body).unwrap();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "{\"result\": [1, 2]}")
    );
}
