//! `python agent.py` and its kin: every way to start, and how each of the two processes ends.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;

use crate::support::eventually;
use crate::support::started::{ECHO, SLOW, Started, agent, agent_with, python_is};

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
