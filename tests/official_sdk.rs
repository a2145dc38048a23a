//! The four commands with the official SDK in the agent's interpreter: it serves, unless the native engine is asked for.
//!
//! The SDK is the real one, in the environment that `cargo xtask test` makes; nothing here stands in for it.

use std::path::Path;

use serde_json::{Value, json};

use crate::live::Project;
use crate::live::agents::{COUNTING, STREAMING};
use crate::support::python_with;

/// Tells which file the package comes from, so that a test sees who serves.
const WHO: &str = r"
import bedrock_agentcore
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
def invoke(payload):
    return bedrock_agentcore.__file__
";

/// A project whose commands run in the active virtual environment of `python`.
fn in_environment_of(python: &Path, code: &str) -> Project {
    let environment = python.parent().and_then(Path::parent).unwrap();
    Project::python(code).with_variable("VIRTUAL_ENV", environment.to_str().unwrap())
}

fn answer(project: &Project, args: &[&str]) -> Value {
    let finished = project.run(&[&["invoke"], args].concat());
    serde_json::from_str(finished.expect_code(0)).unwrap()
}

#[test]
fn the_official_sdk_serves_and_sessions_are_kept_apart() {
    let Some(python) = python_with("bedrock_agentcore") else {
        return;
    };
    let project = in_environment_of(&python, COUNTING);
    project
        .run(&["launch", "--local", "--detach", "--port", "0"])
        .says(&["Engine sdk", "`engine: native` would replace it"]);
    let first = answer(&project, &["a", "--session-id", "one"]);
    assert_eq!(
        (&first["result"], &first["calls"]),
        (&json!("You said: a"), &json!(1))
    );
    assert_eq!(answer(&project, &["b", "--session-id", "one"])["calls"], 2);
    assert_eq!(answer(&project, &["c", "--session-id", "two"])["calls"], 1);
}

#[test]
fn the_official_sdk_streams() {
    let Some(python) = python_with("bedrock_agentcore") else {
        return;
    };
    let project = in_environment_of(&python, STREAMING);
    project.launch(&[]);
    let finished = project.run(&["invoke", "{}"]);
    assert_eq!(
        finished.expect_code(0),
        "one\n{\"n\":2,\"s\":\"a b\"}\nthree\n"
    );
    let failed = project.run(&["invoke", r#"{"fail": true}"#, "--quiet"]);
    assert_eq!(failed.expect_code(8), "one\n");
    failed.says(&["no more", "ValueError"]);
}

#[test]
fn a_file_that_does_not_load_on_the_official_sdk_is_class_8_with_its_traceback() {
    let Some(python) = python_with("bedrock_agentcore") else {
        return;
    };
    let project = in_environment_of(&python, "import bedrock_agentcore\nimport no_such_module\n");
    let failed = project.run(&["launch", "--local", "--detach", "--port", "0"]);
    failed.expect_code(8);
    failed.says(&[
        "Traceback (most recent call last)",
        "ModuleNotFoundError: No module named 'no_such_module'",
    ]);
}

#[test]
fn the_engine_is_whichever_is_asked_for() {
    let Some(python) = python_with("bedrock_agentcore") else {
        return;
    };
    let project = in_environment_of(&python, WHO);
    let who = |engine: &str| {
        project.launch(&["--engine", engine, "--restart"]);
        project.run(&["invoke", "who"]).expect_code(0).to_owned()
    };
    assert!(who("auto").contains("site-packages"));
    assert!(who("sdk").contains("site-packages"));
    assert!(!who("native").contains("site-packages"));
}

#[test]
fn the_project_file_chooses_the_engine_unless_a_flag_does() {
    let Some(python) = python_with("bedrock_agentcore") else {
        return;
    };
    let project = in_environment_of(&python, WHO);
    let file = project.path().join(".agentcore.yaml");
    let configured = std::fs::read_to_string(&file).unwrap();
    let line = configured
        .lines()
        .find(|it| it.trim_start().starts_with("entrypoint:"))
        .unwrap();
    let indent = &line[..line.len() - line.trim_start().len()];
    let native = configured.replace(line, &format!("{line}\n{indent}engine: native"));
    std::fs::write(&file, native).unwrap();
    for (args, from_packages) in [
        (&["--restart"][..], false),
        (&["--restart", "--engine", "sdk"], true),
    ] {
        project.launch(args);
        let who = project.run(&["invoke", "who"]);
        assert_eq!(
            who.expect_code(0).contains("site-packages"),
            from_packages,
            "{args:?}"
        );
    }
}
