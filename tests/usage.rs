//! The command line itself: help, version, and what is said of a wrong one.

use std::process::Stdio;

use crate::support::Home;

#[test]
fn help_and_version_are_results() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["--help"]), @"
    ----- stdout -----
    Write, run, ship and talk to agents for Amazon Bedrock AgentCore

    Usage: agentcore [OPTIONS] <COMMAND>

    Commands:
      configure  Add an agent to this folder's project, or change it
      launch     Run the agent
      invoke     Send a payload to the agent and print its answer
      status     Show what runs
      logs       Show what the agent wrote
      stop       End what runs
      serve      Serve one agent in the foreground, without a project
      help       Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
          --output <FORMAT>
              Write results as text, or as JSON for programs

              Possible values:
              - text: For people
              - json: For programs: one JSON object, or one a line for streams
              
              [default: text]

      -q, --quiet
              Leave out status lines; results, warnings and errors stay
    ----- exit 0 -----
    ");
    let version = home.run(&["--version"]);
    assert_eq!(
        version.stdout,
        format!("agentcore {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!((version.stderr.as_str(), version.code), ("", Some(0)));
}

#[test]
fn without_a_command_help_is_shown_as_an_error() {
    let output = Home::new().run(&[]);
    assert!(output.stderr.contains("Usage: agentcore"), "{output}");
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(2)));
}

#[test]
fn a_wrong_command_line_is_one_sentence_and_a_hint() {
    let home = Home::new().file("agent.py", "");
    let lines: &[&[&str]] = &[
        &["confgure"],
        &["configure", "--entrypont", "agent.py"],
        &["configure", "agent.py"],
        &["configure", "--entrypoint"],
        &["configure", "--output", "xml"],
        &["configure", "-zz"],
    ];
    let said: Vec<String> = lines
        .iter()
        .map(|args| format!("$ {}\n{}", args.join(" "), home.run(args)))
        .collect();
    insta::assert_snapshot!(said.join("\n"), @"
    $ confgure
    ----- stderr -----
    error: unrecognized subcommand `confgure`
    hint: a similar subcommand exists: `configure`
    ----- exit 2 -----
    $ configure --entrypont agent.py
    ----- stderr -----
    error: unexpected argument `--entrypont` found
    hint: a similar argument exists: `--entrypoint`
    ----- exit 2 -----
    $ configure agent.py
    ----- stderr -----
    error: unexpected argument `agent.py` found
    hint: see `agentcore configure --help`
    ----- exit 2 -----
    $ configure --entrypoint
    ----- stderr -----
    error: a value is required for `--entrypoint <PATH>` but none was supplied
    hint: see `agentcore configure --help`
    ----- exit 2 -----
    $ configure --output xml
    ----- stderr -----
    error: invalid value `xml` for `--output <FORMAT>`
    hint: use one of text, json
    ----- exit 2 -----
    $ configure -zz
    ----- stderr -----
    error: unexpected argument `-z` found
    hint: see `agentcore configure --help`
    ----- exit 2 -----
    ");
}

#[test]
fn a_wrong_command_line_is_json_where_json_was_asked_for() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["configure", "--wrong", "--output", "json"]), @r#"
    ----- stdout -----
    {"schema_version":1,"error":{"kind":"usage","exit_code":2,"message":"unexpected argument `--wrong` found","hint":"a similar argument exists: `--region`"}}
    ----- exit 2 -----
    "#);
    insta::assert_snapshot!(home.run(&["--output=json"]), @r#"
    ----- stdout -----
    {"schema_version":1,"error":{"kind":"usage","exit_code":2,"message":"a command is missing","hint":"see `agentcore --help`"}}
    ----- exit 2 -----
    "#);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new().file("agent.py", "");
    for args in [
        &["--help"][..],
        &["configure", "-e", "agent.py"],
        &["configure", "--output", "json", "-e", "agent.py"],
    ] {
        let mut child = home
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert!(!stderr.contains("error"), "{args:?}: {stderr}");
    }
}
