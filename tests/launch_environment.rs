//! What an agent finds in its environment: what it was given, from where, and nothing else.

use std::process::Command;

use serde_json::{Value, json};

use crate::live::agents::ENVIRONMENT;
use crate::live::{Project, finish};

#[test]
fn the_agent_finds_the_variables_that_it_was_given_and_no_others() {
    let project = Project::python(ENVIRONMENT)
        .with_variable("FROM_SHELL", "shell")
        .with_variable("UNRELATED", "x")
        .with_variable("LC_ALL", "C.UTF-8")
        .with_variable("HTTPS_PROXY", "http://proxy:1")
        .with_variable("AWS_SECRET_ACCESS_KEY", "hush-key")
        .with_variable("AWS_REGION", "eu-west-1");
    project.configure(&[
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--env",
        "A=project",
        "--env",
        "P=project",
    ]);
    project.write(
        "vars.env",
        "# about\nexport A=file\nB='file # one'\nC=\"line\\nline\"\n",
    );
    let env = [
        "--env-file",
        "vars.env",
        "--env",
        "B=flag",
        "--env",
        "FROM_SHELL",
    ];
    project.launch(&env);
    let names = json!([
        "A",
        "B",
        "C",
        "P",
        "FROM_SHELL",
        "UNRELATED",
        "LC_ALL",
        "HTTPS_PROXY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "AGENTCORE_WORKER_TOKEN"
    ]);
    let ask = json!({ "names": names }).to_string();
    let seen = |project: &Project| -> Value {
        serde_json::from_str(project.run(&["invoke", &ask]).expect_code(0)).unwrap()
    };
    assert_eq!(
        seen(&project),
        json!({
            "A": "file", "B": "flag", "C": "line\nline", "P": "project", "FROM_SHELL": "shell", "UNRELATED": null,
            "LC_ALL": "C.UTF-8", "HTTPS_PROXY": "http://proxy:1", "AWS_SECRET_ACCESS_KEY": null, "AWS_REGION": null,
            "AGENTCORE_WORKER_TOKEN": null,
        })
    );

    let home: Value = serde_json::from_str(
        project
            .run(&["invoke", r#"{"names": ["HOME", "PATH"]}"#])
            .expect_code(0),
    )
    .unwrap();
    let own_home = project.path().with_file_name("home");
    assert_ne!(
        home["HOME"].as_str().unwrap(),
        own_home.to_str().unwrap(),
        "a sandbox has a home of its own"
    );
    assert!(home["PATH"].as_str().unwrap().contains("/bin"));
}

#[test]
fn credentials_are_passed_when_asked_for_and_never_written_down() {
    let project = Project::python(ENVIRONMENT)
        .with_variable("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with_variable("AWS_SECRET_ACCESS_KEY", "hush-key-1")
        .with_variable("AWS_PROFILE", "work")
        .with_variable("TOKEN", "hush-token-2");
    project.launch(&["--aws-credentials", "--env", "TOKEN"]);
    let ask = json!({ "names": ["AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "TOKEN"] }).to_string();
    let seen: Value = serde_json::from_str(project.run(&["invoke", &ask]).expect_code(0)).unwrap();
    assert_eq!(
        seen,
        json!({ "AWS_SECRET_ACCESS_KEY": "hush-key-1", "AWS_PROFILE": null, "TOKEN": "hush-token-2" })
    );

    // The command lines of all processes, workers and front door included.
    let command_lines = finish(Command::new("ps").args(["-A", "-ww", "-o", "args="]));
    let front_door = format!(
        "{} --output json front-door",
        env!("CARGO_BIN_EXE_agentcore")
    );
    assert!(command_lines.expect_code(0).contains(&front_door));
    for secret in ["hush-key-1", "hush-token-2"] {
        assert!(!command_lines.stdout.contains(secret));
    }
    let logs = project.run(&["logs", "--local"]);
    assert!(!logs.stdout.contains("hush"));
    for (path, content) in project.state_files() {
        assert!(
            !String::from_utf8_lossy(&content).contains("hush"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_shell_that_has_only_a_profile_is_told_that_it_is_of_no_use() {
    let project = Project::python(ENVIRONMENT).with_variable("AWS_PROFILE", "work");
    let finished = project.run(&[
        "launch",
        "--local",
        "--detach",
        "--port",
        "0",
        "--aws-credentials",
    ]);
    finished.expect_code(0);
    finished.says(&["names only an AWS profile", "export-credentials"]);
}
