//! A container that dies says why: 424 with its exit code, whether memory was the cause, its last lines, and a hint.

use serde_json::{Value, json};

use super::Contained;
use super::agents::{OBEDIENT, PLAIN_DOCKERFILE};
use crate::live::http::{Answer, request};
use crate::live::{number, until};

/// An agent that is its container's only process, and dies as it is asked.
const MORTAL: &str = r#"
import http.server, json, os, sys

class Agent(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.answer({"status": "Healthy"})

    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "exit" in payload:
            print("about to leave", flush=True)
            print("the last words", file=sys.stderr, flush=True)
            os._exit(payload["exit"])
        if "eat" in payload:
            print("eating", flush=True)
            self.server.eaten = b"x" * payload["eat"]
        self.answer("alive")

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Agent).serve_forever()
"#;

#[test]
fn a_container_that_exits_answers_424_with_its_code_and_last_lines() {
    let Some(project) = Contained::own_dockerfile(PLAIN_DOCKERFILE, MORTAL) else {
        return;
    };
    let report = project.launch(&[]);
    let answer = invoke(&report, &json!({ "exit": 7 }));
    assert_eq!(answer.status, 424, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["exit_code"], 7, "{body}");
    assert_eq!(body["oom_killed"], false, "{body}");
    let details = body["details"].to_string();
    assert!(details.contains("the last words"), "{body}");

    let failed = project.run(&["invoke", r#"{"exit": 9}"#, "--session-id", "s"]);
    failed.expect_code(8);
    failed.says(&["error: ", "exit status 9", "the last words"]);
    // The session begins again.
    assert_eq!(project.ask("s", &json!({})), "alive");
}

#[test]
fn a_container_out_of_memory_says_so() {
    let Some(project) = Contained::own_dockerfile(PLAIN_DOCKERFILE, MORTAL) else {
        return;
    };
    project.launch(&[]);
    project.ask("s", &json!({}));
    limit_memory(&project, "s");
    let failed = project.run(&["invoke", r#"{"eat": 400000000}"#, "--session-id", "s"]);
    failed.expect_code(8);
    failed.says(&["error: ", "out of memory", "hint: "]);

    project.ask("t", &json!({}));
    let id = limit_memory(&project, "t");
    let invoke = ["invoke", r#"{"eat": 400000000}"#, "--session-id", "t"];
    let error = &project.json(&invoke, 8)["error"];
    assert_eq!(error["kind"], "agent", "{error}");
    assert!(error["hint"].is_string(), "{error}");
    assert!(error["details"].to_string().contains("eating"), "{error}");
    until("it is removed", || {
        project.engine().container(&id).is_null()
    });
    assert_eq!(
        project.ask("t", &json!({})),
        "alive",
        "the session begins again"
    );
}

#[test]
fn a_worker_out_of_memory_in_a_generated_image_costs_its_calls_and_not_the_container() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    project.script("s", "state['n'] = 1");
    let id = limit_memory(&project, "s");
    let run = json!({ "run": "state['x'] = b'x' * 400_000_000" }).to_string();
    let failed = project.run(&["invoke", &run, "--session-id", "s"]);
    failed.expect_code(8);
    failed.says(&["error: ", "SIGKILL", "hint: ", "memory"]);
    // The server is still there, and has a fresh worker for the session.
    assert_eq!(project.script("s", "result = state.get('n', 0)"), 0);
    assert_eq!(project.container("s")["Id"], id.as_str());
}

#[test]
fn a_server_that_is_killed_in_a_generated_image_is_424_and_the_session_begins_again() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    project.script("s", "state['n'] = 1");
    let suicide = json!({ "run": "import os\nprint('goodbye', flush=True)\nos.kill(os.getppid(), 9)\nimport time\ntime.sleep(60)" });
    let failed = project.run(&["invoke", &suicide.to_string(), "--session-id", "s"]);
    failed.expect_code(8);
    failed.says(&["error: ", "SIGKILL", "goodbye"]);
    assert_eq!(project.script("s", "result = state.get('n', 0)"), 0);
}

#[test]
fn a_stream_that_a_dying_container_cuts_is_a_failure() {
    let endless = r#"
import asyncio
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()

@app.entrypoint
async def invoke(payload):
    while True:
        yield "."
        await asyncio.sleep(0.01)

app.run()
"#;
    let Some(project) = Contained::python(endless) else {
        return;
    };
    project.launch(&[]);
    let mut stream = project.start(&["invoke", "{}", "--session-id", "s"]);
    assert_eq!(stream.read(3), "...");
    let id = project.container("s")["Id"].as_str().unwrap().to_owned();
    project.engine().kill(&id);
    let failed = stream.finish();
    failed.expect_code(8);
    failed.says(&["error: ", "the sandbox of this session ended"]);
}

/// Lets the container of a session use no more memory than it has now and a little.
fn limit_memory(project: &Contained, session: &str) -> String {
    let id = project.container(session)["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let limit = 128 * 1024 * 1024;
    project
        .engine()
        .update(&id, &json!({ "Memory": limit, "MemorySwap": limit }));
    id
}

fn invoke(report: &Value, payload: &Value) -> Answer {
    let port = u16::try_from(number(report, "port")).unwrap();
    request(port, "POST", "/invocations", &payload.to_string()).unwrap()
}
