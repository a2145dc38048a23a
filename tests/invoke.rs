//! `invoke`: what is sent, how the answer is shown, and which session it is.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::live::Project;
use crate::live::agents::{COUNTING, STREAMING};

fn answer(project: &Project, args: &[&str]) -> Value {
    let finished = project.run(&[&["invoke"], args].concat());
    serde_json::from_str(finished.expect_code(0)).unwrap()
}

#[test]
fn sessions_are_continued_and_never_mixed() {
    let project = Project::python(COUNTING);
    project.launch(&[]);
    assert_eq!(answer(&project, &["a"])["calls"], 1);
    assert_eq!(
        answer(&project, &["b"])["calls"],
        2,
        "the last session is continued"
    );

    let named = project.run(&["invoke", "c", "--session-id", "conversation-123"]);
    let lengthened = "conversation-123-380d060426f2c9029d239cec9648f492";
    named.says(&[
        "`my_agent` is not deployed",
        &format!("Session `conversation-123` is sent as `{lengthened}`"),
    ]);
    let first: Value = serde_json::from_str(named.expect_code(0)).unwrap();
    assert_eq!(
        (&first["calls"], &first["session"]),
        (&json!(1), &json!(lengthened))
    );
    assert_eq!(
        answer(&project, &["d", "-s", "conversation-123"])["calls"],
        2
    );
    assert_eq!(
        answer(&project, &["e"])["session"],
        lengthened,
        "the last session is this one now"
    );
    assert_eq!(answer(&project, &["f", "--new-session"])["calls"], 1);
    assert_eq!(answer(&project, &["g"])["calls"], 2);
}

#[test]
fn payloads_come_from_the_command_line_a_file_or_standard_input() {
    let project = Project::python(COUNTING);
    project.launch(&[]);
    assert_eq!(
        answer(&project, &[r#"{"prompt": "Grüße"}"#])["result"],
        "You said: Grüße"
    );
    assert_eq!(
        answer(&project, &["two words"])["result"],
        "You said: two words"
    );
    project.write("in.json", "{\"prompt\": \"from a file\"}\n");
    assert_eq!(
        answer(&project, &["@in.json"])["result"],
        "You said: from a file"
    );

    let stdin = fs::File::open(project.path().join("in.json")).unwrap();
    let finished = crate::live::finish(project.command(&["invoke", "-"]).stdin(stdin));
    assert!(finished.expect_code(0).contains("from a file"));

    let wrong = project.run(&["invoke", "{\"prompt\": \"x\","]);
    wrong.expect_code(2);
    wrong.says(&["the payload is not valid JSON", "line 1 column 15"]);
    project
        .run(&["invoke", "@none.json"])
        .says(&["cannot read `none.json`", "hint: name a file after the `@`"])
        .expect_code(2);
}

#[test]
fn the_first_event_is_there_before_the_agent_has_made_the_second() {
    let project = Project::python(STREAMING);
    project.launch(&[]);
    let gate = project.path().join("gate");
    let payload = json!({ "gate": gate.to_str().unwrap() }).to_string();
    let mut invoke = project.start(&["invoke", &payload]);
    assert_eq!(invoke.read(3), "one");
    // Only now is the agent allowed to go on.
    fs::write(gate, "").unwrap();
    assert_eq!(
        invoke.finish().expect_code(0),
        "\n{\"n\":2,\"s\":\"a b\"}\nthree\n"
    );
}

#[test]
fn an_error_in_a_stream_is_class_8_and_leaves_stdout_to_the_answer() {
    let project = Project::python(STREAMING);
    project.launch(&[]);
    let failed = project.run(&["invoke", r#"{"fail": true}"#]);
    assert_eq!(failed.expect_code(8), "one\n");
    failed.says(&["ValueError", "no more"]);

    let died = project.run(&["invoke", r#"{"die": true}"#, "--new-session"]);
    assert_eq!(died.expect_code(8), "one\n");
    assert!(died.stderr.contains("error: "), "{}", died.stderr);
    project.run(&["invoke", "{}"]).expect_code(0);
}

#[test]
fn an_agent_that_fails_before_it_answers_is_class_8() {
    let project = Project::python(
        "from bedrock_agentcore import BedrockAgentCoreApp\napp = BedrockAgentCoreApp()\n\
         @app.entrypoint\ndef invoke(payload):\n    raise KeyError('the reason')\napp.run()\n",
    );
    project.launch(&[]);
    let failed = project.run(&["invoke", "x", "--session-id", "a"]);
    assert_eq!(failed.expect_code(8), "");
    failed.says(&["error: the agent answered with an error (500", "the reason"]);
    let failure = project.json(&["invoke", "x"], 8);
    assert_eq!(failure["error"]["kind"], "agent");
    let state =
        fs::read_to_string(project.path().join(".agentcore/state.json")).unwrap_or_default();
    assert!(
        !state.contains("last_session"),
        "a session that only failed is not continued: {state}"
    );
}

#[test]
fn strings_are_shown_as_text_and_other_bodies_as_received() {
    let project = Project::python(
        "from bedrock_agentcore import BedrockAgentCoreApp\napp = BedrockAgentCoreApp()\n\
         @app.entrypoint\ndef invoke(payload):\n    return payload['say']\napp.run()\n",
    );
    project.launch(&[]);
    for (payload, shown) in [
        (r#"{"say": "two\nlines"}"#, "two\nlines\n"),
        (
            r#"{"say": {"a": [1, 12345678901234567890123]}}"#,
            "{\"a\": [1, 12345678901234567890123]}\n",
        ),
        (r#"{"say": null}"#, "null\n"),
    ] {
        assert_eq!(project.run(&["invoke", payload]).expect_code(0), shown);
    }
    let report = project.json(&["invoke", r#"{"say": {"a": 1}}"#], 0);
    assert_eq!(report["response"], json!({ "a": 1 }));
    assert_eq!(report["schema_version"], 1);
    assert!(report["session_id"].as_str().unwrap().len() >= 33);
}

#[test]
fn programs_get_one_object_an_event() {
    let project = Project::python(STREAMING);
    project.launch(&[]);
    let finished = project.run(&["--output", "json", "invoke", "{}"]);
    let lines: Vec<Value> = finished
        .expect_code(0)
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let data: Vec<&Value> = lines
        .iter()
        .filter(|it| it["type"] == "event")
        .map(|it| &it["data"])
        .collect();
    assert_eq!(
        data,
        [
            &json!("one"),
            &json!({ "n": 2, "s": "a b" }),
            &json!("three")
        ]
    );
    assert_eq!(
        (&lines[3]["type"], &lines[3]["events"]),
        (&json!("end"), &json!(3))
    );

    let failed = project.run(&["--output", "json", "invoke", r#"{"fail": true}"#]);
    let last = failed.expect_code(8).lines().last().unwrap().to_owned();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(last["error"]["exit_code"], 8);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let project = Project::python(STREAMING);
    project.launch(&[]);
    let mut invoke = project.start(&["invoke", r#"{"endless": true}"#]);
    assert_eq!(invoke.read(4), "one.");
    drop(invoke.stdout.take());
    let finished = invoke.finish();
    finished.expect_code(0);
    assert!(!finished.stderr.contains("error"), "{}", finished.stderr);
}

#[test]
fn ctrl_c_ends_the_stream_and_the_program() {
    let project = Project::python(STREAMING);
    project.launch(&[]);
    let mut invoke = project.start(&["invoke", r#"{"endless": true}"#]);
    assert_eq!(invoke.read(4), "one.");
    invoke.signal(Signal::INT);
    invoke.finish().expect_code(130);
    // The sandbox was told that its caller is gone, and serves the next one.
    project.run(&["invoke", "{}"]).expect_code(0);
}

#[test]
fn a_bearer_token_is_sent_and_nobody_writes_it_down() {
    let project =
        Project::python(COUNTING).with_variable("BEDROCK_AGENTCORE_BEARER_TOKEN", "hush-variable");
    project.launch(&[]);
    for args in [
        &["invoke", "x", "--bearer-token", "hush-flag"][..],
        &["invoke", "x", "-bt", "hush-flag"],
        &["invoke", "x"],
    ] {
        let finished = project.run(args);
        finished.expect_code(0);
        finished.says(&["The bearer token is sent; on this machine nobody checks it yet."]);
    }
    let wrong = project.run(&["invoke", "x", "--bearer-token", "hush\nflag"]);
    wrong.expect_code(2);
    assert!(!wrong.stderr.contains("hush"));
    for (path, content) in project.state_files() {
        assert!(
            !String::from_utf8_lossy(&content).contains("hush"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn without_a_front_door_there_is_nothing_to_invoke() {
    let project = Project::python(COUNTING);
    for args in [&["invoke", "x", "--local"][..], &["invoke", "x"]] {
        let finished = project.run(args);
        assert_eq!(finished.expect_code(5), "");
        finished.says(&[
            "does not run on this machine",
            "hint: start it with `agentcore launch --local`",
        ]);
    }
    let deployed = json!({ "version": 1, "agents": { "my_agent": { "cloud": {
        "id": "my_agent-0123456789",
        "arn": "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/my_agent-0123456789",
    } } } });
    project.write(".agentcore/state.json", &deployed.to_string());
    let finished = project.run(&["invoke", "x"]);
    finished.expect_code(1);
    finished.says(&["add `--local`"]);
    project.run(&["invoke", "x", "--local"]).expect_code(5);
}

#[test]
fn mistakes_on_the_command_line_are_class_2() {
    let project = Project::python(COUNTING);
    for args in [
        &["invoke"][..],
        &["invoke", "x", "--session-id", "a b"],
        &["invoke", "x", "--session-id", "-a"],
        &["invoke", "x", "--session-id", "a", "--new-session"],
        &["invoke", "x", "--agent"],
    ] {
        let finished = project.run(args);
        assert_eq!(finished.expect_code(2), "");
        assert!(finished.stderr.contains("error: "), "{}", finished.stderr);
    }
    project
        .run(&["invoke", "x", "--agent", "nobody"])
        .expect_code(5);
    let outside = Project::new();
    outside
        .run(&["invoke", "x"])
        .says(&["agentcore configure"])
        .expect_code(3);
}
