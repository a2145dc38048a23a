//! `agentcore configure` at a terminal, as a person sees it.

use crate::support::Home;
use crate::support::terminal::{ENTER, Setup, Terminal};

const AGENT: &str = "from bedrock_agentcore import BedrockAgentCoreApp\n";

fn home() -> Home {
    Home::new()
        .file("agent.py", AGENT)
        .file("requirements.txt", "requests\n")
}

/// What is asked of a new agent in that home, in this order; the menu for the authorizer is after the first five.
const QUESTIONS: [&str; 6] = [
    "Entrypoint [agent.py]:",
    "Agent name [agent]:",
    "Dependency file [requirements.txt]:",
    "Execution role [make one]:",
    "ECR repository [make one]:",
    "Request headers [none]:",
];

#[test]
fn enter_takes_every_default() {
    let home = home();
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.skip(&QUESTIONS[..5]);
    terminal.take("IAM");
    terminal.answer(QUESTIONS[5], "");
    let ended = terminal.end_well();
    insta::assert_snapshot!(ended.screen, @"
    Enter takes what is in brackets; Ctrl-C leaves everything as it is
    Entrypoint: agent.py
    Agent name: agent
    Dependency file: requirements.txt
    Execution role: make one
    ECR repository: make one
    Authorizer: IAM: requests signed with AWS credentials
    Request headers: none
    hint: run it on this machine with `agentcore launch --local`
    ");
    insta::assert_snapshot!(ended.stdout, @"
    Added agent `agent` to .agentcore.yaml
      entrypoint    agent.py (python)
      dependencies  requirements.txt (inferred)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
    `agent` is the default agent: commands without `--agent` mean it
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: agent
    agents:
      agent:
        entrypoint: agent.py
    ");
}

#[test]
fn every_answer_has_its_key() {
    let home = home()
        .file("svc/main.py", AGENT)
        .file("svc/deps.in", "requests\n");
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.answer(QUESTIONS[0], "svc");
    terminal.answer("Agent name [svc_main]:", "my-agent");
    terminal.answer(QUESTIONS[2], "svc/deps.in");
    terminal.answer(QUESTIONS[3], "arn:aws:iam::123456789012:role/mine");
    terminal.answer(QUESTIONS[4], "team/agents");
    terminal.take("IAM");
    terminal.answer(QUESTIONS[5], "X-Team,X-Tenant,  X-Trace");
    let ended = terminal.end_well();
    insta::assert_snapshot!(ended.screen, @"
    Enter takes what is in brackets; Ctrl-C leaves everything as it is
    Entrypoint: svc
    Agent name: my-agent
    The agent is called `my_agent`: names have underscores where `my-agent` has hyphens
    Dependency file: svc/deps.in
    Execution role: arn:aws:iam::123456789012:role/mine
    ECR repository: team/agents
    Authorizer: IAM: requests signed with AWS credentials
    Request headers: X-Team,X-Tenant,  X-Trace
    hint: run it on this machine with `agentcore launch --local`
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: my_agent
    agents:
      my_agent:
        entrypoint: svc/main.py
        dependencies: svc/deps.in
        request_headers:
        - X-Team
        - X-Tenant
        - X-Trace
        aws:
          execution_role: arn:aws:iam::123456789012:role/mine
          ecr_repository: team/agents
    ");
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one conversation, from its first question to its last"
)]
fn a_wrong_answer_is_asked_again_with_the_reason() {
    let home = home().file("notes.md", "");
    let terminal = Terminal::start(&home, &["configure"]);
    let wrong_then_right = |question: &str, wrong: &[&str], reasons: &[&str], right: &str| {
        for (wrong, reason) in wrong.iter().zip(reasons) {
            terminal.answer(question, wrong);
            terminal.wait_for(reason);
        }
        terminal.answer(question, right);
    };
    wrong_then_right(
        QUESTIONS[0],
        &["no.py", "notes.md", "../x.py", "agent.py:1"],
        &[
            "there is no `no.py`",
            "neither a Python file",
            "there is no `../x.py`",
            "not a Python name",
        ],
        "agent.py",
    );
    wrong_then_right(QUESTIONS[1], &["1 a"], &["`1 a` is not an agent name"], "a");
    wrong_then_right(
        QUESTIONS[2],
        &["no.txt", "agent.py"],
        &[
            "there is no file `no.txt`",
            "not a dependency file that pip reads",
        ],
        "requirements.txt",
    );
    wrong_then_right(
        QUESTIONS[3],
        &["arn:aws:iam::1:role/x"],
        &["`arn:aws:iam::1:role/x` is neither"],
        "my-role",
    );
    wrong_then_right(QUESTIONS[4], &["repo:v1"], &["leave out the tag"], "repo");
    terminal.take("IAM");
    wrong_then_right(
        QUESTIONS[5],
        &["X-*", "Host", "X-A, x-a", ","],
        &[
            "the service knows no `*`",
            "never forwards the header `Host`",
            "named twice",
            "headers is empty",
        ],
        "X-A",
    );
    let ended = terminal.end_well();
    insta::assert_snapshot!(ended.screen, @"
    Enter takes what is in brackets; Ctrl-C leaves everything as it is
    Entrypoint: no.py
    error: there is no `no.py`
    hint: check the path; it is relative to the folder in which the command runs
    Entrypoint: notes.md
    error: `notes.md` is neither a Python file nor part of a Rust package
    hint: give a `.py` file, a folder, a `Cargo.toml` or the source file of a Rust binary
    Entrypoint: ../x.py
    error: there is no `../x.py`
    hint: check the path; it is relative to the folder in which the command runs
    Entrypoint: agent.py:1
    error: `1` in `agent.py:1` is not a Python name
    hint: name the app's variable after the colon, as in `agent.py:app`
    Entrypoint: agent.py
    Agent name: 1 a
    error: `1 a` is not an agent name
    hint: use 1 to 48 letters, digits and underscores, a letter first, for example `agent_1_a`
    Agent name: a
    Dependency file: no.txt
    error: there is no file `no.txt`
    hint: give the file that lists the dependencies, for example `requirements.txt`
    Dependency file: agent.py
    error: `agent.py` is not a dependency file that pip reads
    hint: give a `.txt` or `.in` file, or `pyproject.toml`
    Dependency file: requirements.txt
    Execution role: arn:aws:iam::1:role/x
    error: `arn:aws:iam::1:role/x` is neither the ARN nor the name of an IAM role
    hint: write it as in `arn:aws:iam::123456789012:role/my-role`, or `my-role`
    Execution role: my-role
    ECR repository: repo:v1
    error: `repo:v1` is neither the name nor the URI of an ECR repository
    hint: leave out the tag or digest
    ECR repository: repo
    Authorizer: IAM: requests signed with AWS credentials
    Request headers: X-*
    error: `X-*` is not a header name that the service takes
    hint: name every header in full, the service knows no `*`
    Request headers: Host
    error: the service never forwards the header `Host`
    hint: name it `X-Amzn-Bedrock-AgentCore-Runtime-Custom-…`, or as no standard header is named
    Request headers: X-A, x-a
    error: the request header `x-a` is named twice
    Request headers: ,
    error: the list of request headers is empty
    hint: name 1 to 20 headers, or leave the list out
    Request headers: X-A
    hint: run it on this machine with `agentcore launch --local`
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: agent.py
        dependencies: requirements.txt
        request_headers:
        - X-A
        aws:
          execution_role: my-role
          ecr_repository: repo
    ");
}

#[test]
fn what_a_flag_says_is_not_asked() {
    let home = home();
    let terminal = Terminal::start(
        &home,
        &[
            "configure",
            "-e",
            "agent.py",
            "-er",
            "my-role",
            "-ac",
            "iam",
            "--env",
            "KEY=secret",
        ],
    );
    terminal.answer(QUESTIONS[1], "");
    terminal.answer(QUESTIONS[2], "");
    terminal.answer(QUESTIONS[4], "");
    terminal.answer(QUESTIONS[5], "");
    let ended = terminal.end_well();
    insta::assert_snapshot!(ended.screen, @"
    Enter takes what is in brackets; Ctrl-C leaves everything as it is
    Agent name: agent
    Dependency file: requirements.txt
    ECR repository: make one
    Request headers: none
    hint: run it on this machine with `agentcore launch --local`
    ");
    assert!(!ended.screen.contains("secret") && !ended.stdout.contains("secret"));
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: agent
    agents:
      agent:
        entrypoint: agent.py
        environment:
          KEY: secret
        authorizer: iam
        aws:
          execution_role: my-role
    ");
}

#[test]
fn nothing_is_asked_where_nothing_is_missing() {
    let home = home();
    home.run(&["configure", "-e", "agent.py", "-n", "a"]);
    for args in [
        &["configure", "--region", "eu-west-1"][..],
        &["configure", "-n", "a", "--protocol", "MCP"],
        &["configure", "-e", "agent.py", "--env", "A=1"],
    ] {
        let ended = Terminal::start(&home, args).end_well();
        assert_eq!(ended.raw, "", "{args:?}");
        assert!(ended.stdout.starts_with("Changed agent `a`"), "{args:?}");
    }
}

#[test]
fn a_wrong_flag_is_said_before_the_questions_about_the_agent() {
    let home = home();
    let ended = Terminal::start(&home, &["configure", "-e", "no.py"]).end();
    assert!(ended.screen.contains("there is no `no.py`") && !ended.screen.contains('['));
    for (args, reason) in [
        (&["--dockerfile", "no"][..], "there is no file `no`"),
        (&["--source", "no"], "there is no folder `no`"),
        (
            &["--idle-timeout", "900", "--max-lifetime", "60"],
            "is longer than",
        ),
        (&["--authorizer-config", "{"], "is not JSON"),
    ] {
        let args = [&["configure", "-e", "agent.py", "-n", "a"], args].concat();
        let ended = Terminal::start(&home, &args).end();
        assert_eq!(ended.code, Some(2), "{}", ended.screen);
        assert!(ended.screen.contains(reason), "{}", ended.screen);
        assert!(!ended.screen.contains('['), "{}", ended.screen);
        assert!(ended.is_restored && !home.has(".agentcore.yaml"));
    }
}

#[test]
fn without_anybody_to_ask_nothing_is_asked() {
    let terminal = Setup::default();
    let no_keyboard = Setup {
        has_keyboard: false,
        ..terminal
    };
    let no_screen = Setup {
        has_screen: false,
        ..terminal
    };
    for (setup, args, ci) in [
        (no_keyboard, &["configure"][..], ""),
        (no_screen, &["configure"], ""),
        (terminal, &["configure", "--non-interactive"], ""),
        (terminal, &["configure", "-ni"], ""),
        (terminal, &["configure", "--output", "json"], ""),
        (terminal, &["configure"], "true"),
    ] {
        let home = home().env("CI", ci);
        let ended = Terminal::start_on(setup, &home, args).end();
        let said = ended.screen + &ended.stdout + &ended.stderr;
        assert_eq!(ended.code, Some(2), "{setup:?} {args:?} {ci}: {said}");
        assert!(said.contains("`--entrypoint` is missing"), "{said}");
        assert!(!said.contains('['), "{said}");
        assert!(!home.has(".agentcore.yaml"));
    }
}

#[test]
fn a_quiet_run_asks_all_the_same() {
    let home = home();
    let terminal = Terminal::start(&home, &["configure", "--quiet"]);
    terminal.skip(&QUESTIONS[..5]);
    terminal.take("IAM");
    terminal.answer(QUESTIONS[5], "");
    let ended = terminal.end_well();
    assert!(
        ended.screen.starts_with("Entrypoint: agent.py"),
        "{}",
        ended.screen
    );
    assert!(!ended.screen.contains("hint:"), "{}", ended.screen);
}

#[test]
fn other_runs_do_not_wait_for_somebody_who_thinks() {
    let home = home().file("b.py", AGENT);
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.skip(&QUESTIONS[..5]);
    assert_eq!(home.run(&["configure", "-e", "b.py"]).code, Some(0));
    terminal.press(ENTER);
    terminal.answer(QUESTIONS[5], "");
    terminal.end_well();
    let file = home.read(".agentcore.yaml");
    assert!(
        file.contains("\n  b:\n") && file.contains("\n  agent:\n"),
        "{file}"
    );
}
