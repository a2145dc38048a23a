//! What holds inside a process that has started its own server: limits, children, debuggers.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::started::{ECHO, SLOW, Started, agent, agent_with};
use crate::support::{eventually, free_port};

#[tokio::test]
async fn the_environment_has_the_last_word_on_the_address() {
    let port = free_port();
    let handler =
        "@app.entrypoint\ndef invoke(payload):\n    return os.environ.get('AGENTCORE_LISTEN')";
    let mut started = Started::python_with(&agent(handler), &["agent.py"], |command| {
        command.env("AGENTCORE_LISTEN", format!("localhost:{port}"));
    });
    started.url = format!("http://localhost:{port}");
    started.healthy().await;
    // It is not for what the agent starts.
    assert_eq!(started.ask(json!(null)).await, (200, "null".to_owned()));
    started.signal(Signal::TERM);
    started.url = format!("http://127.0.0.1:{port}");
    assert!(started.ended().await.0.success());
}

#[tokio::test]
async fn a_handler_beyond_its_limit_costs_that_call_and_not_the_process() {
    let started = Started::python_with(&agent(SLOW), &["agent.py"], |command| {
        command
            .env("AGENTCORE_INVOCATION_TIMEOUT", "0.2")
            .env("AGENTCORE_THREADS", "2");
    });
    started.healthy().await;
    assert_eq!(started.ask(json!(60)).await.0, 504);
    eventually(async || started.wrote("err").contains("The agent's process goes on")).await;
    assert_eq!(started.ask(json!(0)).await, (200, "0".to_owned()));
    started.signal(Signal::TERM);
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{err}");
    assert_eq!(out, "after run\n");
}

#[tokio::test]
async fn multiprocessing_works_in_the_agent() {
    // The file has no guard: the children import it, and must not serve.
    let handler = r"
import multiprocessing, threading
def double(number):
    return number * 2
@app.entrypoint
def invoke(kind):
    context = multiprocessing.get_context(kind)
    with context.Pool(1) as pool:
        doubled = pool.map(double, [1, 2])
    sleeper = context.Process(target=time.sleep, args=(60,))
    sleeper.start()
    time.sleep(0.3)
    sleeper.terminate()
    sleeper.join(10)
    return [doubled, sleeper.exitcode]
";
    let started = Started::python(&agent_with(handler, "app.run(port=PORT)"), &["agent.py"]);
    started.healthy().await;
    for kind in ["spawn", "fork", "forkserver"] {
        let answer = started.ask(json!(kind)).await;
        assert_eq!(
            answer,
            (200, "[[2, 4], -15]".to_owned()),
            "{kind}: {}",
            started.wrote("err")
        );
    }
    started.signal(Signal::TERM);
    let (status, _, err) = started.ended().await;
    assert!(status.success(), "{err}");
    assert_eq!(err.matches("Listening on").count(), 1, "{err}");
}

#[tokio::test]
async fn a_forked_child_does_not_hide_the_end_of_the_agent() {
    let handler = "@app.entrypoint\ndef invoke(payload):\n    child = os.fork()\n    if child == 0:\n        \
                   time.sleep(60)\n        os._exit(0)\n    return child";
    let started = Started::python(&agent(handler), &["agent.py"]);
    started.healthy().await;
    let (_, child) = started.ask(json!(null)).await;
    started.signal(Signal::KILL);
    let (status, _, _) = started.ended().await;
    assert_eq!(status.signal(), Some(9));
    kill_process(Pid::from_raw(child.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_breakpoint_in_a_handler_asks_at_the_terminal_of_the_agent() {
    let handler = "@app.entrypoint\ndef invoke(payload):\n    breakpoint()\n    return payload";
    let commands = tempfile::NamedTempFile::new().unwrap();
    fs::write(commands.path(), "p 'payload:', payload\nreturn\ncontinue\n").unwrap();
    let stdin = File::open(commands.path()).unwrap();
    let started = Started::python_with(&agent(handler), &["agent.py"], |command| {
        command.stdin(stdin);
    });
    started.healthy().await;
    assert_eq!(
        started.ask(json!(["seen"])).await,
        (200, r#"["seen"]"#.to_owned())
    );
    started.signal(Signal::TERM);
    let (_, out, err) = started.ended().await;
    assert!(out.contains("('payload:', ['seen'])"), "{out} {err}");
}

#[tokio::test]
async fn an_interrupt_under_pdb_is_pdbs() {
    let commands = tempfile::NamedTempFile::new().unwrap();
    fs::write(commands.path(), "p 'stopped'\nquit\n").unwrap();
    let stdin = File::open(commands.path()).unwrap();
    let args = ["-m", "pdb", "-c", "continue", "agent.py"];
    let started = Started::python_with(&agent(ECHO), &args, |command| {
        command.stdin(stdin);
    });
    started.healthy().await;
    started.interrupt();
    let (_, out, err) = started.ended().await;
    assert!(out.contains("(Pdb) 'stopped'"), "{out} {err}");
    assert!(!out.contains("after run"), "{out} {err}");
}

#[tokio::test]
async fn a_lifespan_begins_before_the_first_call_and_ends_after_the_last() {
    let app = "from contextlib import asynccontextmanager\n@asynccontextmanager\nasync def life(app):\n    \
               print('begins')\n    yield\n    print('ends')\napp = BedrockAgentCoreApp(lifespan=life)\n";
    let started = Started::python(&agent(&format!("{app}{ECHO}")), &["agent.py"]);
    started.healthy().await;
    assert_eq!(started.ask(json!(1)).await.0, 200);
    started.interrupt();
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{err}");
    assert_eq!(out, "begins\nends\nafter run\n");

    let fails = app.replace("print('begins')", "raise ValueError('no key')");
    let started = Started::python(&agent(&format!("{fails}{ECHO}")), &["agent.py"]);
    let said = "error: the agent could not be loaded: ValueError: no key\n";
    eventually(async || started.wrote("err").ends_with(said)).await;
    let (status, _, err) = started.ended().await;
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains("Traceback (most recent call last):"), "{err}");
}

#[tokio::test]
async fn an_agent_without_an_entrypoint_that_answers_itself_is_served_at_once() {
    let route = r"
class App(BedrockAgentCoreApp):
    async def __call__(self, scope, receive, send):
        if scope.get('path') != '/hello':
            return await super().__call__(scope, receive, send)
        await send({'type': 'http.response.start', 'status': 200, 'headers': []})
        await send({'type': 'http.response.body', 'body': b'hello'})
app = App()
";
    let started = Started::python(&agent(route), &["agent.py"]);
    started.healthy().await;
    let hello = reqwest::get(format!("{}/hello", started.url))
        .await
        .unwrap();
    assert_eq!(hello.text().await.unwrap(), "hello");
    assert_eq!(started.wrote("out"), "");
    started.signal(Signal::TERM);
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{err}");
    assert_eq!(out, "after run\n");
}

/// Prints in many ways, and ends its process when it is told.
const PRINTS: &str = r#"
import logging, signal
logging.getLogger().addHandler(logging.StreamHandler())
before = sys.stdout, sys.stderr
@app.entrypoint
def invoke(payload):
    print("printed", payload)
    print("err", file=sys.stderr)
    logging.warning("logged")
    if payload == "debug":
        breakpoint()
    if payload == "end":
        os.kill(os.getpid(), signal.SIGTERM)
    return os.environ.get("AGENTCORE_OUTPUT")
"#;
const PRINTS_AROUND: &str = "print('before run')\napp.run(port=PORT)\n\
    print('after run', (sys.stdout, sys.stderr) == before, os.environ.get('AGENTCORE_OUTPUT'))";

/// Runs a Python of its own at a terminal, whose screen goes to `out` and which has `keys` typed.
fn at_a_terminal(args: &str, keys: &str) -> Started {
    let script = format!("import pty, sys\nsys.exit(pty.spawn({args}))");
    let code = agent_with(PRINTS, PRINTS_AROUND);
    Started::python_with(&code, &["-c", &script], |command| {
        let typed = command.get_current_dir().unwrap().join("keys");
        fs::write(&typed, keys).unwrap();
        command.stdin(File::open(typed).unwrap());
    })
}

/// The lines on a screen, without those of the runtime and of the server.
fn shown(screen: &str) -> Vec<&str> {
    let lines = screen.lines().map(str::trim_end);
    let is_ours = |line: &&str| line.contains("completed successfully") || line.contains("INFO");
    lines.filter(|line| !is_ours(line)).collect()
}

#[tokio::test]
async fn at_a_terminal_lines_have_their_session_while_it_serves() {
    let started = at_a_terminal("['python3', 'agent.py']", "");
    started.healthy().await;
    assert_eq!(started.ask_in("one", json!(1)).await.0, 200);
    assert_eq!(started.ask_in("two", json!("end")).await.0, 200);
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{out} {err}");
    assert_eq!(
        shown(&out),
        [
            "before run",
            "[one] printed 1",
            "[one] err",
            "[one] logged",
            "[two] printed end",
            "[two] err",
            "[two] logged",
            "after run True None"
        ],
        "{out}"
    );
}

#[tokio::test]
async fn a_debugger_has_the_terminal_as_it_is() {
    let started = at_a_terminal(
        "['python3', '-m', 'pdb', '-c', 'continue', 'agent.py']",
        "q\n",
    );
    started.healthy().await;
    assert_eq!(started.ask_in("one", json!("end")).await.0, 200);
    eventually(async || started.wrote("out").contains("after run True None")).await;
    let out = started.wrote("out");
    for line in ["printed end", "err", "logged"] {
        assert!(shown(&out).contains(&line), "{out}");
    }
    started.ended().await;
}

#[tokio::test]
async fn a_breakpoint_asks_at_the_terminal() {
    let started = at_a_terminal("['python3', 'agent.py']", "p payload * 2\nc\n");
    started.healthy().await;
    assert_eq!(started.ask_in("one", json!("debug")).await.0, 200);
    assert_eq!(started.ask_in("one", json!("end")).await.0, 200);
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{out} {err}");
    assert!(out.contains("(Pdb) "), "{out}");
    assert!(out.contains("[one] 'debugdebug'"), "{out}");
    assert!(shown(&out).contains(&"[one] printed end"), "{out}");
}

#[tokio::test]
async fn for_a_front_door_both_streams_come_in_order_while_it_serves() {
    let script = "import subprocess, sys\nran = subprocess.run(['python3', 'agent.py'], capture_output=True)\n\
        sys.stdout.buffer.write(ran.stdout)\nsys.stderr.buffer.write(ran.stderr)\nsys.exit(ran.returncode)";
    let code = agent_with(PRINTS, PRINTS_AROUND);
    let started = Started::python_with(&code, &["-c", script], |command| {
        command.env("AGENTCORE_OUTPUT", "merged");
    });
    started.healthy().await;
    // It is not for what the agent starts.
    assert_eq!(started.ask(json!(1)).await, (200, "null".to_owned()));
    assert_eq!(started.ask(json!("end")).await.0, 200);
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{out} {err}");
    assert_eq!(out, "before run\nafter run True merged\n");
    let lines = shown(&err);
    let expected = [
        "\u{1}printed 1",
        "err",
        "logged",
        "\u{1}printed end",
        "err",
        "logged",
    ];
    assert_eq!(lines, expected, "{err}");
}
