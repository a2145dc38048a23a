//! The environment of a container: what it is given arrives, and secrets are nowhere else.

use std::process::Command;

use serde_json::{Value, json};

use super::Contained;
use super::agents::OBEDIENT;
use crate::live::finish;

const SECRETS: [&str; 4] = ["hush-key", "hush-token", "hush-file", "hush-flag"];

/// The values of some variables.
fn variables(project: &Contained, names: &[&str]) -> Value {
    let names = json!(names);
    let script = format!("import os\nresult = {{name: os.environ.get(name) for name in {names}}}");
    project.script("s", &script)
}

#[test]
fn a_container_finds_the_variables_that_it_was_given_and_no_others() {
    let Some(project) =
        Contained::python_with(OBEDIENT, &["--env", "A=project", "--env", "P=project"])
    else {
        return;
    };
    let project = project
        .with_variable("FROM_SHELL", "shell")
        .with_variable("UNRELATED", "x")
        .with_variable("LC_ALL", "C.UTF-8")
        .with_variable("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with_variable("AWS_REGION", "eu-west-1");
    project.write(
        "vars.env",
        "# about\nexport A=file\nB='file # one'\nC=\"line\\nline\"\n",
    );
    let files = [
        "--env-file",
        "vars.env",
        "--env",
        "B=flag",
        "--env",
        "FROM_SHELL",
    ];
    project.launch(&files);
    let names = [
        "A",
        "B",
        "C",
        "P",
        "FROM_SHELL",
        "UNRELATED",
        "AWS_ACCESS_KEY_ID",
        "AWS_REGION",
        "DOCKER_CONTAINER",
        "AWS_EC2_METADATA_DISABLED",
        "AGENTCORE_HOST_DIR",
        "DOCKER_HOST",
    ];
    assert_eq!(
        variables(&project, &names),
        json!({
            "A": "file", "B": "flag", "C": "line\nline", "P": "project", "FROM_SHELL": "shell", "UNRELATED": null,
            "AWS_ACCESS_KEY_ID": null, "AWS_REGION": null, "DOCKER_CONTAINER": "1",
            "AWS_EC2_METADATA_DISABLED": "true", "AGENTCORE_HOST_DIR": null, "DOCKER_HOST": null,
        })
    );
    let path = variables(&project, &["PATH"]);
    assert!(
        path["PATH"]
            .as_str()
            .unwrap()
            .starts_with("/usr/local/bin:"),
        "the image's own, not this machine's: {path}"
    );
}

#[test]
fn secrets_reach_the_agent_and_are_written_nowhere() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let project = project
        .with_variable("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .with_variable("AWS_SECRET_ACCESS_KEY", "hush-key")
        .with_variable("AWS_REGION", "eu-west-1")
        .with_variable("TOKEN", "hush-token");
    project.write(".env", "FILE=hush-file\n");
    let launched = project.run(&[
        "launch",
        "--local",
        "--detach",
        "--port",
        "0",
        "--sandbox",
        "docker",
        "--aws-credentials",
        "--env",
        "TOKEN",
        "--env-file",
        ".env",
        "--env",
        "FLAG=hush-flag",
    ]);
    launched.expect_code(0);
    let names = [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "TOKEN",
        "FILE",
        "FLAG",
    ];
    assert_eq!(
        variables(&project, &names),
        json!({
            "AWS_SECRET_ACCESS_KEY": "hush-key", "AWS_REGION": "eu-west-1", "TOKEN": "hush-token",
            "FILE": "hush-file", "FLAG": "hush-flag",
        })
    );

    let mut seen = places(&project);
    seen.push(("what launch says".into(), format!("{launched:?}")));
    for (name, text) in seen {
        for secret in SECRETS {
            assert!(!text.contains(secret), "`{secret}` is in {name}");
        }
    }
    // The file with secrets is not in the image either, and the user is told.
    let file = "import os\nresult = os.path.exists('/app/.env')";
    assert_eq!(project.script("s", file), false);
    launched.says(&[".env"]);
}

/// All places where a secret could be written down, with what is there.
fn places(project: &Contained) -> Vec<(String, String)> {
    // All command lines of this machine; the ones that were typed are over.
    let arguments = finish(Command::new("ps").args(["-A", "-ww", "-o", "args="]));
    let logs = project.run(&["logs", "--local"]);
    let mut seen: Vec<(String, String)> = vec![
        ("command lines".into(), arguments.expect_code(0).into()),
        ("logs".into(), logs.expect_code(0).into()),
        ("status".into(), project.status().to_string()),
    ];
    let images = project.images();
    assert!(!images.is_empty());
    for image in images {
        for what in ["json", "history"] {
            let path = format!("/images/{}/{what}", image["Id"].as_str().unwrap());
            seen.push((path.clone(), project.engine().get(&path).to_string()));
        }
    }
    for (path, content) in project.state_files() {
        let content = String::from_utf8_lossy(&content).into_owned();
        seen.push((path.display().to_string(), content));
    }
    for file in ["/Dockerfile", ".build.log"] {
        let is_seen = seen.iter().any(|(name, _)| name.ends_with(file));
        assert!(is_seen, "{file} is not among them");
    }
    seen
}
