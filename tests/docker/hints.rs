//! What commonly goes wrong in a container, and the hint that each gets.

use std::fs;

use serde_json::json;

use super::Contained;
use super::agents::{OBEDIENT, PLAIN_DOCKERFILE, PLAIN_SERVER};
use crate::live::Finished;

/// Checks that the launch failed as an agent's failure with this hint.
#[track_caller]
fn hinted(failed: &Finished, parts: &[&str]) {
    let hints: Vec<&str> = failed
        .stderr
        .lines()
        .filter(|it| it.starts_with("hint: "))
        .collect();
    let hints = hints.join("\n");
    for part in parts {
        assert!(
            hints.contains(part),
            "no `{part}` in `{hints}` of {failed:?}"
        );
    }
}

#[test]
fn a_server_on_the_loopback_of_its_container_is_told_to_listen_on_all_addresses() {
    let dockerfile = format!("{PLAIN_DOCKERFILE}ENV BIND=127.0.0.1\n");
    let Some(project) = Contained::own_dockerfile(&dockerfile, PLAIN_SERVER) else {
        return;
    };
    let failed = project.launch_fails(&[], 8);
    failed.says(&["127.0.0.1:8080"]);
    hinted(&failed, &["0.0.0.0"]);
    project.left_nothing();
}

#[test]
fn a_server_on_another_port_is_told_the_right_one() {
    let dockerfile = format!("{PLAIN_DOCKERFILE}ENV BIND_PORT=9001\n");
    let Some(project) = Contained::own_dockerfile(&dockerfile, PLAIN_SERVER) else {
        return;
    };
    let failed = project.launch_fails(&[], 8);
    failed.says(&["9001"]);
    hinted(&failed, &["8080"]);
    project.left_nothing();
}

#[test]
fn a_program_for_another_processor_is_told_so() {
    let Some(project) = Contained::own_dockerfile(
        "FROM scratch\nCOPY agent /agent\nENTRYPOINT [\"/agent\"]\n",
        "",
    ) else {
        return;
    };
    // A program of this machine that says in its head that it is for PowerPC.
    let mut program = fs::read("/bin/true").unwrap();
    program[18] = 21;
    fs::write(project.path().join("agent"), program).unwrap();
    make_executable(&project, "agent");
    let failed = project.launch_fails(&[], 8);
    hinted(&failed, &["processor"]);
    project.left_nothing();
}

#[test]
fn a_module_that_is_missing_in_the_image_is_a_dependency_to_name() {
    let Some(project) = Contained::python(&format!("import no_such_module\n{OBEDIENT}")) else {
        return;
    };
    let failed = project.launch_fails(&[], 8);
    failed.says(&["ModuleNotFoundError: No module named 'no_such_module'"]);
    hinted(&failed, &["requirements.txt"]);
    project.left_nothing();
}

#[test]
fn missing_credentials_name_the_flag_that_passes_them() {
    let without = r#"
class NoCredentialsError(Exception):
    pass

raise NoCredentialsError("Unable to locate credentials")
"#;
    let Some(project) = Contained::python(without) else {
        return;
    };
    let failed = project.launch_fails(&[], 8);
    failed.says(&["Unable to locate credentials"]);
    hinted(&failed, &["--aws-credentials"]);
}

#[test]
fn a_path_that_cannot_be_written_names_those_that_can() {
    let writing = format!("open('/app/cache.json', 'w')\n{OBEDIENT}");
    let Some(project) = Contained::python(&writing) else {
        return;
    };
    let failed = project.launch_fails(&[], 8);
    failed.says(&["Read-only file system: '/app/cache.json'"]);
    hinted(&failed, &["/tmp"]);
    project.left_nothing();
}

#[test]
fn an_agent_that_cannot_be_loaded_shows_its_traceback_as_with_processes() {
    let Some(project) = Contained::python(crate::live::agents::BROKEN) else {
        return;
    };
    let failed = project.launch_fails(&[], 8);
    failed.says(&[
        "Traceback (most recent call last)",
        "/app/agent.py",
        "RuntimeError: the model is missing",
        "error: ",
    ]);
    let tracebacks = failed.stderr.matches("Traceback").count();
    assert_eq!(tracebacks, 1, "{}", failed.stderr);
    let launch = ["launch", "--local", "--detach", "--port", "0"];
    let failure = project.json(&launch, 8);
    assert_eq!(failure["error"]["kind"], "agent");
    project.left_nothing();
}

#[test]
fn a_container_whose_command_does_not_exist_is_explained() {
    let Some(project) = Contained::own_dockerfile("FROM [BASE]\nCMD [\"no-such-program\"]\n", "")
    else {
        return;
    };
    let failed = project.launch_fails(&[], 8);
    failed.says(&["error: ", "no-such-program"]);
    project.left_nothing();
}

#[test]
fn a_limit_on_sandboxes_holds_for_containers() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&["--max-sandboxes", "1"]);
    assert_eq!(project.script("a", "result = 1"), 1);
    let run = json!({ "run": "result = 1" }).to_string();
    let refused = project.run(&["invoke", &run, "--session-id", "b"]);
    refused.says(&["ThrottlingException"]).expect_code(6);
}

fn make_executable(project: &Contained, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = project.path().join(name);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
