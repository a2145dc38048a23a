//! What a Python agent prints, as a person sees it: in the front door's log, and at the terminal of `serve`.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::live::http::{free_port, invoke_in, is_healthy};
use crate::live::{Finished, Project, until};
use crate::support::terminal::{CTRL_C, Setup, Terminal};

/// Writes to both streams in turn, as often as it is told.
pub(crate) const TALKATIVE: &str = r#"
import logging, sys, time
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
log = logging.getLogger("agent")
log.addHandler(logging.StreamHandler())
log.propagate = False

@app.entrypoint
def invoke(payload):
    for number in range(payload["times"]):
        print("out", number)
        print("err", number, file=sys.stderr)
        log.warning("logged %d", number)
        time.sleep(payload.get("pause", 0))
    for token in payload.get("tokens", ""):
        print(token, end="", flush=True)
        time.sleep(payload["pause"])
    if "tokens" in payload:
        print()
    print("done")
    return {"done": True}

app.run()
"#;

/// The lines that [`TALKATIVE`] writes, with their streams.
fn lines(times: usize) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for number in 0..times {
        lines.push(("stdout", format!("out {number}")));
        lines.push(("stderr", format!("err {number}")));
        lines.push(("stderr", format!("logged {number}")));
    }
    lines.push(("stdout", "done".to_owned()));
    lines
}

/// Checks that the log of the session `mine` has all lines of [`TALKATIVE`], in order and with their streams.
#[track_caller]
pub(crate) fn assert_in_order(project: &Project, times: usize) {
    let logs = ["--output", "json", "logs", "--local", "--session", "mine"];
    until("everything is in the log", || {
        project.run(&logs).stdout.contains("\"done\"")
    });
    let logged = project.run(&logs);
    let entries = logged.expect_code(0).lines();
    let seen: Vec<(String, String)> = entries
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry["event"] == "output")
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("stream"), text("line"))
        })
        // Those of the servers.
        .filter(|(_, line)| !line.starts_with("{\"timestamp\"") && !line.starts_with("Serving "))
        .collect();
    let seen: Vec<(&str, String)> = seen
        .iter()
        .map(|(stream, line)| (stream.as_str(), line.clone()))
        .collect();
    assert_eq!(seen, lines(times));
}

#[test]
fn the_streams_of_a_sandbox_are_in_the_log_in_order() {
    let project = Project::python(TALKATIVE);
    let mut launch = project.start(&["launch", "--local", "--port", "0"]);
    launch.read_line();
    let payload = json!({ "times": 1000 }).to_string();
    let invoke = ["invoke", &payload, "--session-id", "mine"];
    project.run(&invoke).expect_code(0);
    assert_in_order(&project, 1000);
    launch.signal(Signal::INT);
    let Finished { stderr, .. } = launch.finish();
    let shown: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("[mine] "))
        .filter(|line| !line.contains("{\"timestamp\"") && !line.contains("] -- "))
        .collect();
    let expected: Vec<String> = lines(1000)
        .into_iter()
        .map(|(_, line)| format!("[mine] {line}"))
        .collect();
    assert_eq!(shown, expected);
}

#[test]
fn at_a_terminal_lines_have_their_session_in_front() {
    let project = Project::new();
    project.write("agent.py", TALKATIVE);
    let port = free_port();
    let setup = Setup {
        columns: 300,
        shows_results: true,
        ..Setup::default()
    };
    let args = ["serve", "agent.py", "--port", &port.to_string()];
    let terminal = Terminal::start_on(setup, project.home(), &args);
    until("it is healthy", || is_healthy(port));
    let payload = json!({ "times": 3, "pause": 0.1, "tokens": "abcdef" }).to_string();
    let sessions = [
        ("one", "one"),
        ("two-380d060426f2c9029d239cec9648f492", "two"),
        ("0b1a2c3d-0000-4000-8000-000000000000", "0b1a2c3d"),
    ];
    std::thread::scope(|scope| {
        for (session, _) in sessions {
            let payload = &payload;
            scope.spawn(move || {
                let answer = invoke_in(port, session, payload);
                assert_eq!(answer.body, r#"{"done": true}"#);
            });
        }
    });
    terminal.wait_until("each has its last line", |screen| {
        screen.matches("] done").count() == 3
            && screen.matches("completed successfully").count() == 3
    });
    terminal.press(CTRL_C);
    let ended = terminal.end();
    assert_eq!(ended.code, Some(130), "{}", ended.screen);
    let shown: Vec<&str> = ended.raw.lines().map(str::trim_end).collect();
    for (_, name) in sessions {
        let tag = format!("[{name}] ");
        let own: Vec<&str> = shown
            .iter()
            .filter_map(|it| it.strip_prefix(&tag))
            .collect();
        let (tokens, whole): (Vec<&str>, Vec<&str>) =
            own.into_iter().partition(|it| "abcdef".contains(it));
        assert_eq!(tokens.concat(), "abcdef", "{}", ended.screen);
        let expected: Vec<String> = lines(3).into_iter().map(|(_, line)| line).collect();
        assert_eq!(whole, expected, "{}", ended.screen);
    }
}

#[test]
fn in_a_pipe_nothing_is_added() {
    let project = Project::new();
    project.write("agent.py", TALKATIVE);
    let port = free_port();
    let running = project.start(&["serve", "agent.py", "--port", &port.to_string()]);
    until("it is healthy", || is_healthy(port));
    invoke_in(port, "one", &json!({ "times": 2 }).to_string());
    running.signal(Signal::TERM);
    let finished = running.finish();
    assert_eq!(finished.expect_code(0), "out 0\nout 1\ndone\n");
    finished.says(&["\nerr 0\nlogged 0\nerr 1\nlogged 1\n"]);
}
