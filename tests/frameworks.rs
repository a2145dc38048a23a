//! The examples with frameworks from PyPI, whose models need no network: launched and invoked in processes and in
//! containers.
//!
//! Processes run in the environment that `cargo xtask test` makes out of all their requirements. An image installs those
//! of its own example, so a requirement that is missing there is noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::docker::Contained;
use crate::live::{Project, finish};
use crate::support::{is_ci, python_with, workspace};

/// Streams every event as Strands gives it, as guides do: among them are dictionaries with objects that JSON lacks.
const RAW: &str = r#"
from agent import agent
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
async def answer(payload):
    async for event in agent.stream_async(payload["prompt"]):
        yield event

app.run()
"#;

#[test]
fn strands_streams_from_a_process() {
    from_a_process("strands-python");
}

#[test]
fn langgraph_streams_from_a_process() {
    from_a_process("langgraph-python");
}

#[test]
fn pydantic_ai_streams_from_a_process() {
    from_a_process("pydantic-ai-python");
}

#[test]
fn strands_streams_from_a_container() {
    from_a_container("strands-python");
}

#[test]
fn langgraph_streams_from_a_container() {
    from_a_container("langgraph-python");
}

#[test]
fn pydantic_ai_streams_from_a_container() {
    from_a_container("pydantic-ai-python");
}

#[test]
fn strands_streams_on_the_official_sdk() {
    let (Some(frameworks), Some(peers)) = (python(), python_with("bedrock_agentcore")) else {
        return;
    };
    let project = project("strands-python");
    // An environment of the project's own, with the packages of both.
    let own = project.path().join(".venv");
    let make = ["-m", "venv", "--without-pip", own.to_str().unwrap()];
    finish(Command::new(&frameworks).args(make)).expect_code(0);
    let folder = packages_of(&own.join("bin/python"));
    let both = [&frameworks, &peers].map(|it| packages_of(it));
    fs::write(Path::new(&folder).join("both.pth"), both.join("\n")).unwrap();
    launch(&project, &["--engine", "sdk"], "Engine sdk");
    converses(&project);
}

#[test]
fn every_event_of_strands_arrives_as_json() {
    let Some(python) = python() else {
        return;
    };
    let project = project("strands-python");
    project.write("raw.py", RAW);
    project.configure(&["--entrypoint", "raw.py", "--name", "my_agent"]);
    let project = project.with_variable("VIRTUAL_ENV", &environment(&python));
    launch(&project, &["--sandbox", "process"], "Engine native");
    let events = events(&project, "one", "two words");
    let objects = events.iter().all(Value::is_object);
    assert!(objects, "{events:?}");
    let word = events.iter().find(|it| it["data"] == "Words ");
    let word = word.unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(word["delta"], json!({ "text": "Words " }), "{word}");
    let agent = word["agent"].as_str().unwrap();
    assert!(agent.contains("Agent object"), "{agent}");
    let tool = events
        .iter()
        .find_map(|it| it.pointer("/event/contentBlockStart/start/toolUse"));
    assert_eq!(tool.unwrap()["name"], "count_words");
}

fn from_a_process(example: &str) {
    let Some(python) = python() else {
        return;
    };
    let project = project(example).with_variable("VIRTUAL_ENV", &environment(&python));
    launch(&project, &["--sandbox", "process"], "Engine native");
    converses(&project);
    assert_eq!(events(&project, "two", "a new one"), streamed(1, 3));
}

fn from_a_container(example: &str) {
    let Some(contained) = Contained::python(&file_of(example, "agent.py")) else {
        return;
    };
    complete(&contained, example);
    // Nothing here asks for a second session.
    contained.launch(&["--spares", "0"]);
    converses(&contained);
    let logs = contained.run(&["logs", "--local"]);
    assert!(logs.stdout.contains("Engine native"), "{}", logs.stdout);
}

/// Invokes the agent twice in a session: the second answer knows of the first.
fn converses(project: &Project) {
    assert_eq!(events(project, "one", "one two three"), streamed(1, 3));
    assert_eq!(events(project, "one", "four"), streamed(2, 1));
}

/// What each of the examples streams, piece by piece.
fn streamed(prompt: u32, words: u32) -> Vec<Value> {
    let (prompt, words) = (format!("{prompt}: "), format!("{words}."));
    vec![
        json!("Words "),
        json!("in "),
        json!("prompt "),
        json!(prompt),
        json!(words),
        json!({ "tools": ["count_words"] }),
    ]
}

/// The events of an answer.
fn events(project: &Project, session: &str, prompt: &str) -> Vec<Value> {
    let invoke = [
        "--output",
        "json",
        "invoke",
        prompt,
        "--session-id",
        session,
    ];
    let finished = project.run(&invoke);
    let lines = finished.expect_code(0).lines();
    let mut events: Vec<Value> = lines.map(|it| serde_json::from_str(it).unwrap()).collect();
    let last = events.pop();
    assert_eq!(last.unwrap()["type"], "end", "{finished:?}");
    assert!(events.iter().all(|it| it["type"] == "event"), "{events:?}");
    events.iter_mut().map(|it| it["data"].take()).collect()
}

/// A project that is a copy of the example.
fn project(example: &str) -> Project {
    let project = Project::python(&file_of(example, "agent.py"));
    complete(&project, example);
    project
}

/// Adds the other files of the example.
fn complete(project: &Project, example: &str) {
    for name in ["model.py", "requirements.txt"] {
        project.write(name, &file_of(example, name));
    }
}

fn file_of(example: &str, name: &str) -> String {
    let file = workspace().join("examples").join(example).join(name);
    fs::read_to_string(file).unwrap()
}

/// Launches on the engine that is meant.
fn launch(project: &Project, args: &[&str], engine: &str) {
    let launch = ["launch", "--local", "--detach", "--port", "0"];
    let finished = project.run(&[&launch[..], args].concat());
    finished.expect_code(0);
    finished.says(&[engine]);
}

/// The Python that has the frameworks, as `cargo xtask test` makes it.
///
/// Without one, the test fails where `CI` is set; whoever runs it by hand is told, and goes on without.
pub(crate) fn python() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment of the test itself says which Python has the frameworks"
    )]
    let made = std::env::var_os("AGENTCORE_TEST_FRAMEWORKS").map(PathBuf::from);
    if made.is_none() {
        let missing = "`AGENTCORE_TEST_FRAMEWORKS` names no Python with the frameworks";
        let hint = "run the tests by `cargo xtask test tests`, which installs them";
        assert!(!is_ci(), "{missing}: {hint}");
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("SKIPPED: {missing}; {hint}");
        }
    }
    made
}

/// The virtual environment that an interpreter is in.
fn environment(python: &Path) -> String {
    let folder = python.parent().and_then(Path::parent).unwrap();
    folder.to_str().unwrap().to_owned()
}

/// The folder of an interpreter's installed packages.
pub(crate) fn packages_of(python: &Path) -> String {
    let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let told = finish(Command::new(python).args(["-c", ask]));
    told.expect_code(0).trim_end().to_owned()
}
