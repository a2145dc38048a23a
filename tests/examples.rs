//! The Python examples, launched and invoked as their READMEs say; the Rust ones are in `rust_agents`.

use std::fs;

use serde_json::{Value, json};

use crate::live::Project;
use crate::support::workspace;

fn launched(name: &str) -> Project {
    let file = workspace().join("examples").join(name).join("agent.py");
    let project = Project::python(&fs::read_to_string(file).unwrap());
    project.launch(&[]);
    project
}

#[test]
fn hello_answers_what_it_was_told_whatever_its_length() {
    let project = launched("hello-python");
    let long = "ä".repeat(100_000);
    project.write("prompt.txt", &long);
    for (payload, said) in [("Hello", "Hello"), ("@prompt.txt", long.as_str())] {
        let finished = project.run(&["invoke", payload]);
        let answer: Value = serde_json::from_str(finished.expect_code(0)).unwrap();
        assert_eq!(answer, json!({ "result": format!("You said: {said}") }));
    }
}

#[test]
fn streaming_sends_word_by_word() {
    let project = launched("streaming-python");
    let finished = project.run(&["invoke", "one two"]);
    assert_eq!(
        finished.expect_code(0),
        "You said: one two\n{\"words\":4}\n"
    );
}

#[test]
fn sessions_counts_for_each_session() {
    let project = launched("sessions-python");
    let count = |session: &str| {
        let finished = project.run(&["invoke", "x", "--session-id", session]);
        serde_json::from_str::<Value>(finished.expect_code(0)).unwrap()["count"].clone()
    };
    assert_eq!([count("one"), count("one"), count("two")], [1, 2, 1]);
}
