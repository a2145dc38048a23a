//! Agents that start their server themselves: `python agent.py` and its kin, and how each of the two ends.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{eventually, free_port, real_path};

/// An agent whose `run()` is at the end, as in every guide.
fn agent(handler: &str) -> String {
    agent_with(handler, RUN)
}

fn agent_with(handler: &str, run: &str) -> String {
    format!(
        "import os, sys, time\nfrom bedrock_agentcore import BedrockAgentCoreApp\n\
         app = BedrockAgentCoreApp()\nPORT = int(os.environ['PORT'])\n{handler}\n{run}\n"
    )
}

const ECHO: &str = "@app.entrypoint\ndef invoke(payload):\n    return payload";
const RUN: &str = "if __name__ == '__main__':\n    app.run(port=PORT)\n    print('after run')";
/// Sleeps as long as it is told, and leaves a mark when it has begun.
const SLOW: &str = "@app.entrypoint\ndef invoke(payload):\n    open('begun', 'w').close()\n    time.sleep(payload)\n    return payload";

/// A Python that was started in a home of its own, as from a terminal: the leader of a process group.
struct Started {
    home: TempDir,
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Started {
    fn python(code: &str, args: &[&str]) -> Self {
        Self::python_with(code, args, |_| {})
    }

    fn python_with(code: &str, args: &[&str], adjust: impl FnOnce(&mut Command)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("agent.py"), code).unwrap();
        fs::create_dir(path("tmp")).unwrap();
        let port = free_port();
        let mut command = Command::new("python3");
        command.args(args);
        if args.contains(&"bedrock_agentcore") {
            command.arg(format!("--port={port}"));
        }
        command
            .current_dir(home.path())
            .env_clear()
            .env("PATH", real_path())
            .env("HOME", home.path())
            .env("TMPDIR", path("tmp"))
            .env("PYTHONPATH", package())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("AGENTCORE_HOST_BIN", env!("CARGO_BIN_EXE_agentcore-host"))
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(File::create(path("out")).unwrap())
            .stderr(File::create(path("err")).unwrap())
            .process_group(0);
        adjust(&mut command);
        Self {
            child: command.spawn().unwrap(),
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            home,
        }
    }

    async fn healthy(&self) {
        eventually(async || {
            let ping = self.client.get(format!("{}/ping", self.url)).send().await;
            ping.is_ok_and(|ping| ping.status() == 200)
        })
        .await;
    }

    async fn ask(&self, payload: Value) -> (u16, String) {
        let request = self.client.post(format!("{}/invocations", self.url));
        let response = request.body(payload.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Asks, and returns when the handler has begun.
    async fn begin(&self, payload: Value) -> tokio::task::JoinHandle<(u16, String)> {
        let request = self.client.post(format!("{}/invocations", self.url));
        let request = request.body(payload.to_string()).send();
        let call = tokio::spawn(async {
            let response = request.await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        });
        let mark = self.home.path().join("begun");
        eventually(async || mark.exists()).await;
        call
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    /// What a shell does to a program that it has started.
    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What the terminal does at Ctrl-C: it reaches everyone who was started in it.
    fn interrupt(&self) {
        kill_process_group(self.pid(), Signal::INT).unwrap();
    }

    fn wrote(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(name)).unwrap()
    }

    /// Waits for the end of the process and of its server, and checks that nothing is left.
    async fn ended(mut self) -> (ExitStatus, String, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "{}", self.wrote("err"));
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let address = self.url.strip_prefix("http://").unwrap();
        eventually(async || std::net::TcpStream::connect(address).is_err()).await;
        eventually(async || fs::read_dir(self.home.path().join("tmp")).unwrap().count() == 0).await;
        (status, self.wrote("out"), self.wrote("err"))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A test that failed leaves nothing either; the server ends with the process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the Python of the tests is between two versions.
fn python_is(first: &str, last: &str) -> bool {
    let code = "import sys; v = '.'.join(map(str, sys.version_info[:3])); print(sys.argv[1] <= v <= sys.argv[2])";
    let output = Command::new("python3")
        .args(["-c", code, first, last])
        .output();
    output.unwrap().stdout == b"True\n"
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python/lib")
}

/// What is started, with the arguments of Python for it, and what it answers.
type Way = (&'static str, String, &'static [&'static str], &'static str);

fn ways() -> Vec<Way> {
    const FILE: &[&str] = &["agent.py"];
    const OURS: &[&str] = &["-m", "bedrock_agentcore", "agent.py"];
    const OTHER: &[&str] = &["-m", "bedrock_agentcore", "agent.py:other"];
    const RUNPY: &str = "import runpy\nrunpy.run_path('agent.py', run_name='__main__')";
    let plain = || agent(ECHO);
    let ran_by = |run: &str| agent_with(ECHO, run);
    let other = "other = BedrockAgentCoreApp()\n@other.entrypoint\ndef second(payload):\n    return 'other'";
    let in_a_loop =
        "import asyncio\nasync def main():\n    app.run(port=PORT)\nasyncio.run(main())";
    let before = format!("app.run(port=PORT)\ntime.sleep(0.2)\n{ECHO}");
    let is_async = ECHO.replace("def", "async def");
    let pdb = &["-m", "pdb", "-c", "continue", "agent.py"];
    vec![
        ("the file", plain(), FILE, "[1]"),
        ("the module", plain(), &["-m", "agent"], "[1]"),
        ("an async handler", agent(&is_async), FILE, "[1]"),
        (
            "its own run()",
            ran_by("invoke.run(port=PORT)"),
            FILE,
            "[1]",
        ),
        ("in an event loop", ran_by(in_a_loop), FILE, "[1]"),
        ("run() comes first", agent_with(&before, ""), FILE, "[1]"),
        ("another program", plain(), &["-c", RUNPY], "[1]"),
        (
            "a profiler",
            plain(),
            &["-m", "cProfile", "agent.py"],
            "[1]",
        ),
        (
            "a tracer",
            plain(),
            &["-m", "trace", "--listfuncs", "agent.py"],
            "[1]",
        ),
        ("a debugger", plain(), pdb, "[1]"),
        (
            "optimised",
            plain(),
            &["-OO", "-X", "utf8", "agent.py"],
            "[1]",
        ),
        ("our module", plain(), OURS, "[1]"),
        (
            "one app of several",
            agent(&format!("{ECHO}\n{other}")),
            OTHER,
            "\"other\"",
        ),
    ]
}

#[tokio::test]
async fn every_way_to_start_serves_and_ends_in_order() {
    let all = ways().into_iter();
    // There, no thread can be started after the end of the file (gh-113964).
    let is_barred = |name| name == "run() comes first" && python_is("3.12.0", "3.12.1");
    let served =
        all.filter(|(name, ..)| !is_barred(*name))
            .map(|(name, code, args, answer)| async move {
                let started = Started::python(&code, args);
                started.healthy().await;
                let answered = started.ask(json!([1])).await;
                assert_eq!(
                    answered,
                    (200, answer.to_owned()),
                    "{name}: {}",
                    started.wrote("err")
                );
                started.signal(Signal::TERM);
                let (status, out, err) = started.ended().await;
                assert!(status.success(), "{name}: {status} {err}");
                assert!(!err.contains("Traceback"), "{name}: {err}");
                if name == "a tracer" {
                    assert!(
                        out.contains("funcname: invoke"),
                        "the handler was not traced: {out}"
                    );
                }
            });
    join_all(served).await;
}

#[tokio::test]
async fn what_is_asked_to_end_finishes_its_calls_and_then_the_file() {
    for ctrl_c in [true, false] {
        let started = Started::python(&agent(SLOW), &["agent.py"]);
        started.healthy().await;
        let call = started.begin(json!(0.5)).await;
        if ctrl_c {
            started.interrupt();
        } else {
            started.signal(Signal::TERM);
        }
        assert_eq!(call.await.unwrap(), (200, "0.5".to_owned()));
        let (status, out, err) = started.ended().await;
        assert!(status.success(), "{status} {err}");
        assert_eq!(out, "after run\n", "{err}");
        assert!(!err.contains("Traceback"), "{err}");
    }
}

#[tokio::test]
async fn a_second_interrupt_waits_for_nothing() {
    let started = Started::python(&agent(SLOW), &["agent.py"]);
    started.healthy().await;
    let call = started.begin(json!(60)).await;
    let begun = Instant::now();
    started.interrupt();
    tokio::time::sleep(Duration::from_millis(300)).await;
    started.interrupt();
    let (status, _, err) = started.ended().await;
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    // What a shell calls 130.
    assert_eq!(
        status.signal(),
        Some(Signal::INT.as_raw()),
        "{status} {err}"
    );
    assert!(err.ends_with("KeyboardInterrupt\n"), "{err}");
    assert!(call.await.is_err() || !err.is_empty());
}

#[tokio::test]
async fn signals_of_the_agent_are_its_own_again_afterwards() {
    let handlers = "import signal\nfor number in (signal.SIGINT, signal.SIGTERM):\n    \
                    signal.signal(number, lambda number, frame: print('heard', number))\n";
    let started = Started::python(&agent(&format!("{handlers}{ECHO}")), &["agent.py"]);
    started.healthy().await;
    started.interrupt();
    let (status, out, err) = started.ended().await;
    assert!(status.success(), "{status} {err}");
    assert_eq!(out, "heard 2\nafter run\n");
}

#[tokio::test]
async fn a_killed_agent_is_an_error_of_its_calls_and_the_end_of_its_server() {
    for kind in ["def", "async def"] {
        let started = Started::python(&agent(&SLOW.replace("def", kind)), &["agent.py"]);
        started.healthy().await;
        let call = started.begin(json!(60)).await;
        started.signal(Signal::KILL);
        let (code, body) = call.await.unwrap();
        assert_eq!(code, 500, "{body}");
        assert!(body.contains("WorkerDied"), "{body}");
        let said = "error: the agent's process ended: it closed its connection\n";
        eventually(async || started.wrote("err").ends_with(said)).await;
        let (status, _, err) = started.ended().await;
        assert_eq!(status.signal(), Some(9), "{err}");
    }
}

#[tokio::test]
async fn a_killed_server_is_an_error_of_run() {
    let pid = "from bedrock_agentcore.runtime import app as module\n@app.entrypoint\n\
               def invoke(payload):\n    return module._worker._process._pid";
    let started = Started::python(&agent(pid), &["agent.py"]);
    started.healthy().await;
    let (_, server) = started.ask(json!(null)).await;
    let server = Pid::from_raw(server.parse().unwrap()).unwrap();
    kill_process(server, Signal::KILL).unwrap();
    let (status, out, err) = started.ended().await;
    assert_eq!((status.code(), out.as_str()), (Some(1), ""), "{err}");
    let last = err.lines().last().unwrap();
    assert_eq!(
        last, "RuntimeError: the server of the agent has ended: signal 9 (SIGKILL)",
        "{err}"
    );
    assert!(test_kill_process(server).is_err());
}

#[tokio::test]
async fn the_end_of_the_program_is_the_end_of_its_server() {
    let in_a_thread =
        "import threading\nthreading.Thread(target=app.run, args=(PORT,), daemon=True).start()\n";
    let ends = format!("{in_a_thread}while not os.path.exists('end'):\n    time.sleep(0.01)\n");
    let started = Started::python(&agent_with(ECHO, &ends), &["agent.py"]);
    started.healthy().await;
    assert_eq!(started.ask(json!(1)).await.0, 200);
    File::create(started.home.path().join("end")).unwrap();
    let (status, _, err) = started.ended().await;
    assert!(status.success(), "{err}");
    assert!(!err.contains("rror"), "{err}");

    // In a thread nobody hears a signal to the process, which ends it as any other.
    let waits = in_a_thread.replace(".start()", ".start()\ntime.sleep(60)");
    let started = Started::python(&agent_with(ECHO, &waits), &["agent.py"]);
    started.healthy().await;
    started.signal(Signal::TERM);
    assert_eq!(started.ended().await.0.signal(), Some(15));
}

#[tokio::test]
async fn a_taken_port_is_named_and_ends_the_program() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let started = Started::python_with(&agent(ECHO), &["agent.py"], |command| {
        command.env("PORT", port.to_string());
    });
    let (status, out, err) = started.ended().await;
    assert_eq!((status.code(), out.as_str()), (Some(1), ""), "{err}");
    let expected = format!(
        "error: port {port} on 127.0.0.1 is already in use\nhint: use another port: `app.run(port=…)`\n"
    );
    assert_eq!(err, expected);
}

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
async fn an_agent_can_be_served_again() {
    let twice = "for turn in (1, 2):\n    app.run(port=PORT)\n    print('turn', turn, flush=True)";
    let started = Started::python(&agent_with(ECHO, twice), &["agent.py"]);
    for turn in [1, 2] {
        started.healthy().await;
        assert_eq!(started.ask(json!(turn)).await, (200, turn.to_string()));
        started.interrupt();
        eventually(async || started.wrote("out").ends_with(&format!("turn {turn}\n"))).await;
    }
    let (status, _, err) = started.ended().await;
    assert!(status.success(), "{err}");
}
