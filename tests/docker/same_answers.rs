//! An agent answers the same in a container as in a process: one table, run against both.

use serde_json::{Value, json};

use super::Contained;
use super::agents::{OBEDIENT, VARIED};
use crate::live::http::request;
use crate::live::{Finished, Project, number};

/// What is sent with `invoke`, one after the other, in a session.
const CALLS: &[(&str, &str)] = &[
    ("a", r#"{"want": "calls"}"#),
    ("a", r#"{"want": "calls"}"#),
    ("b", r#"{"want": "calls"}"#),
    (
        "a",
        r#"{"prompt": "Grüße, ☃", "deep": [[1, 2.5, null, true]], "big": 123456789012345678901234567890}"#,
    ),
    ("a", "plain words become a prompt"),
    ("a", r#"{"want": "text"}"#),
    ("a", r#"{"want": "nothing"}"#),
    ("a", r#"{"want": "bytes"}"#),
    ("a", r#"{"want": "late"}"#),
    ("a", r#"{"want": "large"}"#),
    ("a", r#"{"want": "stream"}"#),
    ("a", r#"{"want": "stream", "fail": true}"#),
    ("a", r#"{"want": "error"}"#),
    ("b", r#"{"want": "calls"}"#),
];

/// What is sent to the front door as any HTTP client sends it.
const REQUESTS: &[(&str, &str, &str)] = &[
    ("GET", "/ping", ""),
    ("POST", "/invocations", r#"{"want": "text"}"#),
    ("POST", "/invocations", r#"{"want": "error"}"#),
    ("POST", "/invocations", r#"{"want": "stream"}"#),
    ("POST", "/invocations", "{not json"),
    ("POST", "/invocations", "[1, \"two\"]"),
    ("GET", "/invocations", ""),
    ("POST", "/elsewhere", "{}"),
];

#[test]
fn an_agent_answers_the_same_in_a_container_as_in_a_process() {
    let Some(boxed) = Contained::python(VARIED) else {
        return;
    };
    let container = boxed.launch(&[]);
    assert_eq!(container["sandbox"]["kind"], "docker");
    let apart = Project::python(VARIED);
    let process = apart.launch(&["--sandbox", "process"]);
    for (session, payload) in CALLS {
        let call = |project: &Project| {
            project.run(&["--quiet", "invoke", payload, "--session-id", session])
        };
        let (inside, outside) = (call(&boxed), call(&apart));
        assert_eq!(
            inside.code, outside.code,
            "{payload}: {inside:?}\n{outside:?}"
        );
        assert_eq!(inside.stdout, outside.stdout, "{payload}");
        assert_eq!(errors(&inside), errors(&outside), "{payload}");
    }
    for (method, path, body) in REQUESTS {
        let answer = |report: &Value| {
            let port = u16::try_from(number(report, "port")).unwrap();
            let answer = request(port, method, path, body).unwrap();
            (answer.status, without_time(&joined(&answer.body)))
        };
        assert_eq!(
            answer(&container),
            answer(&process),
            "{method} {path} {body}"
        );
    }
}

#[test]
fn a_stream_arrives_event_by_event() {
    let gated = r#"
import asyncio, os
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

async def stream():
    yield "one"
    while not os.path.exists("/tmp/gate"):
        await asyncio.sleep(0.01)
    yield "two"

@app.entrypoint
async def invoke(payload):
    if payload.get("open"):
        open("/tmp/gate", "w").close()
        return {"opened": True}
    return stream()

app.run()
"#;
    let Some(project) = Contained::python(gated) else {
        return;
    };
    project.launch(&[]);
    let mut stream = project.start(&["invoke", "{}", "--session-id", "s"]);
    assert_eq!(stream.read(3), "one");
    // Only now may the agent go on: what was read did not wait for the rest.
    assert_eq!(project.ask("s", &json!({ "open": true }))["opened"], true);
    let finished = stream.finish();
    assert_eq!(finished.expect_code(0), "two\n");
}

#[test]
fn the_four_commands_work_in_containers_as_with_processes() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let finished = project.run(&["launch", "--local", "--detach", "--port", "0"]);
    let ready = finished.expect_code(0);
    assert!(
        ready.starts_with("my_agent is ready at http://127.0.0.1:"),
        "{ready}"
    );
    finished.says(&["container"]);

    let run = r#"{"run": "result = 6 * 7"}"#;
    let answer = project.run(&["invoke", run, "--session-id", "conversation-123"]);
    assert_eq!(answer.expect_code(0), "{\"result\": 42}\n");
    let status = project.run(&["status", "--local"]);
    let status = status.expect_code(0);
    assert!(
        status.contains("my_agent runs at http://127.0.0.1:"),
        "{status}"
    );
    assert!(
        status.contains("conversation-123: ready, 1 invocation,"),
        "{status}"
    );
    assert_eq!(
        project.run(&["stop", "--local"]).expect_code(0),
        "Stopped my_agent\n"
    );
    project.left_nothing();
    assert_eq!(project.status()["state"], "not_running");
    project.run(&["invoke", "--local", "x"]).expect_code(5);
}

/// The lines that say what went wrong.
fn errors(finished: &Finished) -> Vec<&str> {
    let lines = finished.stderr.lines();
    lines.filter(|it| it.starts_with("error: ")).collect()
}

/// A body without the one thing that no two answers have in common.
fn without_time(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("time_of_last_update");
            Value::Object(fields).to_string()
        }
        _ => body.to_owned(),
    }
}

/// A body whose chunks, if it came in chunks, are put together: how a stream is cut is left to the moment.
fn joined(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((length, after)) = rest.split_once("\r\n") {
        let Some(chunk) = usize::from_str_radix(length, 16).ok() else {
            break;
        };
        whole.push_str(&after[..chunk]);
        rest = after[chunk..].trim_start_matches("\r\n");
    }
    if whole.is_empty() {
        body.to_owned()
    } else {
        whole
    }
}
